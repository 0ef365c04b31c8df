-- Plans over indexes of tables that may have cold rows: what they look like, that they stay the same over compactions, that they
-- give what a heap twin gives; estimates of row counts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET tsext.enable_bulk = off;
SET tsext.enable_aggregate = off;  -- the plans below are about scans
SET intervalstyle = 'postgres';
CREATE SCHEMA query_plan;
SET search_path = query_plan, public;

CREATE TABLE heap (time timestamptz NOT NULL, id int, host text, v float8) USING heap;
INSERT INTO heap SELECT '2024-01-01'::timestamptz + g * interval '10 s', g % 500, 'host_' || g % 20, g FROM generate_series(1, 20000) g;
CREATE TABLE cpu (LIKE heap) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'host');
ALTER TABLE cpu SET (autovacuum_enabled = off);     -- it would analyze in the middle
INSERT INTO cpu SELECT * FROM heap;
CREATE INDEX heap_id ON heap (id);
CREATE INDEX cpu_id ON cpu (id);
CREATE INDEX cpu_time ON cpu (time);
CREATE INDEX cpu_even ON cpu (v) WHERE id % 2 = 0;
CREATE TABLE wanted (id int, since timestamptz);
INSERT INTO wanted VALUES (3, '2024-01-01 12:00'), (7, '2024-01-02'), (7, '2024-01-04'), (NULL, NULL), (1000, '2024-01-01');
ANALYZE heap, cpu, wanted;

-- The plan of a query on the table, without costs.
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  line text;
  lines text = '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(query, 'TABLE', 'cpu') LOOP lines := lines || line || E'\n'; END LOOP;
  RETURN lines;
END $$;
-- The number of rows of a query when the table gives the same rows as the heap by index, by sequential scan and without our nodes.
CREATE FUNCTION same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  setting text;
  expected text;
  answer text;
BEGIN
  EXECUTE format('SELECT count(*) || '' '' || coalesce(string_agg(q::text, '','' ORDER BY q::text), '''') FROM (%s) q', replace(query, 'TABLE', 'heap')) INTO expected;
  FOREACH setting IN ARRAY '{index,sequential,off}'::text[] LOOP
    PERFORM set_config('tsext.enable_scan', (setting <> 'off')::text, true), set_config('enable_seqscan', (setting <> 'index')::text, true),
            set_config('enable_indexscan', (setting = 'index')::text, true);
    EXECUTE format('SELECT count(*) || '' '' || coalesce(string_agg(q::text, '','' ORDER BY q::text), '''') FROM (%s) q', replace(query, 'TABLE', 'cpu')) INTO answer;
    IF answer IS DISTINCT FROM expected THEN
      RETURN format('%s: %s instead of %s', setting, left(answer, 200), left(expected, 200));
    END IF;
  END LOOP;
  RETURN split_part(expected, ' ', 1) || ' rows';
END $$;

-- Every query, with the plan it has when all rows are hot.
CREATE TABLE plans (n serial, query text, plan text);
INSERT INTO plans (query) VALUES
  ('SELECT * FROM TABLE WHERE id = 5'),
  ('SELECT time, v FROM TABLE WHERE id = 5 AND time >= ''2024-01-02'' AND time < ''2024-01-02 12:00'' AND host LIKE ''host_%'''),
  ('SELECT count(*) FROM TABLE WHERE id < 3'),
  ('SELECT v FROM TABLE WHERE id % 2 = 0 AND v < 100'),
  ('SELECT time FROM TABLE WHERE time = ''2024-01-01 00:10'''),
  ('SELECT id FROM TABLE WHERE id = ANY (''{1,2,499,500}'') ORDER BY id DESC, time LIMIT 50'),
  ('SELECT t FROM TABLE t WHERE id = 77'),
  ('SELECT xmin::text <> ''0'', tableoid = ''TABLE''::regclass, ctid IS NULL, v FROM TABLE WHERE id = 77'),
  ('SELECT v FROM TABLE WHERE id = 5 AND id = 6'),
  ('SELECT v FROM TABLE WHERE id IS NULL'),
  ('SELECT w.id, t.v FROM wanted w JOIN TABLE t ON t.id = w.id AND t.time >= w.since'),
  ('SELECT w.id, t.n, t.v FROM wanted w LEFT JOIN LATERAL (SELECT count(*) n, max(v) v FROM TABLE t WHERE t.id = w.id AND t.time < w.since) t ON true'),
  ('SELECT id, (SELECT sum(v) FROM TABLE t WHERE t.id = w.id) FROM wanted w'),
  ('SELECT id FROM wanted w WHERE EXISTS (SELECT FROM TABLE t WHERE t.id = w.id AND t.v > 19500)'),
  ('SELECT a.v FROM TABLE a JOIN TABLE b USING (id) WHERE a.id = 9 AND b.v < 2160');
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
UPDATE plans SET plan = plan(query);
\pset format unaligned
\pset tuples_only on
SELECT query || E'\n' || plan FROM plans ORDER BY n;
SELECT n, same(query) FROM plans ORDER BY n;

