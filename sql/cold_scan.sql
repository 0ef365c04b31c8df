-- Cold rows, row by row: scans in all directions, fetches by tuple id, samples, statistics, what is refused. Compared with a
-- heap twin.
SET client_min_messages = warning;
CREATE SCHEMA cold_scan;
CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public;
SET search_path = cold_scan, public;
RESET client_min_messages;
SET timezone = 'UTC';
SET tsext.enable_scan = off;

CREATE TABLE t (time timestamptz NOT NULL, id int, v float8, s text) USING tsext;
CREATE TABLE h (LIKE t) USING heap;
INSERT INTO h SELECT '2024-01-01'::timestamptz + g * interval '10 s', g, CASE WHEN g % 11 > 0 THEN g % 97 / 4.0 END, 's' || g % 10
              FROM generate_series(1, 20000) g;
INSERT INTO t SELECT * FROM h;
-- The hot rows on top: too few for segments.
INSERT INTO h SELECT '2025-01-01'::timestamptz + g * interval '1 h', 20000 + g, g, 'hot' FROM generate_series(1, 100) g;
INSERT INTO t SELECT * FROM h WHERE id > 20000;
CREATE VIEW rows_by_kind AS
  SELECT CASE WHEN (ctid::text::point)[0] >= 2147483648 THEN 'cold' ELSE 'hot' END AS kind, count(*), min(id), max(id) FROM t GROUP BY 1;
SELECT * FROM rows_by_kind ORDER BY 1;
CREATE FUNCTION difference() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT count(*) FROM ((SELECT * FROM t EXCEPT ALL SELECT * FROM h) UNION ALL (SELECT * FROM h EXCEPT ALL SELECT * FROM t)) d);
END $$;
SELECT difference();

-- System columns, whole rows, record output.
SELECT xmin, xmax, cmin, cmax, tableoid::regclass, (ctid::text::point)[0] >= 2147483648 AS cold, t, row_to_json(t) FROM t WHERE id = 77;
DO $$
DECLARE r t; x record; n int = 0;
BEGIN
  SELECT * INTO r FROM t WHERE id = 78;
  RAISE NOTICE '%', r;
  FOR x IN SELECT t AS whole, ctid FROM t WHERE id IN (79, 20001) ORDER BY id LOOP n := n + (x.whole).id; END LOOP;
  RAISE NOTICE '%', n;
END $$;
SELECT count(DISTINCT ctid) = count(*) AS ctids_are_unique FROM t;

-- Cursors: forwards, backwards, over the border between hot and cold; WITH HOLD. Hot rows come first.
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM t;
MOVE 99 IN c;
FETCH 1 FROM c;
DO $$
DECLARE c refcursor = 'c'; x int; forwards int[] = '{}'; backwards int[] = '{}';
BEGIN
  LOOP FETCH NEXT FROM c INTO x; EXIT WHEN NOT FOUND; forwards := forwards || x; END LOOP;
  LOOP FETCH PRIOR FROM c INTO x; EXIT WHEN NOT FOUND; backwards := x || backwards; END LOOP;
  RAISE NOTICE '% rows forwards after the first 100, % backwards, same order: %', cardinality(forwards), cardinality(backwards),
    forwards = backwards[101:];
  FETCH LAST FROM c INTO x;
  RAISE NOTICE 'last is the last: %', x = forwards[cardinality(forwards)];
  FETCH ABSOLUTE 101 FROM c INTO x;
  RAISE NOTICE 'first cold: %', x = forwards[1];
  FETCH PRIOR FROM c INTO x;
  RAISE NOTICE 'last hot: %', x;
  FETCH NEXT FROM c INTO x;
  RAISE NOTICE 'first cold again: %', x = forwards[1];
END $$;
DECLARE b SCROLL CURSOR FOR SELECT id > 20000 AS hot FROM t;
FETCH BACKWARD ALL FROM b;
FETCH LAST FROM b;
FETCH RELATIVE -1 FROM b;
FETCH FIRST FROM b;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t WHERE id % 5000 = 0 ORDER BY id;
COMMIT;
FETCH ALL FROM held;
CLOSE held;

-- Rescans: a nested loop over the whole table; a lateral one; CTE; parallel plans.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*), sum(t.id) FROM (VALUES (1), (2), (3)) x(n) JOIN t ON t.id = x.n OR t.id = 20000 + x.n;
SELECT n, (SELECT sum(id) FROM t WHERE id % 3 = n) FROM generate_series(0, 2) n;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE t SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*), sum(id) FROM t;
SELECT count(*), sum(id) FROM t;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*), sum(a.id) FROM t a JOIN h b ON a.id = b.id WHERE b.id IN (5, 6, 20003);
SELECT n, (SELECT sum(id) FROM t WHERE id % 3 = n) FROM generate_series(0, 2) n;
RESET enable_hashjoin;
RESET enable_mergejoin;
SET max_parallel_workers_per_gather = 0;

