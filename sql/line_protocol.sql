-- Line protocol: tsext.parse_lines(), tsext.write_lines() and the router behind it.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
CREATE SCHEMA lp;
SET search_path = lp, public;
\getenv srcdir PG_ABS_SRCDIR
\set cases_file :srcdir '/test/data/line_protocol_cases.tsv'

-- Every case of the file, read and written.
CREATE TEMP TABLE file (id text, precision text, input jsonb, expect text, points jsonb, note text);
CREATE TEMP TABLE raw (line text);
COPY raw FROM :'cases_file' WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02');
INSERT INTO file SELECT c[1], c[2], c[3]::jsonb, c[4], c[5]::jsonb, c[6]
FROM (SELECT string_to_array(line, E'\t') AS c FROM raw WHERE line NOT LIKE '#%' AND line NOT LIKE E'id\t%') s;
CREATE TEMP VIEW cases AS
SELECT id, precision, expect, points, CASE jsonb_typeof(input) WHEN 'string' THEN convert_to(input #>> '{}', 'UTF8') ELSE decode(input ->> 'hex', 'hex') END AS bytes FROM file;
SELECT count(*) FROM cases;
CREATE FUNCTION parsed(bytes bytea, unit text, OUT points jsonb, OUT error text) LANGUAGE sql AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('measurement', measurement, 'tags', tags, 'fields', fields, 'time_ns', time_ns) ORDER BY line_number)
                    FILTER (WHERE error IS NULL), '[]'), string_agg(error, '; ')
  FROM tsext.parse_lines(bytes, unit) $$;
