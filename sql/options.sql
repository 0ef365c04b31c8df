-- Options of a table: defaults, WITH, SET, tsext.set_options(), create_hypertable(), renames, rights.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA options_test;
SET search_path = options_test, public;
RESET client_min_messages;

-- SQLSTATE and message of a command that fails.
CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE FUNCTION options_of(relation regclass) RETURNS text LANGUAGE sql AS $$
  SELECT pg_catalog.format('%s | %s | %s %s | %s | %s', time_column, chunk_interval, segment_by_origin, segment_by, order_by, decoded)
  FROM tsext.table_options(relation);
$$;

-- Defaults: the first timestamptz, timestamp or date, else a NOT NULL bigint named time or ts.
CREATE TABLE default_timestamptz (id int, seen timestamptz, other timestamp, v float8) USING tsext;
CREATE TABLE default_timestamp (ts bigint NOT NULL, seen timestamp) USING tsext;
CREATE TABLE default_date (day date, v float8) USING tsext;
CREATE TABLE default_bigint (v float8, ts bigint NOT NULL, time bigint NOT NULL) USING tsext;
CREATE TABLE default_none (ts bigint, time int NOT NULL, v float8) USING tsext;
CREATE TABLE default_no_columns () USING tsext;
CREATE DOMAIN moment AS timestamptz CHECK (value > '2000-01-01');
CREATE TABLE default_domain (at moment) USING tsext;
SELECT r, options_of(r) FROM unnest('{default_timestamptz, default_timestamp, default_date, default_bigint, default_none,
  default_no_columns, default_domain}'::regclass[]) r;
SELECT * FROM tsext.options WHERE table_name = 'default_timestamptz';

-- WITH, names that need quotes, bare words, options of the server beside ours.
CREATE TABLE w (time timestamptz NOT NULL, host text, "Odd, ""x" int, v float8) USING tsext
  WITH (tsext.time_column = 'time', fillfactor = 70, tsext.chunk_interval = '12 hours', tsext.segment_by = 'host, "Odd, ""x"',
    tsext.order_by = 'time', tsext.decoded = off);
SELECT options_of('w'), reloptions FROM pg_class WHERE oid = 'w'::regclass;
SELECT label FROM pg_seclabel WHERE objoid = 'w'::regclass;
CREATE TABLE bare (time timestamp, host text) USING tsext WITH (tsext.time_column = time, tsext.segment_by = host, tsext.chunk_interval = auto);
SELECT options_of('bare');
CREATE TABLE no_time (time timestamptz, v int) USING tsext WITH (tsext.time_column = '', tsext.segment_by = '');
SELECT options_of('no_time');
CREATE TABLE integers (t bigint, v int) USING tsext WITH (tsext.time_column = 't', tsext.chunk_interval = '1000');
SELECT options_of('integers');
CREATE TABLE weeks (day date) USING tsext WITH (tsext.chunk_interval = '2 weeks 1 month');
SELECT options_of('weeks');
-- IF NOT EXISTS leaves the options of the table that is there.
CREATE TABLE IF NOT EXISTS integers (t bigint) USING tsext WITH (tsext.time_column = 't', tsext.chunk_interval = '5');
SELECT options_of('integers');
-- CREATE TABLE AS, materialized views, the default access method, temporary tables, LIKE.
CREATE TABLE from_query USING tsext WITH (tsext.segment_by = 'host') AS
  SELECT timestamptz '2024-01-01' + g * interval '1 min' AS time, 'host ' || g % 3 AS host, g AS v FROM generate_series(1, 100) g;
SELECT options_of('from_query'), count(*), sum(v) FROM from_query;
CREATE MATERIALIZED VIEW view_of USING tsext WITH (tsext.chunk_interval = '7 days') AS SELECT time, v FROM from_query;
REFRESH MATERIALIZED VIEW view_of;
SELECT options_of('view_of'), count(*) FROM view_of;
CREATE TABLE no_data USING tsext WITH (tsext.chunk_interval = '3 days') AS SELECT * FROM from_query WITH NO DATA;
SELECT options_of('no_data');
SET default_table_access_method = tsext;
CREATE TABLE by_default (time timestamptz) WITH (tsext.chunk_interval = '1 hour');
CREATE TABLE like_w (LIKE w INCLUDING ALL);
CREATE TEMPORARY TABLE by_default (time timestamptz) WITH (tsext.chunk_interval = '2 hours');
RESET default_table_access_method;
SELECT options_of('options_test.by_default'), options_of('pg_temp.by_default'), options_of('like_w');
DROP TABLE pg_temp.by_default;

