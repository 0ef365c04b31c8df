-- Every built-in type comes back from segments bit by bit, with NULLs and edge values: a heap twin
-- holds the truth, record_send() shows the bits.
SET timezone = 'UTC';
SET extra_float_digits = 3;
CREATE TYPE mood AS ENUM ('calm', 'tense', 'broken');
CREATE TYPE reading AS (sensor text, value numeric, tags text[]);
CREATE DOMAIN percent AS float8 CHECK (VALUE BETWEEN 0 AND 100 OR VALUE IS NULL);
CREATE DOMAIN label AS varchar(30);
CREATE DOMAIN flag AS bool;

CREATE TABLE types_heap (
  time timestamptz NOT NULL,
  id int NOT NULL,
  c_bool bool, c_char "char", c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid, c_xid xid, c_xid8 xid8,
  c_float4 float4, c_float8 float8, c_numeric numeric, c_numeric_scaled numeric(12, 3), c_money money,
  c_text text, c_varchar varchar(40), c_bpchar char(12), c_name name, c_bytea bytea, c_bit bit(9),
  c_varbit varbit, c_date date, c_time time, c_timetz timetz, c_timestamp timestamp,
  c_timestamptz timestamptz, c_interval interval, c_uuid uuid, c_uuid7 uuid, c_json json,
  c_jsonb jsonb, c_jsonpath jsonpath, c_inet inet, c_cidr cidr, c_macaddr macaddr,
  c_macaddr8 macaddr8, c_point point, c_line line, c_lseg lseg, c_box box, c_path path,
  c_polygon polygon, c_circle circle, c_tid tid, c_lsn pg_lsn, c_regclass regclass,
  c_tsvector tsvector, c_tsquery tsquery, c_int4range int4range, c_numrange numrange,
  c_tstzrange tstzrange, c_multirange int4multirange, c_ints int[], c_texts text[],
  c_matrix numeric[], c_mood mood, c_moods mood[], c_reading reading, c_readings reading[],
  c_percent percent, c_label label, c_flag flag, c_snapshot pg_snapshot, c_all_null text);