SELECT id, p.* FROM cases c, parsed(bytes, precision) p WHERE p.points <> c.points;
SELECT id, expect, p.error FROM cases c, parsed(bytes, precision) p WHERE p.error IS NOT NULL ORDER BY id;
SELECT id FROM cases c, parsed(bytes, precision) p
WHERE CASE WHEN expect = 'ok' THEN error IS NOT NULL WHEN expect = 'partial' THEN error IS NULL ELSE split_part(error, ':', 1) IS DISTINCT FROM split_part(expect, ':', 2) END;
-- The same as text, where a text can hold it.
SELECT count(*) FROM file WHERE jsonb_typeof(input) = 'string' AND
  (SELECT string_agg(p::text, ';') FROM tsext.parse_lines(input #>> '{}', precision) p) IS NOT DISTINCT FROM
  (SELECT string_agg(p::text, ';') FROM tsext.parse_lines(convert_to(input #>> '{}', 'UTF8'), precision) p);

-- What is stored: each row as json without its NULLs, times in microseconds rounded down.
CREATE FUNCTION stored(schema_name text) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  FOR r IN SELECT relname FROM pg_class WHERE relnamespace = schema_name::regnamespace AND relkind = 'r' ORDER BY relname LOOP
    RETURN QUERY EXECUTE format('SELECT jsonb_strip_nulls(to_jsonb(stored_row)) || jsonb_build_object(''measurement'', %L::text, ''time'', (extract(epoch FROM time) * 1000000)::numeric::int8) FROM %I.%I stored_row', r.relname, schema_name, r.relname);
  END LOOP;
END $$;
CREATE FUNCTION should_be_stored(points jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
  SELECT (p -> 'tags') || (SELECT jsonb_object_agg(key, value -> 1) FROM jsonb_each(p -> 'fields'))
    || jsonb_build_object('measurement', p -> 'measurement', 'time', floor((p ->> 'time_ns')::numeric / 1000)::int8)
  FROM jsonb_array_elements(points) p $$;
DO $$
DECLARE c record; w record; a jsonb; b jsonb;
BEGIN
  FOR c IN SELECT * FROM cases LOOP
    CREATE SCHEMA lp_case;
    SELECT * INTO w FROM tsext.write_lines(c.bytes, c.precision, 'lp_case');
    SELECT coalesce(jsonb_agg(s ORDER BY s), '[]') INTO a FROM stored('lp_case') s;
    SELECT coalesce(jsonb_agg(s ORDER BY s), '[]') INTO b FROM should_be_stored(c.points) s;
    IF c.points @> '[{"time_ns": null}]' THEN
      SELECT jsonb_agg(e - 'time') INTO a FROM jsonb_array_elements(a) e WHERE (e ->> 'time')::int8 / 1000000 BETWEEN extract(epoch FROM clock_timestamp()) - 600 AND extract(epoch FROM clock_timestamp());
      SELECT jsonb_agg(e - 'time') INTO b FROM jsonb_array_elements(b) e;
    END IF;
    IF a IS DISTINCT FROM b THEN RAISE WARNING '%: % instead of %', c.id, a, b; END IF;
    IF w.points <> jsonb_array_length(c.points) OR w.rejected <> (c.expect <> 'ok')::int THEN RAISE WARNING '%: %', c.id, w; END IF;
    DROP SCHEMA lp_case CASCADE;
  END LOOP;
END $$;

-- Wrong use.
SELECT * FROM tsext.write_lines('m x=1', 'd');
SELECT * FROM tsext.write_lines('m x=1', NULL);
SELECT * FROM tsext.write_lines('m x=1', 'ns', 'no_such_schema');
SELECT * FROM tsext.write_lines('m x=1', 'ns', 'pg_catalog');
SELECT * FROM tsext.parse_lines('m x=1', 'd');
SELECT * FROM tsext.write_lines(NULL);
SELECT * FROM tsext.write_lines('');
SELECT * FROM tsext.parse_lines(NULL);
BEGIN READ ONLY;
SELECT * FROM tsext.write_lines('m x=1 1');
ROLLBACK;
SET search_path = no_such_schema;
SELECT * FROM tsext.write_lines('m x=1 1');
SET search_path = lp, public;

-- The table that is made: tags sort its segments, comments tell tags and fields.
SELECT * FROM tsext.write_lines('air,room=kitchen,house=h1 temp=21.5,hum=40i,n=7u,open=t,label="x" 1700000000000000000');
\d+ air
SELECT time_column, segment_by FROM tsext.table_options('air');
-- A new tag and a new field; the tag comes to the others.
SELECT * FROM tsext.write_lines(E'air,room=kitchen,house=h1,floor=2 temp=22,co2=400i 1700000001000000000\nair temp=1 1700000002000000000');
SELECT * FROM air ORDER BY time;
SELECT time_column, segment_by FROM tsext.table_options('air');
SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'air'::regclass AND attnum > 0 ORDER BY attnum;

-- Types: what a column takes.
SELECT * FROM tsext.write_lines('air,room=a temp=3i 1');
SELECT w.* FROM (VALUES ('hum=1.5'), ('hum=1u'), ('hum=t'), ('hum="1"'), ('temp="1"'), ('temp=1u'), ('temp=t'), ('n=1i'), ('n=1.5'), ('open=1'), ('label=1'), ('room="x"'), ('label=t')) f(f),
  tsext.write_lines('air,room=a ' || f || ' 2') w;
SELECT w.* FROM tsext.write_lines('air,label=x temp=1 2') w;
SELECT w.* FROM tsext.write_lines('fresh,a=1 a=1 2') w;
SELECT to_regclass('fresh');
SELECT count(*) FROM air WHERE time < '2000-01-01';
-- Within one text the first type counts.
SELECT * FROM tsext.write_lines(E'first x=1i 1\nfirst x=2.5 2\nfirst x=3i 3\nfirst y=1.5 4\nfirst y=2i 5');
SELECT * FROM first ORDER BY time;

-- Equal series and times in one text are one row; the order of tags makes no other series; again they are another row.
SELECT * FROM tsext.write_lines(E'same,a=1,b=2 x=1,y=1 5000\nsame,b=2,a=1 y=2,z=3 5000\nsame,a=1,b=2 x=4 6000\nsame,a=1 x=5 5000\nsame,a=1,b=2 x=0 4000');
SELECT * FROM same ORDER BY time, b, x;
SELECT * FROM tsext.write_lines('same,a=1,b=2 x=9 5000');
SELECT count(*) FROM same;
SELECT * FROM tsext.write_lines(E'now x=1\nnow x=2\nnow y=3');
SELECT x, y, time BETWEEN now() - interval '10 minutes' AND clock_timestamp() AS is_now FROM now;
SELECT * FROM tsext.write_lines('now x=1', 'h');
SELECT count(*) FROM now WHERE time = date_trunc('hour', time);
-- A field twice in a line: the last, also for its type.
SELECT * FROM tsext.write_lines('twice x="a",x=2,x=3 1');
SELECT * FROM twice;

-- Nanoseconds.
SET tsext.keep_ns = on;
SELECT * FROM tsext.write_lines(E'fine x=1 1700000000000000999\nfine x=2 -1500\nfine x=3 1700000000000000998\nfirst x=6i 1700000000000000123');
SELECT *, extract(epoch FROM time) FROM fine ORDER BY x;
SELECT time_ns, x FROM first ORDER BY time DESC LIMIT 1;
SELECT * FROM tsext.write_lines(E'fine time_ns=1 1\nfine,time_ns=1 x=1 1');
RESET tsext.keep_ns;
SELECT * FROM tsext.write_lines(E'fine x=4 1700000000000000999');
SELECT count(*) FROM fine WHERE time_ns IS NULL;

-- Names: as sent, never cut, never SQL.
SELECT * FROM tsext.write_lines('Größe\ in\ cm,Ort\ 1=Köln Wert\,2=1 1');
SELECT * FROM "Größe in cm";
SELECT * FROM tsext.write_lines('";\ DROP\ TABLE\ air;\ --,"a"="b\"\ c" x";DROP=1,''=2 1');
SELECT * FROM """; DROP TABLE air; --";
SELECT * FROM tsext.write_lines('air)\ SELECT\ (1,$1=${x},%s=%n\\\ %I (SELECT\ 1)=1i,%L="$$;" 1');
SELECT * FROM "air) SELECT (1";
SELECT * FROM tsext.write_lines(E'select,from=where and="or" 1\nm=1\\,2 x=1 1');
SELECT * FROM "select", "m=1,2";
SELECT w.first_error FROM (VALUES (repeat('m', 63) || ' x=1'), (repeat('m', 64) || ' x=1'), (repeat('é', 32) || ' x=1'), ('m,' || repeat('t', 64) || '=1 x=1'),
  ('m ' || repeat('f', 64) || '=1'), ('m ctid=1'), ('m,xmin=1 x=1'), ('m tableoid=1i'), ('m oid=1i'), ('m time=1'), ('m,time=1 x=1')) v(line), tsext.write_lines(line || ' 1') w;
SELECT relname FROM pg_class WHERE relnamespace = 'lp'::regnamespace AND relkind = 'r' AND relname ~ '^(m|é)' ORDER BY relname COLLATE "C";
CREATE SEQUENCE taken;
CREATE INDEX taken_index ON air (room);
CREATE TYPE taken_type AS ENUM ('a');
SELECT w.* FROM (VALUES ('taken'), ('taken_index'), ('taken_type')) v(name), tsext.write_lines(name || ' x=1 1') w;

-- Brakes.
SET tsext.auto_create = off;
SELECT * FROM tsext.write_lines(E'unknown x=1 1\nair temp=5 3');
RESET tsext.auto_create;
SET tsext.auto_add_columns = off;
SELECT * FROM tsext.write_lines(E'air unknown=1 1\nair,unknown=1 temp=5 3\nair temp=5 4\nunknown x=1,y=2 1');
RESET tsext.auto_add_columns;
SET tsext.max_columns = 4;
SELECT * FROM tsext.write_lines(E'narrow,a=1 b=1,c=1 1\nnarrow,a=1 d=1 2\nnarrow,e=1 b=1 3\nnarrow b=4 4\nwide a=1,b=1,c=1,d=1 5');
SELECT * FROM narrow ORDER BY time;
SELECT to_regclass('wide');
RESET tsext.max_columns;
CREATE SCHEMA lp_many;
SET tsext.max_tables = 50;
SELECT * FROM tsext.write_lines((SELECT string_agg('m' || i || ' x=1 1', E'\n') FROM generate_series(1, 100000) i), 'ns', 'lp_many');
SELECT count(*) FROM pg_class WHERE relnamespace = 'lp_many'::regnamespace AND relkind = 'r';
DROP TABLE lp_many.m7;
SELECT * FROM tsext.write_lines(E'm100 x=1 1\nm101 x=1 1', 'ns', 'lp_many');
RESET tsext.max_tables;
SET tsext.max_series = 10;
SET client_min_messages = warning;
SELECT * FROM tsext.write_lines((SELECT string_agg('s,id=' || i || ' x=1 1', E'\n') FROM generate_series(1, 20) i), 'ns', 'lp_many');
SELECT * FROM tsext.write_lines((SELECT string_agg('s,id=' || i || ' x=1 1', E'\n') FROM generate_series(1, 20) i), 'ns', 'lp_many');
RESET tsext.max_series;

-- A dropped table or column between two calls; one made anew; renamed ones; another schema of the same name.
SELECT * FROM tsext.write_lines(E'gone,t=1 x=1,y=1 1');
ALTER TABLE gone DROP COLUMN x;
SELECT * FROM tsext.write_lines(E'gone,t=1 x=2,y=2 2');
SELECT * FROM gone ORDER BY time;
ALTER TABLE gone DROP COLUMN x;
ALTER TABLE gone ADD COLUMN x text;
SELECT * FROM tsext.write_lines(E'gone,t=1 x=2,y=3 3\ngone,t=1 x="three",y=3 3');
ALTER TABLE gone RENAME COLUMN y TO z;
SELECT * FROM tsext.write_lines(E'gone,t=1 y=4 4');
SELECT * FROM gone ORDER BY time;
ALTER TABLE gone RENAME TO gone_away;
SELECT * FROM tsext.write_lines(E'gone,t=1 y=5 5');
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM gone_away);
DROP TABLE gone;
SELECT * FROM tsext.write_lines(E'gone,t=1 y=6 6');
SELECT * FROM gone;
ALTER SCHEMA lp_many RENAME TO lp_other;
CREATE SCHEMA lp_many;
SELECT * FROM tsext.write_lines('s,id=1 x=1 1', 'ns', 'lp_many');
SELECT (SELECT count(*) FROM lp_many.s), (SELECT count(*) FROM lp_other.s);
-- In one transaction, and undone.
BEGIN;
SELECT * FROM tsext.write_lines(E'undone x=1 1');
SAVEPOINT s;
SELECT * FROM tsext.write_lines(E'undone y=2 2');
ROLLBACK TO s;
SELECT * FROM tsext.write_lines(E'undone y="three" 3');
SELECT * FROM undone ORDER BY time;
ROLLBACK;
SELECT * FROM tsext.write_lines(E'undone x="one" 1');
SELECT * FROM undone;

-- Tables of one's own: fewer and more columns, other types, heap, partitions, views, generated columns, defaults.
CREATE TABLE own (id bigserial, time timestamp PRIMARY KEY, host varchar(5), small int2, real float4, amount numeric(6,2), flag boolean NOT NULL DEFAULT true,
  doubled float8 GENERATED ALWAYS AS (amount * 2) STORED, note text DEFAULT 'none', CHECK (small < 100)) USING heap;
SELECT * FROM tsext.write_lines(E'own,host=a small=1i,real=0.5,amount=3.255,extra=1i 1000000\nown,host=b amount=7i,flag=f,note="n" 2000000');
SELECT * FROM own ORDER BY time;
-- Each of these alone is bad.
SELECT * FROM tsext.write_lines(E'own,host=a small=5i 3000000\nown,host=toolong small=5i 4000000\nown,host=a small=70000i 5000000\nown,host=a small=100i 6000000\nown,host=a small=6i 1000000\nown,host=a small=1.5 7000000\nown,host=a doubled=1 8000000\nown,host=a amount=99999 9000000\nown,host=a id=5i 10000000');
SELECT time, host, small FROM own ORDER BY time;
CREATE TABLE parted (time timestamptz NOT NULL, host text, v float8) PARTITION BY RANGE (time);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') USING tsext;
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') USING heap;
SELECT * FROM tsext.write_lines(E'parted,host=a v=1 1704067200\nparted,host=a v=2i 1706745600\nparted,host=a v=3 1709251200\nparted,host=a w=4 1704067200\nparted_1,host=a v=5 1706745600\nparted_1,host=a v=6 1704067201', 's');
SELECT tableoid::regclass, * FROM parted ORDER BY v, time;
CREATE VIEW seen AS SELECT time, host, v FROM parted WHERE v < 100 WITH CHECK OPTION;
SELECT * FROM tsext.write_lines(E'seen,host=v v=10 1704067200\nseen,host=v v=1000 1704067200\nseen,host=v x=1 1704067200', 's');
SELECT * FROM seen WHERE host = 'v';
CREATE TABLE no_time (t timestamptz, x float8);
CREATE TABLE number_time (time int8, x float8);
SELECT * FROM tsext.write_lines(E'no_time x=1 1\nnumber_time x=1 1');
CREATE DOMAIN percent AS float8 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE checked (time timestamptz, p percent, CHECK (p <> 50)) USING tsext;
SELECT * FROM tsext.write_lines(E'checked p=1 1\nchecked p=101 2\nchecked p=50 3\nchecked p=99i 4');
SELECT p FROM checked ORDER BY p;

-- Merged lines that fail are lines again.
CREATE TABLE picky (time timestamptz, a float8 CHECK (a > 0), b float8 CHECK (b > 0)) USING tsext;
SELECT * FROM tsext.write_lines(E'picky a=1 1\npicky b=-1 1\npicky b=2 1\npicky a=5 2\npicky b=6 2\npicky a=7 3\npicky b=-1,a=8 3\npicky b=9 4\npicky a=-1 4');
SELECT a, b FROM picky ORDER BY time, a;

-- Many rows go to segments, bad ones among them or not.
CREATE FUNCTION cold_rows(relation regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = relation;
$$;
CREATE FUNCTION lines(name text, n int) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s,host=h%s v=%s,n=%si %s', name, i % 20, i % 7, i, 1700000000000 + i), E'\n') FROM generate_series(1, n) i $$;
SELECT * FROM tsext.write_lines(lines('big', 20000), 'ms');
SELECT cold_rows('big'), count(*), sum(v), sum(n), count(DISTINCT host), min(time), max(time) FROM big;
ALTER TABLE big ADD CHECK (n <> 12345) NOT VALID;
CREATE INDEX ON big (host, time);
SELECT * FROM tsext.write_lines(lines('big', 20000) || E'\nbig,host=bad v="x" 5\nbig v=', 'ms');
SELECT cold_rows('big') > 30000 AS are_cold, count(*), sum(v), sum(n) FROM big;
-- More than a slice.
SELECT * FROM tsext.write_lines(lines('more', 120000), 'ms');
SELECT count(*), count(DISTINCT time), sum(n) FROM more;

-- Triggers, of rows and statements; one that writes lines itself.
CREATE TABLE journal (entry text) USING heap;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO journal VALUES (TG_WHEN || ' ' || TG_LEVEL || ' ' || coalesce((to_jsonb(NEW) ->> 'x'), ''));
  IF TG_LEVEL = 'ROW' AND NEW.x = 13 THEN RAISE EXCEPTION 'thirteen'; END IF;
  IF TG_LEVEL = 'ROW' AND NEW.x = 14 THEN RETURN NULL; END IF;
  IF TG_LEVEL = 'ROW' AND NEW.x = 15 THEN PERFORM tsext.write_lines('echo x=15 1'); END IF;
  RETURN NEW;
END $$;
CREATE TABLE watched (time timestamptz, x float8) USING tsext;
CREATE TRIGGER s BEFORE INSERT ON watched EXECUTE FUNCTION note();
SELECT * FROM tsext.write_lines(E'watched x=1 1\nwatched x=2 2');
CREATE TRIGGER r BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION note();
SELECT * FROM tsext.write_lines(E'watched x=12 1\nwatched x=13 2\nwatched x=14 3\nwatched x=15 4');
SELECT x FROM watched ORDER BY x;
SELECT * FROM echo;
SELECT entry, count(*) FROM journal GROUP BY entry ORDER BY entry;

-- The caller's rights.
CREATE ROLE lp_writer;
GRANT USAGE ON SCHEMA lp TO lp_writer;
CREATE TABLE granted (time timestamptz, tag text, a float8, b float8) USING tsext;
GRANT INSERT (time, tag, a) ON granted TO lp_writer;
CREATE TABLE granted_heap (LIKE granted) USING heap;
GRANT INSERT (time, tag, a) ON granted_heap TO lp_writer;
CREATE TABLE secured (time timestamptz, owner text, x float8) USING tsext;
GRANT INSERT ON secured TO lp_writer;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON secured FOR INSERT WITH CHECK (owner = current_user);
SET ROLE lp_writer;
SELECT * FROM tsext.write_lines(E'brand_new x=1 1\ngranted,tag=1 a=1 1\ngranted,tag=1 a=1,b=2 2\ngranted,tag=1 a=1 3\ngranted c=1 4\nair temp=1 5\nair temp=2 6\ngranted_heap a=1 1\ngranted_heap b=1 1');
SELECT * FROM tsext.write_lines(E'secured,owner=lp_writer x=1 1\nsecured,owner=other x=2 2\nsecured,owner=lp_writer x=3 3');
SELECT * FROM tsext.write_lines('m x=1 1', 'ns', 'lp_many');
RESET ROLE;
SELECT tag, a, b FROM granted ORDER BY time;
SELECT owner, x FROM secured ORDER BY x;
REVOKE INSERT (tag) ON granted FROM lp_writer;
SET ROLE lp_writer;
SELECT * FROM tsext.write_lines(E'granted,tag=1 a=7 1\ngranted a=8 2');
RESET ROLE;
SELECT tag, a FROM granted WHERE a > 6;
-- Its own tables it may widen.
GRANT CREATE ON SCHEMA lp TO lp_writer;
SET ROLE lp_writer;
SELECT * FROM tsext.write_lines(E'brand_new,t=1 x=1 1');
SELECT * FROM tsext.write_lines(E'brand_new,t=1,u=2 x=1,y=1 1');
RESET ROLE;
SELECT relowner::regrole, relacl FROM pg_class WHERE oid = 'brand_new'::regclass;


SET client_min_messages = error;
DROP SCHEMA lp, lp_many, lp_other CASCADE;
DROP ROLE lp_writer;
