-- TsextScan against the plain scan and a heap twin: columns, time ranges, parameters, parallel, cursors.
SET client_min_messages = warning;
SET tsext.enable_aggregate = off;
CREATE EXTENSION IF NOT EXISTS tsext;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE TABLE scan_heap (time timestamptz NOT NULL, host text, v float8, n int, note text);
INSERT INTO scan_heap SELECT '2024-01-01'::timestamptz + g * interval '30 s', 'host_' || g % 7, sin(g) * 100, nullif(g % 10, 3),
  CASE WHEN g % 11 = 0 THEN 'note ' || g END FROM generate_series(0, 20000) g;
CREATE TABLE scan_cold (LIKE scan_heap) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'host');
INSERT INTO scan_cold SELECT * FROM scan_heap;
SELECT rows_moved FROM tsext.compact('scan_cold', level => 'hot');
SELECT count(*) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'scan_cold'::regclass);
-- and some hot rows
INSERT INTO scan_heap VALUES ('2024-03-01', 'hot', 1, 1, 'hot'), ('2024-01-02 00:00:15', 'hot', NULL, NULL, NULL);
INSERT INTO scan_cold VALUES ('2024-03-01', 'hot', 1, 1, 'hot'), ('2024-01-02 00:00:15', 'hot', NULL, NULL, NULL);

