-- INSERT … SELECT into segments, compared with a heap twin.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE SCHEMA bulk_insert_test;
SET search_path = bulk_insert_test, public;
RESET client_min_messages;
CREATE TABLE twin (time timestamptz, host text, v float8) USING heap;
CREATE TABLE t (LIKE twin) USING tsext;
CREATE FUNCTION difference(a regclass, b regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((SELECT * FROM %1$s EXCEPT ALL SELECT * FROM %2$s) UNION ALL (SELECT * FROM %2$s EXCEPT ALL SELECT * FROM %1$s)) d', a, b) INTO n;
  RETURN n;
END $$;
CREATE FUNCTION cold_rows(relation regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(nrows), 0) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = relation;
$$;
CREATE TABLE source USING heap AS
SELECT timestamptz '2024-01-01' + i / 20 * interval '10 seconds' AS time, 'host_' || i % 20 AS host, i / 8.0 AS v FROM generate_series(0, 19999) i;
ANALYZE source;

-- The node, and when it is there.
EXPLAIN (COSTS off) INSERT INTO t SELECT * FROM source;
EXPLAIN (COSTS off) INSERT INTO t SELECT * FROM source LIMIT 10;
EXPLAIN (COSTS off) INSERT INTO t VALUES (now(), 'a', 1);
EXPLAIN (COSTS off) INSERT INTO t SELECT * FROM source RETURNING time;
EXPLAIN (COSTS off) INSERT INTO twin SELECT * FROM source;
SET tsext.enable_bulk = off;
EXPLAIN (COSTS off) INSERT INTO t SELECT * FROM source;
RESET tsext.enable_bulk;

-- Rows, counts, completion tags.
\set QUIET off
INSERT INTO twin SELECT * FROM source;
INSERT INTO t SELECT * FROM source;
\set QUIET on
SELECT difference('t', 'twin'), cold_rows('t'), (SELECT count(*) FROM t);
INSERT INTO twin (host, time) SELECT host, time FROM source ORDER BY v DESC, time;
INSERT INTO t (host, time) SELECT host, time FROM source ORDER BY v DESC, time;
SELECT difference('t', 'twin'), cold_rows('t');
-- Out of its own table: what it held before.
\set QUIET off
INSERT INTO twin SELECT time + interval '1 day', host, v FROM twin;
INSERT INTO t SELECT time + interval '1 day', host, v FROM t;
\set QUIET on
SELECT difference('t', 'twin'), cold_rows('t');
-- Several runs with little memory, still out of its own table.
SET tsext.bulk_memory = '2MB';
INSERT INTO twin SELECT time + interval '2 days', host, v FROM twin;
INSERT INTO t SELECT time + interval '2 days', host, v FROM t;
RESET tsext.bulk_memory;
SELECT difference('t', 'twin'), cold_rows('t') > 100000 AS is_cold;
-- Many rows expected, few found: they stay hot.
TRUNCATE t, twin;
INSERT INTO t SELECT * FROM source WHERE v + v < 10;
SELECT count(*), cold_rows('t') FROM t;
-- generate_series, volatile functions of the server, subqueries, CTEs, joins.
TRUNCATE t;
INSERT INTO t SELECT '2024-01-01'::timestamptz + i * interval '1 s', 'h', random() FROM generate_series(1, 10000) i;
WITH s AS MATERIALIZED (SELECT * FROM source) INSERT INTO t SELECT s.time, s.host, (SELECT max(v) FROM source) FROM s JOIN source USING (time, host);
SELECT count(*), cold_rows('t'), count(*) FILTER (WHERE v = 19999 / 8.0) FROM t;
-- A volatile function of a user may look at the table: row by row.
CREATE FUNCTION rows_so_far() RETURNS bigint LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN (SELECT count(*) FROM bulk_insert_test.t); END';
TRUNCATE t;
EXPLAIN (COSTS off) INSERT INTO t SELECT time, host, rows_so_far() FROM source;
INSERT INTO t SELECT time, host, rows_so_far() FROM source LIMIT 300;
SELECT min(v), max(v) FROM t;

-- Prepared statements follow changes of the table.
TRUNCATE t;
PREPARE fill AS INSERT INTO t SELECT * FROM source;
SET plan_cache_mode = force_generic_plan;
EXECUTE fill;
SELECT cold_rows('t');
CREATE FUNCTION upper_host() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.host := upper(NEW.host); RETURN NEW; END';
CREATE TRIGGER u BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION upper_host();
EXECUTE fill;
SELECT cold_rows('t'), count(*) FILTER (WHERE host LIKE 'HOST%') FROM t;
DROP TRIGGER u ON t;
SET tsext.enable_bulk = off;
EXECUTE fill;
RESET tsext.enable_bulk;
SELECT cold_rows('t'), count(*) FROM t;
DEALLOCATE fill;
RESET plan_cache_mode;

-- Constraints, generated columns, defaults; the same messages.
CREATE TABLE c_twin (time timestamptz NOT NULL, gone int, v int CHECK (v < 15000), w int GENERATED ALWAYS AS (v * 2) STORED, d text DEFAULT 'd') USING heap;
CREATE TABLE c (LIKE c_twin INCLUDING ALL) USING tsext;
ALTER TABLE c DROP COLUMN gone;
ALTER TABLE c_twin DROP COLUMN gone;
INSERT INTO c_twin (time, v) SELECT time, v FROM source;
INSERT INTO c (time, v) SELECT time, v FROM source;
SELECT difference('c', 'c_twin'), cold_rows('c');
INSERT INTO c_twin (time, v) SELECT time, v * 8 FROM source;
INSERT INTO c (time, v) SELECT time, v * 8 FROM source;
INSERT INTO c_twin (time, v) SELECT nullif(time, '2024-01-01 02:46:30'), v FROM source;
INSERT INTO c (time, v) SELECT nullif(time, '2024-01-01 02:46:30'), v FROM source;
INSERT INTO c (time, v) SELECT time, 1 / (v - 100)::int FROM source;
SELECT count(*) FROM c;

-- Statement triggers, transition tables.
CREATE TABLE log (what text) USING heap;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO bulk_insert_test.log SELECT TG_WHEN || ' ' || count(*) FROM bulk_insert_test.noted; RETURN NULL; END $$;
CREATE TABLE noted (LIKE twin) USING tsext;
CREATE TRIGGER b BEFORE INSERT ON noted EXECUTE FUNCTION note();
CREATE TRIGGER a AFTER INSERT ON noted EXECUTE FUNCTION note();
INSERT INTO noted SELECT * FROM source;
SELECT * FROM log ORDER BY 1;
SELECT cold_rows('noted');
CREATE FUNCTION note_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO bulk_insert_test.log SELECT 'transition ' || count(*) FROM fresh; RETURN NULL; END $$;
CREATE TRIGGER n AFTER INSERT ON noted REFERENCING NEW TABLE AS fresh EXECUTE FUNCTION note_transition();
INSERT INTO noted SELECT * FROM source;
SELECT * FROM log ORDER BY 1;
SELECT cold_rows('noted'), (SELECT count(*) FROM noted);

-- ON CONFLICT, views, row security, partitions, data-modifying CTEs.
CREATE VIEW seen AS SELECT * FROM t WHERE v >= 0 WITH CHECK OPTION;
TRUNCATE t;
INSERT INTO seen SELECT * FROM source;
SELECT count(*), cold_rows('t') FROM t;
INSERT INTO seen SELECT time, host, -1 FROM source;
INSERT INTO t SELECT * FROM source ON CONFLICT DO NOTHING;
SELECT count(*) FROM t;
WITH moved AS (DELETE FROM source WHERE v < 1000 RETURNING *) INSERT INTO t SELECT * FROM moved;
SELECT count(*) FROM t;
CREATE TABLE parted (LIKE twin) PARTITION BY RANGE (time);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-01-02') USING tsext;
INSERT INTO parted_1 SELECT * FROM source;
INSERT INTO parted SELECT * FROM source;
INSERT INTO parted_1 SELECT time + interval '1 day', host, v FROM source;
SELECT count(*), cold_rows('parted_1') FROM parted;
CREATE ROLE bulk_insert_role;
GRANT USAGE ON SCHEMA bulk_insert_test TO bulk_insert_role;
GRANT SELECT ON source TO bulk_insert_role;
SET ROLE bulk_insert_role;
INSERT INTO t SELECT * FROM source;
RESET ROLE;
GRANT INSERT ON t TO bulk_insert_role;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t FOR INSERT WITH CHECK (v > 1500);
SET ROLE bulk_insert_role;
INSERT INTO t SELECT * FROM source;
INSERT INTO t SELECT * FROM source WHERE v > 1500;
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;
DROP OWNED BY bulk_insert_role;
DROP ROLE bulk_insert_role;
BEGIN READ ONLY;
INSERT INTO t SELECT * FROM source;
ROLLBACK;

-- Savepoints, exception blocks, open cursors.
TRUNCATE t;
BEGIN;
DECLARE k CURSOR FOR SELECT count(*) FROM t;
INSERT INTO t SELECT * FROM source;
SAVEPOINT s;
INSERT INTO t SELECT * FROM source;
INSERT INTO t SELECT time, host, 1 / 0 FROM source;
ROLLBACK TO s;
FETCH k;
COMMIT;
SELECT difference('t', 'source'), cold_rows('t');
DO $$ BEGIN INSERT INTO bulk_insert_test.t SELECT time, host, 1 / (v - 2000)::int FROM bulk_insert_test.source; EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SELECT difference('t', 'source'), cold_rows('t');

-- Sort columns: the column that tells series apart is chosen and remembered.
SELECT label FROM pg_seclabel WHERE objoid = 't'::regclass;
CREATE TABLE chosen (time timestamptz, region text, device_id int, metric text, v float8) USING tsext;
INSERT INTO chosen SELECT timestamptz '2024-01-01' + i / 200 * interval '1 minute', 'r' || i % 3, i % 20, 'm' || i / 20 % 10, i FROM generate_series(0, 39999) i;
SELECT label FROM pg_seclabel WHERE objoid = 'chosen'::regclass;
CREATE TABLE alone (time timestamptz, state text, v float8) USING tsext;
INSERT INTO alone SELECT timestamptz '2024-01-01' + i * interval '1 minute', CASE WHEN i / 1000 % 2 = 0 THEN 'on' ELSE 'off' END, i FROM generate_series(0, 39999) i;
SELECT count(*) FROM pg_seclabel WHERE objoid = 'alone'::regclass;
SELECT count(*) FROM tsext.segment JOIN pg_class ON store = reltoastrelid WHERE pg_class.oid = 'alone'::regclass AND key_lo IS NOT NULL;

-- Chunks: one day wide, wider when rows are few; never across what exists; far away and open ends.
CREATE TABLE years (time timestamptz, v float8) USING tsext;
INSERT INTO years SELECT timestamptz '2010-01-01' + i * interval '1 day', i FROM generate_series(0, 4999) i;
INSERT INTO years SELECT timestamptz '2015-06-01' + i * interval '1 second', i FROM generate_series(0, 9999) i;
INSERT INTO years SELECT timestamptz '2000-01-01' + i * interval '2 days', i FROM generate_series(0, 4999) i;
INSERT INTO years SELECT timestamptz '4713-01-01 BC' + i * interval '1 hour', i FROM generate_series(0, 4999) i;
INSERT INTO years SELECT timestamptz '294276-12-31 23:59:59' - i * interval '1 hour', i FROM generate_series(0, 4999) i;
SELECT count(*) FROM years;
CREATE TEMP VIEW chunks AS SELECT store, chunk_start, chunk_end, sum(nrows) AS rows, min(tmin) AS tmin, max(tmax) AS tmax FROM tsext.segment GROUP BY 1, 2, 3;
SELECT count(*) > 1 AS several, bool_and(tmin >= chunk_start AND tmax < chunk_end) AS inside FROM chunks JOIN pg_class ON store = reltoastrelid WHERE oid = 'years'::regclass;
SELECT count(*) AS overlaps FROM chunks a JOIN chunks b USING (store) WHERE a.chunk_start < b.chunk_end AND b.chunk_start < a.chunk_end AND (a.chunk_start, a.chunk_end) <> (b.chunk_start, b.chunk_end);
CREATE TABLE days (day date, v int) USING tsext;
INSERT INTO days SELECT date '2020-01-01' + i / 5000, i FROM generate_series(0, 19999) i;
SELECT date '2000-01-01' + chunk_start::int AS from, date '2000-01-01' + chunk_end::int AS to, rows FROM chunks JOIN pg_class ON store = reltoastrelid WHERE oid = 'days'::regclass ORDER BY 1;
CREATE TABLE fixed (ts bigint NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = 10000);
INSERT INTO fixed SELECT i, i FROM generate_series(-5000, 14999) i;
SELECT chunk_start, chunk_end, rows FROM chunks JOIN pg_class ON store = reltoastrelid WHERE oid = 'fixed'::regclass ORDER BY 1;
INSERT INTO fixed SELECT v, 1 FROM (SELECT 9223372036854775807 - i FROM generate_series(0, 4999) i) AS x(v);
INSERT INTO fixed SELECT v, 1 FROM (SELECT -9223372036854775808 + i FROM generate_series(0, 4999) i) AS x(v);
SELECT count(*), min(ts), max(ts) FROM fixed;

SET client_min_messages = warning;
DROP SCHEMA bulk_insert_test CASCADE;