-- Ordinary values; every column is NULL in some rows, by its own rhythm.
INSERT INTO types_heap
SELECT '2024-03-01 00:00:00Z'::timestamptz + g * interval '10 s', g,
  CASE WHEN g % 3 <> 0 THEN g % 2 = 0 END,
  CASE WHEN g % 5 <> 0 THEN chr(33 + g % 90)::"char" END,
  CASE WHEN g % 7 <> 0 THEN (g * 37 % 65536 - 32768)::int2 END,
  CASE WHEN g % 4 <> 0 THEN hashint4(g) END,
  CASE WHEN g % 6 <> 0 THEN hashint8extended(g, 1) END,
  CASE WHEN g % 9 <> 0 THEN (4294967295 - g)::oid END,
  CASE WHEN g % 9 <> 1 THEN g::text::xid END,
  CASE WHEN g % 9 <> 2 THEN (g::int8 << 33)::text::xid8 END,
  CASE WHEN g % 8 <> 0 THEN (g * 0.1)::float4 END,
  CASE WHEN g % 8 <> 1 THEN round((20 + sin(g / 50.0) * 10)::numeric, 2)::float8 END,
  CASE WHEN g % 8 <> 2 THEN (g * 1.10)::numeric END,
  CASE WHEN g % 8 <> 3 THEN (g * 0.5)::numeric(12, 3) END,
  CASE WHEN g % 8 <> 4 THEN (g * 0.01)::numeric::money END,
  CASE WHEN g % 10 <> 0 THEN 'message ' || md5(g::text) || repeat(' x', g % 20) END,
  CASE WHEN g % 10 <> 1 THEN 'host_' || g % 17 END,
  CASE WHEN g % 10 <> 2 THEN 'c' || g % 5 END,
  CASE WHEN g % 10 <> 3 THEN ('name_' || g % 300)::name END,
  CASE WHEN g % 10 <> 4 THEN decode(md5(g::text), 'hex') END,
  CASE WHEN g % 10 <> 5 THEN (g % 512)::bit(9) END,
  CASE WHEN g % 10 <> 6 THEN substr((g * 7919)::bit(32)::text, 1, g % 33)::varbit END,
  CASE WHEN g % 11 <> 0 THEN date '2000-01-01' + g % 40000 END,
  CASE WHEN g % 11 <> 1 THEN time '00:00' + g * interval '1.000001 s' END,
  CASE WHEN g % 11 <> 2 THEN (time '00:00' + g * interval '1 s')::text::time AT TIME ZONE interval '01:00' END,
  CASE WHEN g % 11 <> 3 THEN timestamp '2024-01-01' + g * interval '1 ms' END,
  CASE WHEN g % 11 <> 4 THEN timestamptz '2024-01-01 00:00Z' - g * interval '1 hour' END,
  CASE WHEN g % 11 <> 5 THEN make_interval(g % 5, g % 12, 0, g % 31, 0, 0, g * 0.001) END,
  CASE WHEN g % 11 <> 6 THEN md5(g::text)::uuid END,
  CASE WHEN g % 11 <> 7 THEN (lpad(to_hex(1700000000000 + g), 12, '0') || '7' || substr(md5(g::text), 1, 19))::uuid END,
  CASE WHEN g % 12 <> 0 THEN json_build_object('id', g, 'list', array[g, g + 1]) END,
  CASE WHEN g % 12 <> 1 THEN jsonb_build_object('b', g % 10, 'a', md5((g % 10)::text)) END,
  CASE WHEN g % 12 <> 2 THEN ('$.a[' || g % 10 || ']')::jsonpath END,
  CASE WHEN g % 12 <> 3 THEN ('10.0.' || g % 256 || '.' || g * 7 % 256)::inet END,
  CASE WHEN g % 12 <> 4 THEN ('2001:db8:' || to_hex(g % 65536) || '::/48')::cidr END,
  CASE WHEN g % 12 <> 5 THEN (substr(md5(g::text), 1, 12))::macaddr END,
  CASE WHEN g % 12 <> 6 THEN (substr(md5(g::text), 1, 16))::macaddr8 END,
  CASE WHEN g % 13 <> 0 THEN point(g, -g / 3.0) END,
  CASE WHEN g % 13 <> 1 THEN line(point(g, 1), point(g + 1, g)) END,
  CASE WHEN g % 13 <> 2 THEN lseg(point(g, 1), point(0, g)) END,
  CASE WHEN g % 13 <> 3 THEN box(point(g, 1), point(0, g)) END,
  CASE WHEN g % 13 <> 4 THEN path(polygon(g % 5 + 2, circle(point(0, 0), 1))) END,
  CASE WHEN g % 13 <> 5 THEN polygon(g % 7 + 2, circle(point(g, 0), 2)) END,
  CASE WHEN g % 13 <> 6 THEN circle(point(g, 0), g) END,
  CASE WHEN g % 13 <> 7 THEN ('(' || g || ',' || g % 100 + 1 || ')')::tid END,
  CASE WHEN g % 13 <> 8 THEN ('0/' || to_hex(g))::pg_lsn END,
  CASE WHEN g % 13 <> 9 THEN (CASE WHEN g % 2 = 0 THEN 'pg_class' ELSE 'pg_type' END)::regclass END,
  CASE WHEN g % 14 <> 0 THEN to_tsvector('simple', 'word' || g % 20 || ' of text') END,
  CASE WHEN g % 14 <> 1 THEN to_tsquery('simple', 'word' || g % 20 || ' & !text') END,
  CASE WHEN g % 14 <> 2 THEN int4range(g, g + g % 10) END,
  CASE WHEN g % 14 <> 3 THEN numrange(g * 0.10, NULL) END,
  CASE WHEN g % 14 <> 4 THEN tstzrange(timestamptz '2024-01-01 00:00Z', timestamptz '2024-01-01 00:00Z' + g * interval '1 s') END,
  CASE WHEN g % 14 <> 5 THEN int4multirange(int4range(g, g + 2), int4range(g + 5, g + 9)) END,
  CASE WHEN g % 14 <> 6 THEN array[g, NULL, g % 10] END,
  CASE WHEN g % 14 <> 7 THEN array['a' || g % 10, NULL, md5(g::text)] END,
  CASE WHEN g % 14 <> 8 THEN array[[g, 1.50], [NULL, g * 0.001]] END,
  CASE WHEN g % 15 <> 0 THEN (enum_range(NULL::mood))[g % 3 + 1] END,
  CASE WHEN g % 15 <> 1 THEN array['calm', NULL, 'broken']::mood[] END,
  CASE WHEN g % 15 <> 2 THEN row('s' || g % 7, g * 0.25, array['x', NULL])::reading END,
  CASE WHEN g % 15 <> 3 THEN array[row('s' || g % 7, g, NULL)::reading, NULL] END,
  CASE WHEN g % 15 <> 4 THEN g % 101 END,
  CASE WHEN g % 15 <> 5 THEN 'label ' || g % 9 END,
  CASE WHEN g % 15 <> 6 THEN g % 4 = 1 END,
  CASE WHEN g % 15 <> 7 THEN (g || ':' || g + 20 || ':' || g + 5 || ',' || g + 10)::pg_snapshot END,
  NULL
