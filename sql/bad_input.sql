-- Odd tables and odd rows: a clear error or plain correct work. What a table holds is compared with a heap twin, bit by bit.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
\pset null '(null)'
CREATE SCHEMA bad_input_test;
SET search_path = bad_input_test, public;
SELECT current_setting('data_directory') || '/tsext_bad_input_test' AS file \gset

CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE FUNCTION cold_rows(relation regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = relation;
$$;
-- Rows that only one of both has, rows in all, rows in segments, problems.
CREATE FUNCTION state(relation regclass, twin regclass, OUT differing bigint, OUT total bigint, OUT cold bigint, OUT problems bigint) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format($q$SELECT (SELECT count(*) FROM (
      (SELECT record_send(a) FROM %1$s a EXCEPT ALL SELECT record_send(b) FROM %2$s b) UNION ALL
      (SELECT record_send(b) FROM %2$s b EXCEPT ALL SELECT record_send(a) FROM %1$s a)) d),
    (SELECT count(*) FROM %1$s), cold_rows(%1$L), (SELECT count(*) FROM tsext.verify(%1$L))$q$, relation, twin)
  INTO differing, total, cold, problems;
END $$;

-- A time column with NULL and ±infinity, by row inserts, INSERT … SELECT and COPY: such rows stay hot.
CREATE TABLE odd_heap (time timestamptz, id int, v float8);
CREATE TABLE odd (LIKE odd_heap) USING tsext WITH (tsext.chunk_interval = '1 hour');
INSERT INTO odd_heap
SELECT CASE g % 100 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE timestamptz '2024-01-01' + g * interval '1 s' END, g, g / 8.0
FROM generate_series(1, 12000) g;
COPY odd_heap TO :'file';
INSERT INTO odd VALUES (NULL, -1, 0), ('infinity', -2, 0), ('-infinity', -3, 0);
COPY odd FROM :'file';
INSERT INTO odd SELECT * FROM odd_heap;
INSERT INTO odd_heap SELECT * FROM odd_heap;
INSERT INTO odd_heap VALUES (NULL, -1, 0), ('infinity', -2, 0), ('-infinity', -3, 0);
SELECT * FROM state('odd', 'odd_heap');
SELECT rows_moved FROM tsext.compact('odd');
SELECT * FROM state('odd', 'odd_heap');
SELECT rows_moved FROM tsext.compact('odd', level => 'cold');
SELECT * FROM state('odd', 'odd_heap');
SELECT count(*) FILTER (WHERE time IS NULL) AS nulls, count(*) FILTER (WHERE time = 'infinity') AS after_all, count(*) FILTER (WHERE time = '-infinity') AS before_all FROM odd;
SELECT count(*) FROM odd WHERE time > '2024-01-01 01:00';
SELECT count(*) FROM odd_heap WHERE time > '2024-01-01 01:00';
SELECT drop_chunks('odd', older_than => '2024-01-01 02:00'::timestamptz);
DELETE FROM odd_heap WHERE time >= '2024-01-01' AND time < '2024-01-01 02:00';
SELECT * FROM state('odd', 'odd_heap');
DROP TABLE odd, odd_heap;

-- No time column: one chunk. No column at all.
CREATE TABLE timeless_heap (id int, note text);
INSERT INTO timeless_heap SELECT g, 'note ' || g % 10 FROM generate_series(1, 5000) g;
CREATE TABLE timeless (LIKE timeless_heap) USING tsext;
INSERT INTO timeless SELECT * FROM timeless_heap;
SELECT * FROM state('timeless', 'timeless_heap');
SELECT show_chunks('timeless');
SELECT segments_merged FROM tsext.compact('timeless', level => 'cold');
SELECT * FROM state('timeless', 'timeless_heap');
SELECT failure($$SELECT drop_chunks('timeless', older_than => now())$$);
SELECT failure($$SELECT tsext.compact('timeless', older_than => now())$$);
SELECT rows, first_time, last_time FROM tsext.series('timeless');
SELECT count(decompress_chunk(c)) FROM show_chunks('timeless') c;
SELECT * FROM state('timeless', 'timeless_heap');
CREATE TABLE no_columns () USING tsext;
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns SELECT FROM generate_series(1, 5000);
SELECT count(*), cold_rows('no_columns') FROM no_columns;
SELECT rows_moved FROM tsext.compact('no_columns');
SELECT count(*), cold_rows('no_columns') FROM no_columns;
SELECT count(*) FROM tsext.verify('no_columns');
SELECT rows FROM tsext.series('no_columns');
ALTER TABLE no_columns ADD time timestamptz DEFAULT '2024-01-01';
SELECT time, count(*) FROM no_columns GROUP BY 1;
SELECT rows_moved FROM tsext.compact('no_columns', level => 'cold');
SELECT time, count(*) FROM no_columns GROUP BY 1;
SELECT count(*) FROM tsext.verify('no_columns');
DROP TABLE timeless, timeless_heap, no_columns;

-- Empty tables, through every function.
CREATE TABLE empty (time timestamptz, host text, v float8) USING tsext;
SELECT * FROM tsext.compact('empty');
SELECT * FROM tsext.compact('empty', level => 'cold');
SELECT show_chunks('empty');
SELECT drop_chunks('empty', older_than => '2024-01-01'::timestamptz);
SELECT tsext.series('empty'), tsext.verify('empty'), tsext.chunk_list('empty'), chunks_detailed_size('empty');
SELECT approximate_row_count('empty'), hypertable_size('empty') > 0 AS has_size, (SELECT table_bytes FROM hypertable_detailed_size('empty'));
SELECT table_name, time_column, hot_rows, cold_rows, segments, chunks, cold_first_time FROM tsext.tables WHERE schema_name = 'bad_input_test';
SELECT column_name, rows, null_count FROM tsext.columns WHERE schema_name = 'bad_input_test';
SELECT first(v, time), last(v, time), histogram(v, 0, 1, 2), count(*), max(time) FROM empty;
SELECT * FROM empty TABLESAMPLE system (50);
COPY empty TO STDOUT;
COPY empty FROM STDIN;
\.
INSERT INTO empty SELECT * FROM empty;
CREATE TABLE empty_too USING tsext AS SELECT * FROM empty;
ANALYZE empty;
VACUUM FULL empty;
ALTER TABLE empty SET ACCESS METHOD heap;
ALTER TABLE empty SET ACCESS METHOD tsext;
TRUNCATE empty;
-- Emptied, it is empty again.
INSERT INTO empty SELECT timestamptz '2024-01-01' + g * interval '1 s', 'h', g FROM generate_series(1, 5000) g;
SELECT drop_chunks('empty', older_than => '2025-01-01'::timestamptz);
SELECT show_chunks('empty'), tsext.series('empty'), tsext.verify('empty');
SELECT * FROM tsext.compact('empty');
SELECT count(*) FROM empty;
DROP TABLE empty, empty_too;

-- Rows wider than a page, values of a megabyte and more: hot, cold and merged.
CREATE TABLE wide_heap (time timestamptz, id int, note text, bytes bytea, list int[]);
CREATE TABLE wide (LIKE wide_heap) USING tsext WITH (tsext.chunk_interval = '1 day');
ALTER TABLE wide ALTER bytes SET STORAGE external;
CREATE FUNCTION noise(seed text, length int) RETURNS text LANGUAGE sql AS $$
  SELECT left(string_agg(md5(seed || g), '' ORDER BY g), length) FROM generate_series(0, length / 32) g
$$;
INSERT INTO wide_heap SELECT timestamptz '2024-01-01' + g * interval '1 s', g, noise('w' || g, CASE g % 10 WHEN 0 THEN 1500000 ELSE 3000 * (g % 10) END),
  decode(noise('b' || g, 20000), 'hex'), ARRAY(SELECT i * g FROM generate_series(1, 3000) i) FROM generate_series(1, 12) g;
INSERT INTO wide SELECT * FROM wide_heap;
SELECT * FROM state('wide', 'wide_heap');
SELECT rows_moved FROM tsext.compact('wide', level => 'hot');
SELECT * FROM state('wide', 'wide_heap');
INSERT INTO wide SELECT time + interval '500 ms', id + 100, note || '!', bytes, list FROM wide_heap;
INSERT INTO wide_heap SELECT time + interval '500 ms', id + 100, note || '!', bytes, list FROM wide_heap;
SELECT rows_moved, segments_merged > 0 AS merged FROM tsext.compact('wide', level => 'hot');
SELECT * FROM state('wide', 'wide_heap');
SELECT segments_merged > 0 AS merged FROM tsext.compact('wide', level => 'cold');
SELECT * FROM state('wide', 'wide_heap');
SELECT count(decompress_chunk(c)) FROM show_chunks('wide') c;
SELECT * FROM state('wide', 'wide_heap');
UPDATE wide SET note = note || '?' WHERE id % 10 = 0;
UPDATE wide_heap SET note = note || '?' WHERE id % 10 = 0;
SELECT rows_moved FROM tsext.compact('wide');
SELECT * FROM state('wide', 'wide_heap');
DROP TABLE wide, wide_heap;

-- 1,600 columns.
DO $$ BEGIN
  EXECUTE (SELECT format('CREATE TABLE columns_heap (time timestamptz, %s)', string_agg(format('c%s %s', g, (ARRAY['int', 'real', 'smallint', 'bool'])[g % 4 + 1]), ', ' ORDER BY g))
           FROM generate_series(1, 1599) g);
  EXECUTE (SELECT format('INSERT INTO columns_heap SELECT timestamptz ''2024-01-01'' + g * interval ''1 min'', %s FROM generate_series(1, 200) g',
             string_agg(CASE g % 4 WHEN 0 THEN 'g * ' || g WHEN 1 THEN 'g / 4.0' WHEN 2 THEN 'nullif(g % 9, 3)' ELSE 'g % 7 = 3' END, ', ' ORDER BY g))
           FROM generate_series(1, 1599) g);
END $$;
CREATE TABLE columns (LIKE columns_heap) USING tsext;
INSERT INTO columns SELECT * FROM columns_heap;
SELECT * FROM state('columns', 'columns_heap');
SELECT rows_moved FROM tsext.compact('columns');
SELECT * FROM state('columns', 'columns_heap');
SELECT count(c1598), sum(c1598), sum(c1596), max(c1597), bool_or(c1599) FROM columns;
SELECT count(c1598), sum(c1598), sum(c1596), max(c1597), bool_or(c1599) FROM columns_heap;
INSERT INTO columns SELECT * FROM columns_heap;
INSERT INTO columns_heap SELECT * FROM columns_heap;
SELECT segments_merged > 0 AS merged FROM tsext.compact('columns', level => 'cold');
SELECT * FROM state('columns', 'columns_heap');
COPY columns TO :'file';
TRUNCATE columns;
COPY columns FROM :'file';
SELECT * FROM state('columns', 'columns_heap');
TRUNCATE columns;
INSERT INTO columns SELECT h.* FROM columns_heap h, generate_series(1, 12);
SELECT count(c1598), sum(c1598), sum(c1596), max(c1597), bool_or(c1599), cold_rows('columns') FROM columns;
SELECT 12 * count(c1598), 12 * sum(c1598), 12 * sum(c1596), max(c1597), bool_or(c1599) FROM columns_heap;
SELECT count(*) FROM tsext.verify('columns');
SELECT count(*) FROM tsext.columns WHERE schema_name = 'bad_input_test' AND table_name = 'columns';
ALTER TABLE columns DROP c7, DROP c1597;
SELECT sum(c1598), min(c8), max(time) FROM columns;
DROP TABLE columns, columns_heap;

-- Times at the limits of each type.
CREATE TABLE stages (type text, stage text, differing bigint, total bigint, cold bigint, problems bigint);
CREATE PROCEDURE limits(type text, "values" text[]) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE limits_heap (time %1$s, n int); CREATE TABLE limits (LIKE limits_heap) USING tsext; SELECT tsext.set_options(''limits'', time_column => ''time'')', type);
  EXECUTE format('INSERT INTO limits_heap SELECT v::%s, n FROM unnest($1) WITH ORDINALITY u(v, n)', type) USING "values";
  INSERT INTO limits SELECT * FROM limits_heap;
  INSERT INTO stages SELECT type, 'hot', s.* FROM state('limits', 'limits_heap') s;
  COMMIT;
  PERFORM tsext.compact('limits');
  INSERT INTO stages SELECT type, 'compacted', s.* FROM state('limits', 'limits_heap') s;
  INSERT INTO limits SELECT * FROM limits_heap;
  INSERT INTO limits_heap SELECT * FROM limits_heap;
  COMMIT;
  PERFORM tsext.compact('limits', level => 'cold');
  INSERT INTO stages SELECT type, 'merged', s.* FROM state('limits', 'limits_heap') s;
  COMMIT;
  PERFORM decompress_chunk(c) FROM show_chunks('limits') c;
  INSERT INTO stages SELECT type, 'decompressed', s.* FROM state('limits', 'limits_heap') s;
  COMMIT;
  -- Many rows at once, with the limits among them.
  INSERT INTO limits_heap SELECT time, g FROM limits_heap, generate_series(1, 1000) g;
  TRUNCATE limits;
  INSERT INTO limits SELECT * FROM limits_heap;
  INSERT INTO stages SELECT type, 'bulk', s.* FROM state('limits', 'limits_heap') s;
  COMMIT;
  PERFORM tsext.compact('limits');
  INSERT INTO stages SELECT type, 'all', s.* FROM state('limits', 'limits_heap') s;
  IF (SELECT count(*) FROM limits WHERE time = (SELECT min(time) FROM limits_heap)) <> (SELECT count(*) FROM limits_heap WHERE time = (SELECT min(time) FROM limits_heap)) OR
     (SELECT count(*) FROM limits WHERE time = (SELECT max(time) FROM limits_heap)) <> (SELECT count(*) FROM limits_heap WHERE time = (SELECT max(time) FROM limits_heap)) THEN
    RAISE EXCEPTION 'a limit is not found';
  END IF;
  DROP TABLE limits, limits_heap;
END $$;
CALL limits('timestamptz', '{4714-11-24 00:00:00+00 BC, 294276-12-31 23:59:59.999999+00, 1970-01-01, 2000-01-01, 1999-12-31 23:59:59.999999+00, infinity, -infinity}');
CALL limits('timestamp', '{4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999, 1970-01-01, 2000-01-01, infinity, -infinity}');
CALL limits('date', '{4714-11-24 BC, 5874897-12-31, 1970-01-01, 2000-01-01, 1999-12-31, infinity, -infinity}');
CALL limits('bigint', '{-9223372036854775808, 9223372036854775807, -9223372036854775807, 9223372036854775806, 0, -1}');
CALL limits('int', '{-2147483648, 2147483647, 0, -1}');
CALL limits('smallint', '{-32768, 32767, 0, -1}');
TABLE stages;

-- A COPY that fails in its last line leaves nothing, and vacuum takes what it wrote.
CREATE TABLE failing (time timestamptz, id int, note text) USING tsext WITH (tsext.chunk_interval = '1 day');
COPY (SELECT (timestamptz '2024-01-01' + g * interval '0.5 s')::text, CASE WHEN g = 150000 THEN 'the last' ELSE g::text END, md5(g::text)
  FROM generate_series(1, 150000) g) TO :'file';
SET tsext.bulk_memory = '1MB';
COPY failing FROM :'file';
RESET tsext.bulk_memory;
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE oid = 'failing'::regclass \gset
SELECT pg_relation_size(:'toast') > 0 AS wrote_segments;
SELECT count(*), cold_rows('failing') FROM failing;
SELECT show_chunks('failing'), tsext.verify('failing'), tsext.series('failing');
VACUUM (TRUNCATE) failing;
VACUUM (TRUNCATE) :toast;
SELECT count(*), pg_relation_size('failing') AS hot_bytes, pg_relation_size(:'toast') AS segment_bytes FROM failing;
DROP TABLE failing;

-- Names that need quoting, 63 bytes of them, in a schema outside the search path.
CREATE SCHEMA "Odd ""schema"" ä.b";
CREATE TABLE "Odd ""schema"" ä.b"."table, 'of' {odd} 名前 with sixty-three bytes in its name, ok"
  ("the ""time""" timestamptz NOT NULL, "host, name" text, "größe={1}" text, "a column's name of sixty-three bytes, which is the limit, o k o" float8) USING tsext;
SELECT relname, octet_length(relname) AS bytes, attname, octet_length(attname) AS attname_bytes FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = '"Odd ""schema"" ä.b"'::regnamespace AND attnum > 0 AND relkind = 'r' ORDER BY attnum;
SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relnamespace = '"Odd ""schema"" ä.b"'::regnamespace AND relkind = 'r' \gset
SELECT tsext.set_options(:'name', time_column => 'the "time"', chunk_interval => '1 hour', segment_by => ARRAY['host, name', 'größe={1}'],
  order_by => ARRAY['a column''s name of sixty-three bytes, which is the limit, o k o']);
SELECT time_column, segment_by, order_by FROM tsext.options WHERE schema_name LIKE 'Odd%';
CREATE TABLE names_heap AS SELECT timestamptz '2024-01-01' + g * interval '1 s' AS time, 'host "' || g % 3 AS host, repeat('ä', g % 2) AS size, g / 4.0::float8 AS v FROM generate_series(1, 5000) g;
INSERT INTO :name SELECT * FROM names_heap;
INSERT INTO :name SELECT * FROM names_heap LIMIT 10;
INSERT INTO names_heap SELECT * FROM names_heap LIMIT 10;
SELECT * FROM state(:'name', 'names_heap');
SELECT rows_moved FROM tsext.compact(:'name');
SELECT * FROM state(:'name', 'names_heap');
SELECT show_chunks(:'name');
SELECT chunk, cold_rows FROM tsext.chunks WHERE schema_name LIKE 'Odd%' ORDER BY range_start_value;
SELECT column_name, rows FROM tsext.columns WHERE schema_name LIKE 'Odd%';
SELECT series, rows FROM tsext.series(:'name') ORDER BY series::text COLLATE "C";
SELECT decompress_chunk(c) FROM show_chunks(:'name') c ORDER BY c LIMIT 1;
SELECT * FROM state(:'name', 'names_heap');
SELECT compress_chunk(c) FROM show_chunks(:'name') c ORDER BY c LIMIT 1;
SELECT * FROM state(:'name', 'names_heap');
SELECT drop_chunks(:'name', older_than => '2024-01-01 01:00'::timestamptz);
SELECT count(*) FROM :name;
SELECT count(*) FROM names_heap WHERE time >= '2024-01-01 01:00';
DROP TABLE names_heap;
DROP SCHEMA "Odd ""schema"" ä.b" CASCADE;

-- Segment-by keys: very long, NULL, empty, equal for a collation but not for the eye.
CREATE COLLATION shrug (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE keys_heap (time timestamptz NOT NULL, host text COLLATE shrug, place text, n int);
CREATE TABLE keys (LIKE keys_heap) USING tsext WITH (tsext.segment_by = 'host,place', tsext.chunk_interval = '1 day');
INSERT INTO keys_heap SELECT timestamptz '2024-01-01' + g * interval '1 s', (ARRAY['Straße', 'strasse', 'STRASSE', NULL, '', ' '])[g % 6 + 1],
  CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN repeat('long ', 3000) || 'a' WHEN 3 THEN repeat('long ', 3000) || 'b' ELSE chr(1) END, g FROM generate_series(1, 6000) g;
INSERT INTO keys SELECT * FROM keys_heap;
SELECT * FROM state('keys', 'keys_heap');
SELECT segments_merged > 0 AS merged FROM tsext.compact('keys', level => 'cold');
SELECT * FROM state('keys', 'keys_heap');
INSERT INTO keys SELECT time + interval '500 ms', host, place, n FROM keys_heap WHERE n % 50 < 7;
INSERT INTO keys_heap SELECT time + interval '500 ms', host, place, n FROM keys_heap WHERE n % 50 < 7;
SELECT rows_moved, segments_merged > 0 AS merged FROM tsext.compact('keys');
SELECT * FROM state('keys', 'keys_heap');
SELECT count(*), sum(n) FROM keys WHERE host = 'strasse';
SELECT count(*), sum(n) FROM keys_heap WHERE host = 'strasse';
SELECT count(*) AS groups, sum(c), min(c), max(c) FROM (SELECT count(*) AS c FROM keys GROUP BY host, place) g;
SELECT count(*) AS groups, sum(c), min(c), max(c) FROM (SELECT count(*) AS c FROM keys_heap GROUP BY host, place) g;
SELECT count(*), sum(n) FROM keys WHERE place LIKE '%b' AND host IS NULL;
SELECT count(*), sum(n) FROM keys_heap WHERE place LIKE '%b' AND host IS NULL;
SELECT series ->> 'host' AS host, length(series ->> 'place') AS place_length, sum(rows) AS rows FROM tsext.series('keys')
GROUP BY series ->> 'host', 2 ORDER BY (series ->> 'host') COLLATE "C", 2, 3;
SELECT host COLLATE "C" AS host, length(place) AS place_length, count(*) AS rows FROM keys_heap GROUP BY host COLLATE "C", 2 ORDER BY host COLLATE "C", 2, 3;

DROP SCHEMA bad_input_test CASCADE;