-- Tuple ids of cold rows.
SELECT ctid AS cold_ctid FROM t WHERE id = 4711 \gset
SELECT id, ctid = :'cold_ctid' AS same FROM t WHERE ctid = :'cold_ctid';
SELECT currtid2('cold_scan.t', :'cold_ctid') = :'cold_ctid' AS same;
SELECT count(*) FROM t WHERE ctid >= '(2147483648,0)';
SELECT count(*) FROM t WHERE ctid < '(2147483648,0)';
SELECT id FROM t WHERE ctid = '(4294967294,1)';
SELECT id FROM t WHERE ctid = '(2147483648,1)';
SELECT id FROM t WHERE ctid = ((:'cold_ctid'::tid::text::point)[0]::bigint, 65535)::text::tid;
SELECT a.id FROM t a JOIN t b ON a.ctid = b.ctid WHERE b.id IN (9, 20009) ORDER BY 1;

-- What cannot be done with a row that is compressed; hot rows beside it can.
DO $$
DECLARE command text; message text; state text; detail text; hint text;
BEGIN
  FOREACH command IN ARRAY ARRAY['UPDATE t SET v = 0 WHERE id = 5', 'DELETE FROM t WHERE id = 5', 'SELECT * FROM t WHERE id = 5 FOR UPDATE',
    'SELECT * FROM t WHERE id = 5 FOR KEY SHARE SKIP LOCKED', 'MERGE INTO t USING (VALUES (5)) s(n) ON t.id = s.n WHEN MATCHED THEN DELETE',
    'UPDATE t SET id = 0 WHERE time < ''2024-01-02'''] LOOP
    BEGIN
      EXECUTE command;
      RAISE EXCEPTION 'no error';
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
      RAISE NOTICE '% => % % | % | %', command, state, message, detail, hint;
    END;
  END LOOP;
END $$;
UPDATE t SET v = -1 WHERE id = 20001 RETURNING id, v;
UPDATE h SET v = -1 WHERE id = 20001;
DELETE FROM t WHERE id = 20002 RETURNING id;
DELETE FROM h WHERE id = 20002;
SELECT id FROM t WHERE id = 20003 FOR UPDATE;
SELECT difference();

-- Indexes hold the hot rows, so plans do not use them.
CREATE INDEX t_id ON t (id);
CREATE INDEX CONCURRENTLY t_s ON t (s);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 5;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE ctid > '(0,5)';
SELECT * FROM t WHERE id = 5;
SELECT count(*) FROM t WHERE s = 's5';
SELECT min(id), max(id) FROM t;
RESET enable_seqscan;
REINDEX TABLE CONCURRENTLY t;
SELECT count(*) FROM t WHERE id BETWEEN 19990 AND 20010;

-- A key makes the rows hot again, as dumps are restored: load first, key later. A key that does not hold changes nothing.
SELECT count(*) AS segments FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass) \gset
\set VERBOSITY terse
CREATE UNIQUE INDEX ON t (s);
\set VERBOSITY default
SELECT difference();
SELECT count(*) = :segments AS same FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass);
BEGIN;
ALTER TABLE t ADD PRIMARY KEY (id);
SELECT count(*) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass);
SELECT difference();
SET LOCAL enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 5;
SELECT id FROM t WHERE id IN (5, 20005) ORDER BY 1;
SELECT count(*) FROM t WHERE s = 's5';
INSERT INTO t VALUES ('2024-01-01', 5, 0, 's') ON CONFLICT (id) DO UPDATE SET v = 5555 RETURNING id, v;
ROLLBACK;
SELECT count(*) = :segments AS same FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass);
CREATE TABLE k (LIKE t) USING tsext;
INSERT INTO k SELECT * FROM h;
CREATE INDEX k_s ON k (s);
CREATE UNIQUE INDEX CONCURRENTLY k_id ON k (id);
SELECT count(*) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'k'::regclass);
INSERT INTO k VALUES ('2024-01-01', 5, 0, 's');
SELECT count(*), (SELECT count(*) FROM k WHERE s = 's5') FROM k;
SELECT bt_index_check('k_id', true), bt_index_check('k_s', true);
ALTER TABLE k ADD EXCLUDE USING btree (time WITH =);
DROP TABLE k;
CREATE TABLE x (LIKE t) USING tsext;
INSERT INTO x SELECT * FROM h;
\set VERBOSITY terse
ALTER TABLE x ADD CONSTRAINT x_violated EXCLUDE USING btree (s WITH =);
\set VERBOSITY default
ALTER TABLE x ADD CONSTRAINT x_excl EXCLUDE USING btree (id WITH =);
SELECT count(*) FROM x WHERE id < 11;
DROP TABLE x;