-- Some cold, all cold, mixed with new rows: the same plans, and the answers of the heap.
SELECT rows_moved FROM tsext.compact('cpu');
SELECT n, plan, plan(query) AS plan_now FROM plans WHERE plan <> plan(query);
SELECT n, same(query) FROM plans ORDER BY n;
INSERT INTO cpu SELECT time + interval '7 days', id, host, -v FROM heap WHERE v <= 3000;
INSERT INTO cpu SELECT time + interval '1 s', id, host, -v FROM heap WHERE v <= 1000;
INSERT INTO heap SELECT time + interval '7 days', id, host, -v FROM heap WHERE v <= 3000;
INSERT INTO heap SELECT time + interval '1 s', id, host, -v FROM heap WHERE v BETWEEN 1 AND 1000;
SELECT n, plan, plan(query) AS plan_now FROM plans WHERE plan <> plan(query);
SELECT n, same(query) FROM plans ORDER BY n;

-- Prepared plans outlive a compaction.
SET plan_cache_mode = force_generic_plan;
PREPARE by_id(int, timestamptz) AS SELECT count(*), sum(v) FROM cpu WHERE id = $1 AND time < $2;
EXPLAIN (COSTS OFF) EXECUTE by_id(5, '2025-01-01');
EXECUTE by_id(5, '2025-01-01');
SELECT rows_moved FROM tsext.compact('cpu');
EXPLAIN (COSTS OFF) EXECUTE by_id(5, '2025-01-01');
EXECUTE by_id(5, '2025-01-01');
EXECUTE by_id(5, '2024-01-01 12:00');
EXECUTE by_id(NULL, NULL);
DEALLOCATE by_id;
RESET plan_cache_mode;

-- A volatile condition is tested once a row, hot or cold.
INSERT INTO cpu SELECT time + interval '14 days', id, host, v FROM heap WHERE v BETWEEN 1 AND 3000;
INSERT INTO heap SELECT time + interval '14 days', id, host, v FROM heap WHERE v BETWEEN 1 AND 3000;
CREATE SEQUENCE tested;
SELECT count(*), max(t) FROM (SELECT nextval('tested') AS t FROM cpu WHERE id = 5) c;
SELECT setval('tested', 1, false);
SELECT count(*) FROM cpu WHERE id = 5 AND nextval('tested') > 0;
SELECT currval('tested');

-- Constant conditions, cursors.
SELECT plan('SELECT v FROM TABLE WHERE id = 5 AND current_user <> ''''');
PREPARE gate(int) AS SELECT count(*) FROM cpu WHERE id = 5 AND $1 > 1;
SET plan_cache_mode = force_generic_plan;
EXECUTE gate(1);
EXECUTE gate(2);
RESET plan_cache_mode;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT time, v FROM cpu WHERE id = 5;
FETCH 2 FROM c;
MOVE LAST FROM c;
FETCH BACKWARD 2 FROM c;
FETCH ABSOLUTE 1 FROM c;
COMMIT;

-- Changing rows: hot ones only.
SELECT plan('UPDATE TABLE SET v = 0 WHERE id = 5 AND time > ''2024-01-14''');
SELECT plan('DELETE FROM TABLE t USING wanted w WHERE t.id = w.id AND t.time > ''2024-01-14''');
SELECT plan('SELECT v FROM TABLE WHERE id = 5 AND time > ''2024-01-14'' FOR UPDATE');
UPDATE cpu SET v = v + 0.5, host = 'changed' WHERE id = 5 AND time > '2024-01-14' AND v > 1000 RETURNING time, v;
UPDATE heap SET v = v + 0.5, host = 'changed' WHERE id = 5 AND time > '2024-01-14' AND v > 1000;
DELETE FROM cpu t USING wanted w WHERE t.id = w.id AND t.time > '2024-01-14';
DELETE FROM heap t USING wanted w WHERE t.id = w.id AND t.time > '2024-01-14';
MERGE INTO cpu t USING (SELECT DISTINCT id FROM wanted) w ON t.id = w.id + 10 AND t.time > '2024-01-14' WHEN MATCHED THEN UPDATE SET v = -1;
MERGE INTO heap t USING (SELECT DISTINCT id FROM wanted) w ON t.id = w.id + 10 AND t.time > '2024-01-14' WHEN MATCHED THEN UPDATE SET v = -1;
SELECT n, same(query) FROM plans ORDER BY n;
SELECT same('SELECT * FROM TABLE');
SELECT v FROM cpu WHERE id = 5 AND time > '2024-01-14' ORDER BY v LIMIT 2 FOR UPDATE;
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM cpu WHERE id = 5 AND v > 1000;
FETCH 1 FROM c;
DELETE FROM cpu WHERE CURRENT OF c RETURNING id, v;
ROLLBACK;
\set VERBOSITY terse
UPDATE cpu SET v = 0 WHERE id = 5;
DELETE FROM cpu WHERE id = 6 AND time < '2024-01-02';
SELECT v FROM cpu WHERE id = 5 FOR SHARE;
\set VERBOSITY default
SELECT same('SELECT * FROM TABLE');

