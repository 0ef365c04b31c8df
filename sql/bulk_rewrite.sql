-- CREATE TABLE AS, materialized views and rewrites into segments, compared with heap twins.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA bulk_rewrite_test;
SET search_path = bulk_rewrite_test, public;
RESET client_min_messages;
CREATE FUNCTION difference(a regclass, b regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((SELECT * FROM %1$s EXCEPT ALL SELECT * FROM %2$s) UNION ALL (SELECT * FROM %2$s EXCEPT ALL SELECT * FROM %1$s)) d', a, b) INTO n;
  RETURN n;
END $$;
CREATE FUNCTION cold_rows(relation regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = relation;
$$;
CREATE FUNCTION orphans() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM tsext.segment WHERE store NOT IN (SELECT oid FROM pg_class); $$;
CREATE TABLE source USING heap AS
SELECT timestamptz '2024-01-01' + i / 20 * interval '10 seconds' AS time, 'host_' || i % 20 AS host, i % 1000 AS code, i / 8.0::float8 AS v FROM generate_series(0, 19999) i;

-- CREATE TABLE AS, SELECT INTO, EXECUTE, WITH NO DATA; small ones stay hot.
\set QUIET off
CREATE TABLE made USING tsext AS SELECT * FROM source;
\set QUIET on
SELECT difference('made', 'source'), cold_rows('made');
SELECT label FROM pg_seclabel WHERE objoid = 'made'::regclass;
SET default_table_access_method = tsext;
SELECT * INTO into_made FROM source WHERE code < 500;
PREPARE p AS SELECT * FROM source;
CREATE TABLE execute_made AS EXECUTE p;
RESET default_table_access_method;
SELECT cold_rows('into_made'), (SELECT count(*) FROM into_made), difference('execute_made', 'source'), cold_rows('execute_made');
CREATE TABLE few USING tsext AS SELECT * FROM source LIMIT 100;
SELECT count(*), cold_rows('few') FROM few;
CREATE TABLE none USING tsext AS SELECT * FROM source WITH NO DATA;
SELECT count(*), cold_rows('none') FROM none;
CREATE UNLOGGED TABLE unlogged_made USING tsext AS SELECT * FROM source;
CREATE TEMP TABLE temp_made USING tsext AS SELECT * FROM source;
SELECT cold_rows('unlogged_made'), cold_rows('temp_made'), difference('unlogged_made', 'source'), difference('temp_made', 'source');
SET tsext.bulk_memory = '1MB';
CREATE TABLE little_memory USING tsext AS SELECT * FROM source;
RESET tsext.bulk_memory;
SELECT difference('little_memory', 'source'), cold_rows('little_memory') > 10000 AS is_cold;
-- A parallel query lets nothing but rows of the heap be written: rows that do not fit into memory wait.
SET tsext.bulk_memory = '512kB';
SET work_mem = '64kB';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE source SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) CREATE TABLE out_of_parallel USING tsext AS SELECT * FROM source;
CREATE TABLE out_of_parallel USING tsext AS SELECT * FROM source;
CREATE MATERIALIZED VIEW parallel_view USING tsext AS SELECT * FROM source;
REFRESH MATERIALIZED VIEW parallel_view;
ALTER TABLE source RESET (parallel_workers);
RESET max_parallel_workers_per_gather;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;
RESET work_mem;
RESET tsext.bulk_memory;
SELECT difference('out_of_parallel', 'source'), cold_rows('out_of_parallel') > 0 AS is_cold,
  difference('parallel_view', 'source'), cold_rows('parallel_view') > 0 AS view_is_cold;
DROP MATERIALIZED VIEW parallel_view;
SET tsext.enable_bulk = off;
CREATE TABLE off USING tsext AS SELECT * FROM source;
RESET tsext.enable_bulk;
SELECT difference('off', 'source'), cold_rows('off');
-- Infinite times go to the hot heap.
CREATE TABLE infinite USING tsext AS SELECT CASE WHEN code = 0 THEN 'infinity' WHEN code = 1 THEN NULL ELSE time END AS time, v FROM source;
SELECT count(*), cold_rows('infinite') FROM infinite;
-- Errors and savepoints leave nothing.
CREATE TABLE failed USING tsext AS SELECT time, 1 / (v - 2000)::int AS v FROM source;
BEGIN;
SAVEPOINT s;
CREATE TABLE undone USING tsext AS SELECT * FROM source;
SELECT count(*) FROM undone;
ROLLBACK TO s;
CREATE TABLE undone USING tsext AS SELECT * FROM source WHERE code < 700;
SELECT count(*), cold_rows('undone') FROM undone;
COMMIT;
SELECT count(*), cold_rows('undone') FROM undone;
SELECT orphans();
-- A function that makes and reads tables while one is being made.
CREATE FUNCTION make_inner() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  CREATE TABLE bulk_rewrite_test.inner_made USING tsext AS SELECT * FROM bulk_rewrite_test.source;
  INSERT INTO bulk_rewrite_test.inner_made SELECT * FROM bulk_rewrite_test.source LIMIT 10;
  SELECT count(*) INTO n FROM bulk_rewrite_test.inner_made;
  RETURN n;
END $$;
CREATE TABLE outer_made USING tsext AS SELECT time, CASE WHEN v = 10 THEN make_inner() END AS n FROM source;
SELECT count(*), max(n), cold_rows('outer_made'), cold_rows('inner_made') FROM outer_made;

-- Materialized views.
CREATE MATERIALIZED VIEW m USING tsext AS SELECT * FROM source;
SELECT difference('m', 'source'), cold_rows('m');
UPDATE source SET v = -1 WHERE code = 5;
REFRESH MATERIALIZED VIEW m;
SELECT difference('m', 'source'), cold_rows('m');
REFRESH MATERIALIZED VIEW m WITH NO DATA;
SELECT cold_rows('m');
REFRESH MATERIALIZED VIEW m;
SELECT difference('m', 'source'), cold_rows('m');
SELECT orphans();

-- SET ACCESS METHOD both ways.
CREATE TABLE a USING heap AS SELECT *, NULL::text AS note FROM source;
ALTER TABLE a SET ACCESS METHOD tsext;
SELECT count(*), cold_rows('a') FROM a;
SELECT count(*) FROM (SELECT time, host, code, v FROM a EXCEPT ALL SELECT * FROM source) d;
SELECT label FROM pg_seclabel WHERE objoid = 'a'::regclass;
ALTER TABLE a SET ACCESS METHOD heap;
SELECT count(*) FROM (SELECT time, host, code, v FROM a EXCEPT ALL SELECT * FROM source) d;
SELECT cold_rows('a'), orphans();
BEGIN;
ALTER TABLE a SET ACCESS METHOD tsext;
SELECT count(*), cold_rows('a') FROM a;
ROLLBACK;
SELECT amname, (SELECT count(*) FROM a), cold_rows('a') FROM pg_class JOIN pg_am ON relam = pg_am.oid WHERE pg_class.oid = 'a'::regclass;
SELECT orphans();
-- With an index that is not unique; with a key, which keeps the rows hot.
CREATE INDEX ON a (host);
ALTER TABLE a SET ACCESS METHOD tsext;
SELECT count(*), cold_rows('a') FROM a WHERE host = 'host_3';
CREATE TABLE keyed (time timestamptz, id int PRIMARY KEY, note text) USING heap;
INSERT INTO keyed SELECT time, row_number() OVER (), 'x' FROM source;
ALTER TABLE keyed SET ACCESS METHOD tsext;
SELECT count(*), cold_rows('keyed') FROM keyed;
INSERT INTO keyed VALUES (now(), 5, 'x');

-- Rewrites by ALTER TABLE: types, defaults, dropped columns.
CREATE TABLE r_twin USING heap AS SELECT *, NULL::text AS note FROM source;
CREATE TABLE r USING tsext AS SELECT *, NULL::text AS note FROM source;
ALTER TABLE r_twin ALTER code TYPE bigint USING code * 1000000000000;
ALTER TABLE r ALTER code TYPE bigint USING code * 1000000000000;
SELECT difference('r', 'r_twin'), cold_rows('r');
SELECT label FROM pg_seclabel WHERE objoid = 'r'::regclass;
ALTER TABLE r_twin DROP COLUMN note, ADD COLUMN extra text DEFAULT 'e' || random()::text, ALTER v TYPE numeric;
ALTER TABLE r DROP COLUMN note, ADD COLUMN extra text DEFAULT 'e' || random()::text, ALTER v TYPE numeric;
ALTER TABLE r_twin DROP COLUMN extra;
ALTER TABLE r DROP COLUMN extra;
SELECT difference('r', 'r_twin'), cold_rows('r');
ALTER TABLE r ALTER host TYPE int USING 1 / 0;
ALTER TABLE r ALTER code TYPE int;
SELECT difference('r', 'r_twin'), cold_rows('r'), orphans();
-- Who only has the name of a transient table gets nobody else's options.
SELECT 'pg_temp_' || 'r'::regclass::oid AS name \gset
CREATE TABLE :name USING tsext AS SELECT * FROM source;
SELECT cold_rows(:'name');

-- A key made over cold rows, as pg_restore does it: they become hot again, with all their index entries.
CREATE TABLE restored USING tsext AS SELECT time, row_number() OVER () AS id, host, v FROM source;
CREATE INDEX restored_host ON restored (host);
SELECT cold_rows('restored');
CREATE UNIQUE INDEX CONCURRENTLY restored_id ON restored (id);
DROP INDEX IF EXISTS restored_id;
ALTER TABLE restored ADD PRIMARY KEY (id);
SELECT count(*), cold_rows('restored') FROM restored;
SET enable_seqscan = off;
SELECT count(*) FROM restored WHERE host = 'host_3';
SELECT count(*) FROM restored WHERE id = 777;
RESET enable_seqscan;
INSERT INTO restored VALUES (now(), 777);
INSERT INTO restored SELECT time, 100000 + code + v, host, v FROM source ON CONFLICT DO NOTHING;
SELECT cold_rows('restored');
-- The others: unique and partial indexes, exclusion, in a rewrite, over a partitioned table; duplicates; not the owner.
CREATE FUNCTION again() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  DROP TABLE IF EXISTS k;
  CREATE TABLE k USING tsext AS SELECT time, (row_number() OVER ())::int AS id, v FROM source;
  RETURN cold_rows('k');
END $$;
SELECT again();
CREATE UNIQUE INDEX ON k (id) WHERE v > 100;
SELECT cold_rows('k'), again();
ALTER TABLE k ADD EXCLUDE USING btree (id WITH =);
SELECT cold_rows('k'), again();
ALTER TABLE k ALTER id TYPE bigint, ADD UNIQUE (id, time);
SELECT cold_rows('k'), again();
ALTER TABLE k ADD COLUMN serial bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT cold_rows('k'), (SELECT count(DISTINCT serial) FROM k);
SELECT again();
CREATE UNIQUE INDEX ON k (v);
SELECT cold_rows('k'), (SELECT count(*) FROM k);
CREATE TABLE p (time timestamptz, id int, v float8) PARTITION BY RANGE (time);
ALTER TABLE p ATTACH PARTITION k FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE UNIQUE INDEX ON p (time, id);
SELECT cold_rows('k'), (SELECT count(*) FROM p);
SELECT orphans();

SET client_min_messages = warning;
DROP SCHEMA bulk_rewrite_test CASCADE;