-- Runs a query on the heap, with the node on and with it off; TABLE stands for the name. The number of rows, if all agree.
CREATE FUNCTION agree(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  setting text;
  expected text;
  answer text;
BEGIN
  EXECUTE format('SELECT coalesce(string_agg(q::text, E''\n'' ORDER BY q::text), ''none'') FROM (%s) q', replace(query, 'TABLE', 'scan_heap')) INTO expected;
  FOREACH setting IN ARRAY ARRAY['on', 'off'] LOOP
    PERFORM set_config('tsext.enable_scan', setting, true);
    EXECUTE format('SELECT coalesce(string_agg(q::text, E''\n'' ORDER BY q::text), ''none'') FROM (%s) q', replace(query, 'TABLE', 'scan_cold')) INTO answer;
    IF answer IS DISTINCT FROM expected THEN
      RETURN format('enable_scan = %s: %s instead of %s', setting, left(answer, 200), left(expected, 200));
    END IF;
  END LOOP;
  RETURN CASE WHEN expected = 'none' THEN 0 ELSE length(expected) - length(replace(expected, E'\n', '')) + 1 END;
END $$;

SELECT agree('SELECT count(*) FROM TABLE');
SELECT agree('SELECT count(*), count(v), sum(n), min(note) FROM TABLE');
SELECT agree('SELECT * FROM TABLE WHERE time = ''2024-01-02''');
SELECT agree('SELECT * FROM TABLE WHERE time >= ''2024-01-02'' AND time < ''2024-01-02 01:00''');
SELECT agree('SELECT v FROM TABLE WHERE ''2024-01-02'' > time');
SELECT agree('SELECT note, time FROM TABLE WHERE time BETWEEN ''2024-01-03'' AND ''2024-01-03 00:10'' AND host = ''host_1''');
SELECT agree('SELECT time FROM TABLE WHERE time > ''2024-02-01''');
SELECT agree('SELECT n FROM TABLE WHERE time > ''2025-01-01''');
SELECT agree('SELECT n FROM TABLE WHERE time < ''2024-01-05'' AND time > ''2024-01-06''');
SELECT agree('SELECT n FROM TABLE WHERE time = NULL');
SELECT agree('SELECT n FROM TABLE WHERE time > ''infinity''');
SELECT agree('SELECT n FROM TABLE WHERE time < ''-infinity'' OR time > ''2024-02-20''');
SELECT agree('SELECT n FROM TABLE WHERE time <> ''2024-01-01'' AND time <= ''2024-01-01 00:05''');
SELECT agree('SELECT n FROM TABLE WHERE time > now() - interval ''1 day''');
SELECT agree('SELECT tableoid = ''TABLE''::regclass, v + 1, upper(host) FROM TABLE WHERE time = ''2024-01-04''');
SELECT agree('SELECT count(*) FROM TABLE a JOIN TABLE b USING (time, host)');
SELECT agree('SELECT x, c FROM generate_series(timestamptz ''2024-01-01'', ''2024-01-08'', ''1 day'') x,
  LATERAL (SELECT count(*), sum(n) FROM TABLE t WHERE t.time >= x AND t.time < x + interval ''7 min'') c');
SELECT agree('SELECT host, (SELECT max(time) FROM TABLE i WHERE i.host = o.host AND i.time < ''2024-01-02'') FROM (SELECT DISTINCT host FROM TABLE) o');
SELECT agree('SELECT time FROM TABLE WHERE time::date = ''2024-01-03'' AND n IS NULL');
SELECT agree('SELECT t FROM TABLE t WHERE time < ''2024-01-01 00:10''');
SELECT agree('SELECT DISTINCT ON (host) host, time, v FROM TABLE ORDER BY host, time DESC');
SELECT agree('WITH w AS (SELECT * FROM TABLE WHERE n = 4) SELECT count(*), sum(v)::numeric(20, 6) FROM w WHERE time > ''2024-01-04''');

-- generic plans
PREPARE range(timestamptz, interval) AS SELECT count(*), sum(n) FROM scan_cold WHERE time >= $1 AND time < $1 + $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE range('2024-01-02', '1 hour');
EXECUTE range('2024-01-02', '1 hour');
EXECUTE range('2024-01-07', '1 day');
EXECUTE range(NULL, '1 day');
RESET plan_cache_mode;

-- plans
EXPLAIN (COSTS OFF) SELECT host, v FROM scan_cold WHERE time < '2024-01-02';
EXPLAIN (COSTS OFF) SELECT count(*) FROM scan_cold;
EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) SELECT n FROM scan_cold WHERE time >= '2024-01-02' AND time < '2024-01-02 00:01';
EXPLAIN (COSTS OFF, FORMAT JSON) SELECT n FROM scan_cold;
-- heap tuples where rows may be fetched again
EXPLAIN (COSTS OFF) SELECT n FROM scan_cold WHERE time > '2024-02-01' FOR UPDATE;
EXPLAIN (COSTS OFF) UPDATE scan_cold SET n = 1 WHERE time > '2024-02-01';
EXPLAIN (COSTS OFF) SELECT xmin, n FROM scan_cold;
SELECT n FROM scan_cold WHERE time > '2024-02-01' FOR UPDATE;
UPDATE scan_cold SET n = 2 WHERE time > '2024-02-01' RETURNING n, host;
UPDATE scan_heap SET n = 2 WHERE time > '2024-02-01';

-- parallel
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT count(*), sum(n) FROM scan_cold;
SELECT agree('SELECT host, count(*), sum(n) FROM TABLE GROUP BY host');
SELECT agree('SELECT count(*), min(time), max(time) FROM TABLE WHERE time >= ''2024-01-03''');
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- cursors go both ways
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT time, n FROM scan_cold WHERE host = 'host_1' AND time < '2024-01-01 00:20';
FETCH ALL FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FIRST FROM c;
COMMIT;

-- columns that came later or went
ALTER TABLE scan_cold ADD COLUMN extra int DEFAULT 5, ADD COLUMN late text;
ALTER TABLE scan_heap ADD COLUMN extra int DEFAULT 5, ADD COLUMN late text;
SELECT agree('SELECT extra, late, count(*) FROM TABLE GROUP BY 1, 2');
ALTER TABLE scan_cold DROP COLUMN v;
ALTER TABLE scan_heap DROP COLUMN v;
SELECT agree('SELECT * FROM TABLE WHERE time < ''2024-01-01 00:30''');
-- row security is applied by the node's quals
ALTER TABLE scan_cold ENABLE ROW LEVEL SECURITY;
CREATE ROLE tsext_reader;
GRANT SELECT ON scan_cold TO tsext_reader;
CREATE POLICY one_host ON scan_cold FOR SELECT TO tsext_reader USING (host = 'host_2');
SET ROLE tsext_reader;
SELECT host, count(*) FROM scan_cold GROUP BY 1;
RESET ROLE;
DROP TABLE scan_cold, scan_heap;
DROP FUNCTION agree(text);
DROP ROLE tsext_reader;