-- The same without an index: heap tuples from batches.
SET enable_indexscan = off;
RESET enable_seqscan;
SELECT plan('UPDATE TABLE SET v = 0 WHERE id = 11 AND time > ''2024-01-14''');
SELECT plan('SELECT v FROM TABLE WHERE id = 5 AND time > ''2024-01-14'' FOR UPDATE');
SELECT plan('SELECT xmin FROM TABLE WHERE id = 5 AND time > ''2024-01-14''');
UPDATE cpu SET v = v + 0.25, host = 'changed' WHERE id = 11 AND time > '2024-01-14' RETURNING time, v;
UPDATE heap SET v = v + 0.25, host = 'changed' WHERE id = 11 AND time > '2024-01-14';
DELETE FROM cpu t USING wanted w WHERE t.id = w.id + 20 AND t.time > '2024-01-14';
DELETE FROM heap t USING wanted w WHERE t.id = w.id + 20 AND t.time > '2024-01-14';
MERGE INTO cpu t USING (SELECT DISTINCT id FROM wanted) w ON t.id = w.id + 30 AND t.time > '2024-01-14' WHEN MATCHED THEN UPDATE SET v = -1;
MERGE INTO heap t USING (SELECT DISTINCT id FROM wanted) w ON t.id = w.id + 30 AND t.time > '2024-01-14' WHEN MATCHED THEN UPDATE SET v = -1;
WITH gone AS (DELETE FROM cpu WHERE id = 40 AND time > '2024-01-14' RETURNING v) SELECT count(*), sum(v) FROM gone;
WITH gone AS (DELETE FROM heap WHERE id = 40 AND time > '2024-01-14' RETURNING v) SELECT count(*), sum(v) FROM gone;
SELECT t, v FROM cpu t WHERE id = 5 AND time > '2024-01-14' ORDER BY v LIMIT 2 FOR UPDATE;
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM cpu WHERE id = 5 AND v > 1000 AND time > '2024-01-14' FOR UPDATE;
FETCH 1 FROM c;
DELETE FROM cpu WHERE CURRENT OF c RETURNING id, v;
ROLLBACK;
UPDATE cpu SET v = 0 WHERE id = 5 AND time < '2024-01-02';
RESET enable_indexscan;
SET enable_seqscan = off;
SELECT same('SELECT * FROM TABLE');