-- In functions and DO blocks the statement is a cached plan: it must stay as it was.
CREATE FUNCTION make_and_change() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  DROP TABLE IF EXISTS in_function;
  CREATE TABLE in_function (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'h');
  ALTER TABLE in_function SET (tsext.chunk_interval = '2 days', fillfactor = 50);
  RETURN options_test.options_of('options_test.in_function');
END $$;
SET client_min_messages = warning;
SELECT make_and_change() FROM generate_series(1, 3);
RESET client_min_messages;
DO $$ BEGIN FOR i IN 1..2 LOOP ALTER TABLE options_test.in_function RESET (tsext.segment_by, tsext.chunk_interval); END LOOP; END $$;
SELECT options_of('in_function'), reloptions FROM pg_class WHERE oid = 'in_function'::regclass;

-- SET and RESET.
ALTER TABLE w SET (tsext.chunk_interval = '36:00:00', fillfactor = 80);
ALTER TABLE w RESET (tsext.segment_by, fillfactor);
SELECT options_of('w'), reloptions FROM pg_class WHERE oid = 'w'::regclass;
ALTER MATERIALIZED VIEW view_of SET (tsext.chunk_interval = 'auto');
ALTER TABLE IF EXISTS nowhere SET (tsext.chunk_interval = '1 day');
SELECT options_of('view_of');
CREATE TABLE was_heap AS SELECT * FROM from_query;
ALTER TABLE was_heap SET ACCESS METHOD tsext, SET (tsext.chunk_interval = '4 hours');
SELECT options_of('was_heap'), count(*), sum(v) FROM was_heap;
ALTER TABLE was_heap SET ACCESS METHOD heap;
SELECT count(*) FROM pg_seclabel WHERE objoid = 'was_heap'::regclass;
-- Rolled back with the transaction, and with a savepoint.
BEGIN;
ALTER TABLE bare SET (tsext.chunk_interval = '5 days');
SAVEPOINT s;
ALTER TABLE bare SET (tsext.chunk_interval = '6 days');
SELECT options_of('bare');
ROLLBACK TO s;
SELECT options_of('bare');
ROLLBACK;
SELECT options_of('bare');

-- tsext.set_options(): what is NULL stays.
SELECT tsext.set_options('w', segment_by => '{host}');
SELECT tsext.set_options('w', chunk_interval => interval '1 week');
SELECT tsext.set_options('w', chunk_interval => '1 day', order_by => ARRAY['Odd, "x', 'time'], decoded => true);
SELECT options_of('w');
SELECT tsext.set_options('w', chunk_interval => 'auto', segment_by => '{}');
SELECT options_of('w');
SELECT tsext.set_options('integers', chunk_interval => 5000);
SELECT tsext.set_options('integers', chunk_interval => 9223372036854775807);
SELECT options_of('integers');

-- Renamed and dropped columns.
CREATE TABLE parent (time timestamptz, host text, region text, v float8) USING tsext;
CREATE TABLE child () INHERITS (parent) USING tsext;
SELECT tsext.set_options(r, time_column => 'time', chunk_interval => '1 day', segment_by => '{host,region}') FROM unnest('{parent,child}'::regclass[]) r;
ALTER TABLE parent RENAME COLUMN time TO "The time";
ALTER TABLE parent RENAME host TO "{host}";
ALTER TABLE parent RENAME TO parent2;
SELECT options_of('parent2');
SELECT options_of('child');
SELECT label FROM pg_seclabel WHERE objoid = 'child'::regclass;
ALTER TABLE parent2 DROP COLUMN "{host}", DROP COLUMN v;
SELECT options_of('child');
ALTER TABLE parent2 DROP COLUMN "The time";
SELECT options_of('parent2'), options_of('child');
-- A new column does not take the place of the time column in force.
CREATE TABLE pinned (ts bigint NOT NULL, v int) USING tsext WITH (tsext.segment_by = 'v');
ALTER TABLE pinned ADD COLUMN seen timestamptz;
SELECT options_of('pinned');
-- The type of the time column changes: an interval of the old unit is forgotten.
CREATE TABLE retyped (time timestamptz, v int) USING tsext WITH (tsext.chunk_interval = '12 hours');
ALTER TABLE retyped ALTER COLUMN time TYPE timestamp;
SELECT options_of('retyped');
ALTER TABLE retyped ALTER COLUMN time TYPE bigint USING extract(epoch FROM time);
SELECT options_of('retyped');
ALTER TABLE retyped ALTER COLUMN time TYPE text;
SELECT options_of('retyped');