-- TABLESAMPLE: all kinds of blocks, none twice, the same again with the same seed.
SELECT count(*), count(DISTINCT ctid) FROM t TABLESAMPLE system (100);
SELECT count(*), count(DISTINCT ctid) FROM t TABLESAMPLE bernoulli (100);
SELECT count(*) FROM t TABLESAMPLE system (0);
SELECT count(*) BETWEEN 6000 AND 14000, count(DISTINCT ctid) = count(*), bool_or(id < 20000) FROM t TABLESAMPLE system (50) REPEATABLE (7);
SELECT count(*) BETWEEN 9000 AND 11000, count(DISTINCT ctid) = count(*), bool_or(id < 20000), bool_or(id > 20000)
FROM t TABLESAMPLE bernoulli (50) REPEATABLE (7);
SELECT (SELECT sum(id) FROM t TABLESAMPLE bernoulli (20) REPEATABLE (3)) = (SELECT sum(id) FROM t TABLESAMPLE bernoulli (20) REPEATABLE (3)) AS repeats;

-- ANALYZE sees all rows; reltuples stays the hot count; the planner expects all.
ANALYZE t;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
SELECT attname, round(null_frac::numeric, 1) AS nulls, n_distinct FROM pg_stats WHERE schemaname = 'cold_scan' AND tablename = 't'
AND attname IN ('v', 's', 'id') ORDER BY 1;
SELECT histogram_bounds::text::int[] && ARRAY[1] AS from_the_first, (histogram_bounds::text::int[])[100 + 1] FROM pg_stats
WHERE schemaname = 'cold_scan' AND tablename = 't' AND attname = 'id';
CREATE FUNCTION estimate(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan->0->'Plan'->>'Plan Rows';
END $$;
SELECT estimate('SELECT * FROM t') BETWEEN 19000 AND 21000 AS all_rows, estimate('SELECT * FROM t WHERE id < 10000') BETWEEN 9000 AND 11000 AS half;
BEGIN;
ANALYZE t;
COMMIT;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
VACUUM (ANALYZE) t;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
CREATE TABLE parent (LIKE t) PARTITION BY RANGE (time);
ALTER TABLE parent ATTACH PARTITION t FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
ANALYZE parent;
SELECT n_distinct FROM pg_stats WHERE schemaname = 'cold_scan' AND tablename = 'parent' AND attname = 's' AND inherited;
SELECT reltuples FROM pg_class WHERE oid = 't'::regclass;
SELECT count(*) FROM parent WHERE id % 2 = 0;
ALTER TABLE parent DETACH PARTITION t;

-- Columns that came and went.
DROP VIEW rows_by_kind;
ALTER TABLE t ADD COLUMN extra int DEFAULT 7, ADD COLUMN later text;
ALTER TABLE h ADD COLUMN extra int DEFAULT 7, ADD COLUMN later text;
ALTER TABLE t DROP COLUMN v;
ALTER TABLE h DROP COLUMN v;
SELECT count(*), sum(extra), count(later) FROM t;
SELECT difference();
SELECT count(*), sum(extra) FROM t TABLESAMPLE bernoulli (100);

-- SERIALIZABLE readers take the relation lock that covers cold rows too.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT id FROM t WHERE ctid = :'cold_ctid';
SELECT locktype, mode FROM pg_locks WHERE mode = 'SIReadLock' AND relation = 't'::regclass;
COMMIT;

-- A rewrite and a change of the access method read all rows.
ALTER TABLE t ALTER COLUMN id TYPE bigint;
ALTER TABLE h ALTER COLUMN id TYPE bigint;
SELECT difference();
ALTER TABLE t SET ACCESS METHOD heap;
SELECT difference();
ALTER TABLE t SET ACCESS METHOD tsext;
SELECT difference();
-- Rows without a time stay hot, thousands of them in one rewrite, too.
CREATE TABLE untimed (time timestamptz, id int) USING tsext;
INSERT INTO untimed SELECT NULL, g FROM generate_series(1, 5000) g;
ALTER TABLE untimed ALTER COLUMN id TYPE numeric;
SELECT count(*), sum(id), count(time) FROM untimed;

SET client_min_messages = warning;
DROP SCHEMA cold_scan CASCADE;