-- Join conditions on the columns that prune are parameters of the inner side's scan.
CREATE TABLE hosts (host text, owner int, seen timestamptz);
INSERT INTO hosts SELECT 'host_' || g, g % 5, '2024-01-01'::timestamptz + g * interval '1 h' FROM generate_series(0, 24) g;
INSERT INTO hosts VALUES (NULL, 1, NULL), ('changed', 9, NULL);
ANALYZE hosts;
SET enable_indexscan = off;
SET enable_memoize = off;
RESET enable_seqscan;
SELECT plan('SELECT count(*), sum(v) FROM hosts h JOIN TABLE t USING (host) WHERE owner = 1');
SELECT plan('SELECT h.host, t.v FROM hosts h LEFT JOIN TABLE t ON t.time = h.seen AND t.host <> h.host');
SELECT plan('SELECT count(*) FROM hosts h JOIN TABLE t ON t.host = h.host AND t.time BETWEEN h.seen AND h.seen + interval ''1 h''');
RESET enable_indexscan;
SELECT same('SELECT h.owner, count(*), sum(v) FROM hosts h JOIN TABLE t USING (host) GROUP BY 1');
SELECT same('SELECT h.host, t.v FROM hosts h LEFT JOIN TABLE t ON t.time = h.seen AND t.host <> h.host');
SELECT same('SELECT h.host, count(v), sum(v) FROM hosts h LEFT JOIN TABLE t ON t.host = h.host AND t.time BETWEEN h.seen AND h.seen + interval ''1 h'' GROUP BY 1');
SELECT same('SELECT host FROM hosts h WHERE EXISTS (SELECT FROM TABLE t WHERE t.host = h.host AND t.time > h.seen)');
RESET enable_memoize;
SET enable_seqscan = off;