-- Wrong options.
SELECT failure(c) FROM unnest(ARRAY[
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.nonsense = 1)$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.time_column = 'nowhere')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.time_column = 'ctid')$$,
  $$CREATE TABLE bad (time timestamptz, v text) USING tsext WITH (tsext.time_column = 'v')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.time_column)$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '0')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '0 days')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '-1 day')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '1 month -31 days')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '100')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = 'soon')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '178000000 years')$$,
  $$CREATE TABLE bad (time date) USING tsext WITH (tsext.chunk_interval = '36 hours')$$,
  $$CREATE TABLE bad (ts bigint NOT NULL) USING tsext WITH (tsext.chunk_interval = '1 day')$$,
  $$CREATE TABLE bad (ts bigint NOT NULL) USING tsext WITH (tsext.chunk_interval = '99999999999999999999')$$,
  $$CREATE TABLE bad (v int) USING tsext WITH (tsext.chunk_interval = '1 day')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'h,h')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'time')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'h', tsext.order_by = 'h')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'h,')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'g')$$,
  $$CREATE TABLE bad (time timestamptz, h text) USING tsext WITH (tsext.segment_by = 'h', tsext.segment_by = 'h')$$,
  $$CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.decoded = 'perhaps')$$,
  $$CREATE TABLE bad (time timestamptz) USING heap WITH (tsext.chunk_interval = '1 day')$$,
  $$CREATE TABLE bad USING tsext WITH (tsext.time_column = 'v') AS SELECT now() AS time, 'x'::text AS v$$,
  $$CREATE TABLE bad (time timestamptz) PARTITION BY RANGE (time) WITH (tsext.chunk_interval = '1 day')$$,
  $$ALTER TABLE w SET (tsext.nonsense = 1)$$,
  $$ALTER TABLE w RESET (tsext.nonsense)$$,
  $$ALTER TABLE was_heap SET (tsext.chunk_interval = '1 day')$$,
  $$ALTER TABLE was_heap SET ACCESS METHOD heap, SET (tsext.chunk_interval = '1 day')$$,
  $$ALTER TABLE nowhere SET (tsext.chunk_interval = '1 day')$$,
  $$SELECT tsext.set_options(NULL)$$,
  $$SELECT tsext.set_options(0)$$,
  $$SELECT tsext.set_options('was_heap', chunk_interval => '1 day')$$,
  $$SELECT tsext.set_options('tsext.options', chunk_interval => '1 day')$$,
  $$SELECT tsext.set_options('w', chunk_interval => 1.5)$$,
  $$SELECT tsext.set_options('w', chunk_interval => now())$$,
  $$SELECT tsext.set_options('w', chunk_interval => 100)$$,
  $$SELECT tsext.set_options('w', chunk_interval => -100)$$,
  $$SELECT tsext.set_options('w', time_column => 'host')$$,
  $$SELECT tsext.set_options('w', time_column => '', chunk_interval => '1 day')$$,
  $$SELECT tsext.set_options('w', segment_by => '{nowhere}')$$,
  $$SELECT tsext.set_options('w', segment_by => '{NULL}')$$,
  $$SELECT tsext.set_options('w', segment_by => array(SELECT 'c' || g FROM generate_series(1, 17) g)::name[])$$
]) c;
SELECT options_of('w'), to_regclass('bad');
\set VERBOSITY default
CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.nonsense = 1);
CREATE TABLE bad (time timestamptz, v text) USING tsext WITH (tsext.time_column = 'v');
CREATE TABLE bad (time timestamptz) USING tsext WITH (tsext.chunk_interval = '100');

-- Labels made by hand or restored: the syntax is checked, columns are not.
SECURITY LABEL FOR tsext ON TABLE w IS 'time_column=nowhere, chunk_interval=3 days, segment_by={host,"no, where"}, decoded=off';
SELECT options_of('w');
SELECT failure(format('SECURITY LABEL FOR tsext ON TABLE w IS %L', label)) FROM unnest(ARRAY['x', 'x=1', 'time_column=',
  'time_column="a', 'time_column=a b=c', 'time_column=a,', 'chunk_interval=1 fortnight', 'chunk_interval=-1 day', 'chunk_interval=0',
  'chunk_interval=99999999999999999999', 'segment_by=host', 'segment_by={host', 'segment_by={a,,b}', 'segment_by={a}, auto_segment_by={b}',
  'decoded=perhaps', 'time_column=a, time_column=b', 'auto_segment_by={}, order_by={a}', '']) label;