FROM generate_series(1, 6000) g;

-- Edge values, each in rows of its own.
CREATE FUNCTION add_edge(id int, col text, value text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO types_heap (time, id, %I) SELECT ''2024-03-01 23:00:00Z''::timestamptz + $1 * interval ''1 s'', $1, ($2)::%s',
                 col, (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                       WHERE attrelid = 'types_heap'::regclass AND attname = col)) USING id, value;
END $$;
SELECT count(add_edge(100000 + n, col, value))
FROM (SELECT row_number() OVER ()::int AS n, col, value FROM (VALUES
  ('c_char', ''), ('c_char', E'\\377'), ('c_int2', '-32768'), ('c_int2', '32767'), ('c_int4', '-2147483648'),
  ('c_int4', '2147483647'), ('c_int8', '-9223372036854775808'), ('c_int8', '9223372036854775807'),
  ('c_oid', '0'), ('c_oid', '4294967295'), ('c_float4', '-0'), ('c_float4', 'NaN'),
  ('c_float4', 'Infinity'), ('c_float4', '-Infinity'), ('c_float4', '1e-45'), ('c_float4', '3.4028235e38'),
  ('c_float8', '-0'), ('c_float8', 'NaN'), ('c_float8', 'Infinity'), ('c_float8', '-Infinity'),
  ('c_float8', '5e-324'), ('c_float8', '1.7976931348623157e308'), ('c_float8', '0.1'),
  ('c_float8', '9007199254740993'), ('c_numeric', 'NaN'), ('c_numeric', 'Infinity'),
  ('c_numeric', '-Infinity'), ('c_numeric', '0'), ('c_numeric', '0.000'), ('c_numeric', '-1.10'),
  ('c_numeric', '1e1000'), ('c_numeric', '-1e-1000'), ('c_numeric', '9223372036854775807'),
  ('c_numeric', '-9223372036854775809'), ('c_numeric', '100000000000000000000.0000'),
  ('c_numeric_scaled', '-999999999.999'), ('c_money', '-92233720368547758.08'),
  ('c_text', ''), ('c_text', ' '), ('c_text', 'ünïcödé ☃ 𝄞'), ('c_text', repeat('long ', 40000)),
  ('c_text', repeat('x', 127)), ('c_varchar', ''), ('c_bpchar', ''), ('c_name', ''),
  ('c_name', repeat('n', 63)), ('c_bytea', ''), ('c_bytea', '\x00'), ('c_bytea', '\xff00ff'),
  ('c_varbit', ''), ('c_date', 'infinity'), ('c_date', '-infinity'), ('c_date', '4713-01-01 BC'),
  ('c_date', '5874897-12-31'), ('c_time', '24:00:00'), ('c_timetz', '24:00:00-15:59'),
  ('c_timestamp', 'infinity'), ('c_timestamp', '-infinity'), ('c_timestamp', '294276-12-31 23:59:59.999999'),
  ('c_timestamptz', 'infinity'), ('c_timestamptz', '4713-01-01 00:00:00Z BC'),
  ('c_interval', '-178000000 years'), ('c_interval', '1 mon -1 day 00:00:00.000001'),
  ('c_uuid', '00000000-0000-0000-0000-000000000000'), ('c_uuid', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  ('c_json', ' {"a" : 1,  "a":2} '), ('c_jsonb', '{"a": 1.000, "b": [null, true, {}]}'), ('c_jsonb', '1e400'),
  ('c_inet', '::1'), ('c_inet', '0.0.0.0/0'), ('c_point', '(NaN,-0)'), ('c_path', '[(0,0),(1,1)]'),
  ('c_tsvector', ''), ('c_int4range', 'empty'), ('c_int4range', '(,)'), ('c_multirange', '{}'),
  ('c_ints', '{}'), ('c_ints', '[-2:0]={1,2,3}'), ('c_texts', '{NULL}'), ('c_texts', '{"","a,b","\"q\""}'),
  ('c_reading', '(,,)'), ('c_reading', '("a ""b""",1.000,{})'), ('c_readings', '{}'),
  ('c_percent', '-0'), ('c_label', ''), ('c_lsn', 'FFFFFFFF/FFFFFFFF')) v(col, value)) edges;

CREATE TABLE types_cold (LIKE types_heap) USING tsext;
INSERT INTO types_cold SELECT * FROM types_heap;

-- They are cold: nothing is left in the heap.
SELECT sum(nrows) AS cold_rows, pg_relation_size('types_cold') AS hot_bytes
FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'types_cold'::regclass);