-- Row security: a condition of the user's does not see the rows a policy hides, by index or not.
CREATE ROLE query_plan_reader;
GRANT USAGE ON SCHEMA query_plan TO query_plan_reader;
GRANT SELECT ON cpu TO query_plan_reader;
CREATE POLICY visible ON cpu USING (host <> 'host_5');
ALTER TABLE cpu ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION tell(text, int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SET client_min_messages = notice;
SET ROLE query_plan_reader;
SELECT count(*) FROM cpu WHERE id IN (5, 6) AND tell(host, id) AND v < 700;
RESET ROLE;
SET client_min_messages = warning;
ALTER TABLE cpu DISABLE ROW LEVEL SECURITY;

-- A partition, and an index on an expression.
CREATE TABLE parts (LIKE heap) PARTITION BY LIST (host);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN ('host_1') USING tsext;
CREATE TABLE part_rest PARTITION OF parts DEFAULT USING tsext;
CREATE INDEX ON parts ((id * 2));
INSERT INTO parts SELECT * FROM heap;
ANALYZE parts;
SELECT rows_moved > 0 FROM tsext.compact('part_rest');
EXPLAIN (COSTS OFF) SELECT count(*), sum(v) FROM parts WHERE id * 2 = 42;
SELECT count(*), sum(v) FROM parts WHERE id * 2 = 42;
SELECT count(*), sum(v) FROM heap WHERE id * 2 = 42;
EXPLAIN (COSTS OFF) SELECT count(*) FROM wanted w JOIN parts p ON p.id * 2 = w.id * 2;
SELECT count(*) FROM wanted w JOIN parts p ON p.id * 2 = w.id * 2;
SELECT count(*) FROM wanted w JOIN heap p ON p.id * 2 = w.id * 2;

-- Tables whose rows all stay hot are planned like heaps.
CREATE TABLE keyed (id int PRIMARY KEY, v int) USING tsext;
INSERT INTO keyed SELECT g, g FROM generate_series(1, 5000) g;
CREATE INDEX keyed_v ON keyed (v);
VACUUM ANALYZE keyed;
EXPLAIN (COSTS OFF) SELECT id FROM keyed WHERE id < 100 ORDER BY id;
SET enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM keyed WHERE v < 100;
RESET enable_indexscan;
INSERT INTO keyed VALUES (5, 6) ON CONFLICT (id) DO UPDATE SET v = -excluded.v RETURNING *;
UPDATE keyed SET v = 7 WHERE id = 5 RETURNING *;
-- and may be compressed when they lose the key
ALTER TABLE keyed DROP CONSTRAINT keyed_pkey;
EXPLAIN (COSTS OFF) SELECT id FROM keyed WHERE v < 10 ORDER BY v, id;
SELECT rows_moved FROM tsext.compact('keyed');
SELECT id FROM keyed WHERE v < 10 ORDER BY v, id;

-- Estimates. The estimated number of rows within a factor of the true one, or both.
RESET enable_seqscan;
RESET enable_hashjoin;
RESET enable_mergejoin;
CREATE FUNCTION estimated(query text, factor float8 DEFAULT 1.5) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  plan json;
  actual bigint;
  estimate float8;
BEGIN
  PERFORM pg_stat_clear_snapshot();
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  EXECUTE format('SELECT count(*) FROM (%s) q', query) INTO actual;
  estimate = plan->0->'Plan'->>'Plan Rows';
  IF estimate BETWEEN greatest(actual, 1) / factor AND greatest(actual, 1) * factor THEN RETURN 'good'; END IF;
  RETURN estimate || ' instead of ' || actual;
END $$;
CREATE TABLE growing (time timestamptz NOT NULL, host int, v float8) USING tsext WITH (tsext.chunk_interval = '7 days', tsext.segment_by = 'host');
INSERT INTO growing SELECT '2024-01-01'::timestamptz + g * interval '1 min', g % 10, g FROM generate_series(0, 30 * 1440 - 1) g;
SELECT rows_moved FROM tsext.compact('growing');
-- never analyzed
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM growing');
SELECT estimated('SELECT * FROM growing WHERE time >= ''2024-01-20''');
SELECT estimated('SELECT * FROM growing WHERE time < ''2024-01-02''');
SELECT estimated('SELECT * FROM growing WHERE time BETWEEN ''2024-01-20'' AND ''2024-01-20 12:00''');
ANALYZE growing;
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM growing');
SELECT estimated('SELECT * FROM growing WHERE host = 3 AND time >= ''2024-01-25''');
SELECT estimated('SELECT * FROM growing g JOIN wanted w ON w.id = g.host', 2);
-- analyzed before the last days came
INSERT INTO growing SELECT '2024-01-31'::timestamptz + g * interval '1 min', g % 10, g FROM generate_series(0, 3 * 1440 - 1) g;
SELECT rows_moved FROM tsext.compact('growing');
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM growing WHERE time >= ''2024-02-01''');
SELECT estimated('SELECT * FROM growing WHERE time >= ''2024-02-02 23:00''', 2);
SELECT estimated('SELECT * FROM growing WHERE time >= ''2024-01-30'' AND time < ''2024-02-01''');
SELECT estimated('SELECT * FROM growing WHERE time < ''2024-01-11''');
SELECT estimated('SELECT * FROM growing WHERE time > ''2024-02-20''', 10);
-- an index's end is that of the hot rows, which are old here
CREATE INDEX growing_time ON growing (time);
INSERT INTO growing SELECT '2023-12-31'::timestamptz + g * interval '1 min', 1, g FROM generate_series(0, 99) g;
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM growing WHERE time >= ''2024-02-01''');
-- hot rows that come in now
CREATE TABLE live (LIKE growing) USING tsext WITH (tsext.segment_by = 'host');
INSERT INTO live SELECT now() - interval '10 days' + g * interval '1 min', g % 10, g FROM generate_series(0, 9 * 1440 - 1) g;
SELECT rows_moved FROM tsext.compact('live');
ANALYZE live;
INSERT INTO live SELECT now() - interval '1 day' + g * interval '1 min', g % 10, g FROM generate_series(0, 1440 - 1) g;
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM live WHERE time > now() - interval ''1 hour''', 2);
SELECT estimated('SELECT * FROM live WHERE time > now() - interval ''3 days''', 1.5);
-- other types of time columns
CREATE TABLE numbers (time bigint NOT NULL, v int) USING tsext;
INSERT INTO numbers SELECT g, g FROM generate_series(1, 20000) g;
CREATE TABLE dates (time date NOT NULL, v int) USING tsext;
INSERT INTO dates SELECT '2000-01-01'::date + g, g FROM generate_series(1, 10000) g;
SELECT rows_moved FROM tsext.compact('numbers') UNION ALL SELECT rows_moved FROM tsext.compact('dates');
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM numbers WHERE time > 15000'), estimated('SELECT * FROM dates WHERE time < ''2001-01-01''');
ANALYZE numbers, dates;
INSERT INTO numbers SELECT g, g FROM generate_series(20001, 30000) g;
INSERT INTO dates SELECT '2000-01-01'::date + g, g FROM generate_series(10001, 15000) g;
SELECT rows_moved FROM tsext.compact('numbers') UNION ALL SELECT rows_moved FROM tsext.compact('dates');
SELECT pg_stat_force_next_flush() IS NULL;
SELECT estimated('SELECT * FROM numbers WHERE time > 25000'), estimated('SELECT * FROM dates WHERE time > ''2036-01-01''');
-- a short scan gets no workers, however low the table's limit
SET min_parallel_table_scan_size = '8kB';
EXPLAIN (COSTS OFF) SELECT * FROM growing WHERE host = 3 AND time = '2024-01-25';
RESET min_parallel_table_scan_size;

DROP SCHEMA query_plan CASCADE;
DROP ROLE query_plan_reader;