SELECT failure('SECURITY LABEL FOR tsext ON TABLE was_heap IS ''time_column=time''');
SELECT failure('SECURITY LABEL FOR tsext ON COLUMN w.time IS ''time_column=time''');
SECURITY LABEL FOR tsext ON TABLE w IS NULL;
SELECT options_of('w');

-- create_hypertable(), by_range(), set_chunk_time_interval().
CREATE TABLE hyper (time timestamptz NOT NULL, device text, v float8);
SELECT hypertable_id = 'hyper'::regclass AS id, schema_name, table_name, created FROM create_hypertable('hyper', 'time');
SELECT options_of('hyper');
SELECT create_hypertable('hyper', 'time');
SELECT created FROM create_hypertable('hyper', 'time', if_not_exists => true);
CREATE TABLE filled (time timestamptz NOT NULL, device text, v float8);
INSERT INTO filled SELECT timestamptz '2024-01-01' + g * interval '1 hour', 'd' || g % 2, g FROM generate_series(1, 100) g;
SELECT create_hypertable('filled', by_range('time', INTERVAL '1 week'));
SELECT created FROM create_hypertable('filled', by_range('time', INTERVAL '1 week'), migrate_data => true);
SELECT options_of('filled'), count(*), sum(v) FROM filled;
SELECT set_chunk_time_interval('filled', INTERVAL '24 hours');
SELECT options_of('filled');
SELECT set_chunk_time_interval('filled', 3600000000);
SELECT options_of('filled');
CREATE TABLE spaced (day date, device text);
SELECT created FROM create_hypertable('spaced', 'day', chunk_time_interval => 604800000000, partitioning_column => 'device', number_partitions => 4,
  create_default_indexes => false);
SELECT options_of('spaced');
CREATE TABLE counted (t bigint, v int);
SELECT created FROM create_hypertable('counted', 't', chunk_time_interval => 100000);
SELECT options_of('counted');
CREATE TABLE already (time timestamptz) USING tsext;
SELECT created FROM create_hypertable('already', 'time', INTERVAL '1 day');
SELECT options_of('already');
SELECT by_range('time'), by_range('time', '1 day'), by_range('t', 1000), by_range('t', INTERVAL '36 hours');
CREATE TABLE plain (t bigint, h text);
CREATE TABLE parted (time timestamptz) PARTITION BY RANGE (time);
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT create_hypertable('plain', 'nowhere')$$,
  $$SELECT create_hypertable('plain', 'h')$$,
  $$SELECT create_hypertable('plain', 't', INTERVAL '1 day')$$,
  $$SELECT create_hypertable('plain', 't', -5)$$,
  $$SELECT create_hypertable('plain', NULL::name)$$,
  $$SELECT create_hypertable('plain', '{}'::jsonb)$$,
  $$SELECT create_hypertable('plain', '[1]'::jsonb)$$,
  $$SELECT create_hypertable('parted', 'time')$$,
  $$SELECT create_hypertable('tsext.options', 'time')$$,
  $$SELECT set_chunk_time_interval('plain', 1000)$$,
  $$SELECT set_chunk_time_interval('filled', NULL)$$,
  $$SELECT set_chunk_time_interval('filled', INTERVAL '-1 day')$$
]) c;
SELECT failure($$SELECT create_hypertable('plain', 't', 1000)$$), options_of('plain');

-- Partitions of a partitioned table.
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') USING tsext WITH (tsext.chunk_interval = '1 week');
SELECT options_of('parted_1');

-- Rights: only the owner sets options, only who may read the table sees them.
CREATE ROLE options_stranger;
GRANT USAGE ON SCHEMA options_test TO options_stranger;
GRANT SELECT ON hyper TO options_stranger;
SET ROLE options_stranger;
SELECT table_name FROM tsext.options WHERE schema_name = 'options_test';
SELECT failure(c) FROM unnest(ARRAY[
  $$SELECT tsext.set_options('options_test.hyper', chunk_interval => '1 day')$$,
  $$ALTER TABLE options_test.hyper SET (tsext.chunk_interval = '1 day')$$,
  $$ALTER TABLE options_test.hyper SET ACCESS METHOD tsext, SET (tsext.chunk_interval = '1 day')$$,
  $$SELECT set_chunk_time_interval('options_test.hyper', INTERVAL '1 day')$$,
  $$SELECT create_hypertable('options_test.was_heap', 'time', migrate_data => true)$$,
  $$SECURITY LABEL FOR tsext ON TABLE options_test.hyper IS 'chunk_interval=1 day'$$
]) c;
RESET ROLE;
SELECT options_of('hyper');

SET client_min_messages = warning;
DROP SCHEMA options_test CASCADE;
DROP ROLE options_stranger;