-- All bits of all columns, both ways.
SELECT count(*) FROM (SELECT id, record_send(h) FROM types_heap h
                      EXCEPT ALL SELECT id, record_send(c) FROM types_cold c) missing;
SELECT count(*) FROM (SELECT id, record_send(c) FROM types_cold c
                      EXCEPT ALL SELECT id, record_send(h) FROM types_heap h) surplus;

-- The plain kernels read what the best ones wrote, and the other way round below.
SET tsext.simd = v1;
SELECT count(*) FROM (SELECT id, record_send(h) FROM types_heap h
                      EXCEPT ALL SELECT id, record_send(c) FROM types_cold c) missing;
RESET tsext.simd;

-- Single columns (only their vectors are decoded), counted and ordered by the server.
SELECT count(*), count(c_bool), count(c_float8), count(c_numeric), count(c_text), count(c_uuid),
       count(c_reading), count(c_all_null) FROM types_cold;
SELECT id, c_float8 FROM types_cold WHERE id > 100000 AND c_float8 IS NOT NULL ORDER BY id;
SELECT id, c_numeric FROM types_cold WHERE id > 100000 AND length(c_numeric::text) < 40 ORDER BY id;
SELECT id, (c_reading).sensor, (c_reading).value, (c_reading).tags FROM types_cold
WHERE c_reading IS NOT NULL AND (id > 100000 OR id < 4) ORDER BY id;

-- System columns and whole rows of cold tuples.
SELECT count(*) FROM types_cold WHERE tableoid = 'types_cold'::regclass AND xmin = '2' AND xmax = '0';
SELECT count(DISTINCT ctid) FROM types_cold;
SELECT (c).id, (c).c_text, (c).c_mood FROM (SELECT c FROM types_cold c ORDER BY c.id LIMIT 3) s;

-- Once more through COPY, text and binary.
CREATE TABLE types_copied (LIKE types_heap);
SELECT pg_backend_pid() AS pid \gset
\set file '/tmp/tsext_cold_types.' :pid
COPY types_cold TO :'file';
COPY types_copied FROM :'file';
SELECT count(*) FROM (SELECT id, record_send(h) FROM types_heap h
                      EXCEPT ALL SELECT id, record_send(c) FROM types_copied c) missing;
CREATE TABLE types_cold2 (LIKE types_heap) USING tsext;
COPY types_cold TO :'file' (FORMAT binary);
SET tsext.simd = v1;
COPY types_cold2 FROM :'file' (FORMAT binary);
RESET tsext.simd;
\set remove 'cat >/dev/null; rm ' :file
COPY (SELECT 1) TO PROGRAM :'remove';
SELECT count(*) FROM (SELECT id, record_send(h) FROM types_heap h
                      EXCEPT ALL SELECT id, record_send(c) FROM types_cold2 c) missing;
DROP TABLE types_heap, types_cold, types_cold2, types_copied;
DROP FUNCTION add_edge;
DROP TYPE mood, reading CASCADE;
DROP DOMAIN percent, label, flag;
