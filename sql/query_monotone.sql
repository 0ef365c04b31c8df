-- Conditions on what rises with a column become ranges of the column: the same answers, and the same errors, as of a heap copy.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET tsext.enable_bulk = off;
CREATE EXTENSION IF NOT EXISTS tsext;

CREATE TABLE rise (time timestamptz NOT NULL, host text, wall timestamp, day date, i2 smallint, i4 int, i8 bigint, id int) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
CREATE TABLE rise_heap (LIKE rise) USING heap;
-- Over the clocks set back in Havana (2024-11-03 01:00) and forth in St. John's (2024-03-10 02:00), and over borders of all units.
INSERT INTO rise_heap
SELECT t, 'host_' || h, CASE WHEN h < 2 THEN t AT TIME ZONE 'UTC' + h * interval '1 us' END, CASE WHEN h > 0 THEN (t AT TIME ZONE 'UTC')::date + h * 100 END,
       n % 200 - 100, CASE WHEN n % 11 > 0 THEN n * 1500000 - 1000000000 END, n::bigint * 3000000007 - 2000000000000, n * 3 + h
FROM (SELECT t, row_number() OVER (ORDER BY t)::int AS n
      FROM (SELECT generate_series(timestamptz '2024-02-28 12:00+00', '2024-03-12 00:00+00', '31 min')
            UNION ALL SELECT generate_series(timestamptz '2024-11-01 12:00+00', '2024-11-06 00:00+00', '15 min')
            UNION ALL SELECT generate_series(timestamptz '2024-12-29 12:00+00', '2025-01-02 00:00+00', '47 min')) s(t)) r, generate_series(0, 2) h;
INSERT INTO rise_heap SELECT x, 'host_0', x AT TIME ZONE 'UTC', (x AT TIME ZONE 'UTC')::date, NULL, NULL, NULL, -1
FROM unnest('{infinity,-infinity,2024-11-03 03:59:59.999999+00,2024-11-03 04:00:00+00,2024-11-03 05:00:00+00,2024-03-10 05:29:59.999999+00,2024-03-10 05:30:00+00,2024-11-03 04:59:59.999999+00,2024-03-01 00:00:00+00}'::timestamptz[]) x;
INSERT INTO rise SELECT * FROM rise_heap WHERE time < '2024-12-31';
SELECT tsext.compact('rise') IS NOT NULL AS compacted;
INSERT INTO rise SELECT * FROM rise_heap WHERE time >= '2024-12-31';
ANALYZE rise;
ANALYZE rise_heap;

-- What a query, whose table is written {t}, answers: its rows, or its error.
CREATE FUNCTION rise_answer(query text, relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text) FROM (%s) x', replace(query, '{t}', relation)) INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- vectors: whether no clause was left to the executor. pruned: whether segments or vectors were passed by.
CREATE FUNCTION rise_how(query text, OUT vectors bool, OUT pruned bool) LANGUAGE plpgsql AS $$
DECLARE line text; ours bool := false;
BEGIN
  vectors := true; pruned := false;
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || replace(query, '{t}', 'rise') LOOP
    ours := ours OR line LIKE '%(TsextScan)%' OR line LIKE '%One-Time Filter: false%';
    vectors := vectors AND line NOT LIKE '%Row by Row Because%';
    pruned := pruned OR line ~ '(Segments|Vectors): .*skipped' OR line LIKE '%One-Time Filter: false%';
  END LOOP;
  vectors := vectors AND ours;
EXCEPTION WHEN OTHERS THEN
  vectors := NULL; pruned := NULL;
END $$;

CREATE TABLE rise_asked (id int GENERATED ALWAYS AS IDENTITY, clause text);
-- Each clause with each operator.
INSERT INTO rise_asked (clause)
SELECT replace(clause, '{o}', o) FROM (VALUES
  (1, 'time_bucket(''1 hour'', time) {o} ''2024-03-05 03:00+00'''),
  (2, 'time_bucket(''1 hour'', time) {o} ''2024-03-05 03:00:00.000001+00'''),
  (3, 'time_bucket(''1 hour'', time) {o} ''2024-03-05 02:59:59.999999+00'''),
  (4, 'time_bucket(''1 month'', time) {o} ''2024-11-01 00:00+00'''),
  (5, 'time_bucket(''1 month'', time) {o} ''2024-11-15 00:00+00'''),
  (6, 'time_bucket(''7 days'', time, origin => timestamptz ''2024-03-02 00:00+00'') {o} ''2024-03-09 00:00+00'''),
  (7, 'time_bucket(''1 day'', time, "offset" => interval ''7 hours'') {o} ''2024-11-03 07:00+00'''),
  (8, 'time_bucket(''1 day'', time, ''America/Havana'') {o} ''2024-11-03 04:00+00'''),
  (9, 'date_trunc(''day'', time) {o} ''2024-11-03 00:00+00'''),
  (10, 'date_trunc(''hour'', time, ''America/Havana'') {o} ''2024-11-03 05:00+00'''),
  (11, 'date_trunc(''day'', time, ''America/Havana'') {o} ''2024-11-03 05:00+00'''),
  (12, 'date_trunc(''day'', time, ''America/St_Johns'') {o} ''2024-03-10 03:30+00'''),
  (13, 'date_trunc(''month'', time, ''America/St_Johns'') {o} ''2024-11-01 02:30+00'''),
  (14, '(time AT TIME ZONE ''America/Havana'') {o} ''2024-11-03 00:30'''),
  (15, 'time_bucket(''30 min'', time AT TIME ZONE ''America/Havana'') {o} ''2024-11-03 00:30'''),
  (16, 'date_bin(''15 min'', time, ''2024-01-01 00:00+00'') {o} ''2024-03-05 10:15+00'''),
  (17, 'floor(extract(epoch FROM time) / 60) * 60 {o} extract(epoch FROM timestamptz ''2024-11-02 10:10+00'')'),
  (18, 'time::date {o} ''2024-11-03'''),
  (19, 'time::date {o} ''2024-11-03 10:00+00''::timestamptz'),
  (20, 'time::timestamp {o} ''2024-11-03 10:00'''),
  (21, 'wall {o} timestamptz ''2024-11-03 10:00+00'''),
  (22, 'time_bucket(''1 hour'', wall) {o} timestamptz ''2024-11-03 10:00+00'''),
  (23, 'time_bucket(''1 hour'', wall) {o} ''2024-11-03'''),
  (24, 'time_bucket(''1 week'', day) {o} ''2024-06-03'''),
  (25, 'time_bucket(''1 week'', day) {o} ''2024-06-03 00:00:01''::timestamp'),
  (26, 'day::timestamp {o} ''2024-06-12 00:00:01'''),
  (27, 'day {o} timestamptz ''2024-06-12 00:00:01+00'''),
  (28, 'i4 / 1000000 {o} -600'),
  (29, 'i4 / 1000000 {o} -600.5'),
  (30, '2 * i2 {o} 17'),
  (31, 'i8::numeric {o} -1000000000000.5'),
  (32, 'i8::float8 {o} 1e11'),
  (33, 'time_bucket(1000::bigint, i8) {o} 1000'),
  (34, 'time_bucket(''1 hour'', time) {o} ''infinity'''),
  (35, 'time_bucket(''1 hour'', time) {o} ''-infinity'''),
  (36, 'time_bucket(''1 hour'', time) {o} ''4713-01-01 00:00+00 BC'''),
  (37, 'time_bucket(''1 hour'', time) {o} ''294276-12-31 23:30+00'''),
  (38, 'extract(epoch FROM day) {o} ''Infinity'''),
  (39, 'time_bucket(''1 hour'', time) {o} NULL'),
  (40, 'time_bucket(NULL, time) {o} ''2024-03-05 03:00+00'''),
  (41, '''2024-03-05 03:00+00''::timestamptz {o} time_bucket(''1 hour'', time)'),
  (42, 'time_bucket(''1 hour'', time) {o} (SELECT min(time) + interval ''3 days'' FROM {t} WHERE time > ''2024-01-01'')')) c(n, clause),
  unnest('{<,<=,=,>=,>,<>}'::text[]) WITH ORDINALITY u(o, at)
ORDER BY n, at;
INSERT INTO rise_asked (clause) VALUES
  ('time_bucket(''1 hour'', time) BETWEEN ''2024-03-05 03:00+00'' AND ''2024-03-05 05:10+00'''),
  ('NOT (time_bucket(''1 hour'', time) < ''2024-03-05 03:00+00'' OR time_bucket(''2 hour'', time) > ''2024-11-02'')'),
  ('time_bucket(''1 hour'', time) < ''2024-02-29'' OR (host = ''host_1'' AND date_trunc(''day'', time) = ''2024-11-05'')'),
  ('(time_bucket(''1 hour'', wall) > ''2024-11-02'') IS NOT TRUE'),
  ('(time_bucket(''1 hour'', wall) > ''2024-11-02'') IS UNKNOWN'),
  ('NOT (time_bucket(''1 hour'', wall) = ''2024-11-02'')'),
  ('NOT (time_bucket(''1 hour'', wall) <> ''2024-11-02'')'),
  -- Lists.
  ('time_bucket(''1 hour'', time) IN (''2024-11-02'', ''2024-11-03'')'),
  ('time_bucket(''1 hour'', wall) NOT IN (''2024-11-02'', ''2024-11-03'', ''2024-11-02'', ''2024-11-02 00:30'')'),
  ('NOT time_bucket(''1 hour'', wall) IN (''2024-11-02'', ''2024-11-03'')'),
  ('(time_bucket(''1 hour'', wall) NOT IN (''2024-11-02'', ''2024-11-03'')) IS NOT TRUE'),
  ('time_bucket(''1 day'', time) IN (''infinity'', ''2024-11-03'', ''-infinity'', NULL, ''2024-03-01'')'),
  ('time_bucket(''1 day'', time) NOT IN (''infinity'', ''2024-11-03'', ''-infinity'', ''2024-03-01'')'),
  ('time_bucket(''1 hour'', time) NOT IN (''2024-11-02'', NULL)'),
  ('time_bucket(''1 hour'', time) IN (NULL, NULL)'),
  ('time_bucket(''1 hour'', time) = ANY (''{}'')'),
  ('time_bucket(''1 hour'', wall) <> ALL (''{}'')'),
  ('time_bucket(''1 hour'', wall) <> ALL ((SELECT ''{}''::timestamp[])::timestamp[])'),
  ('time_bucket(''1 hour'', time) = ANY (NULL)'),
  ('time_bucket(''1 hour'', time) <> ALL (NULL)'),
  ('time_bucket(''1 hour'', time) <> ANY (''{2024-11-02,2024-11-03}'')'),
  ('time_bucket(''1 hour'', time) = ALL (''{2024-11-02,2024-11-02}'')'),
  ('time_bucket(''1 hour'', time) = ANY ((SELECT array_agg(g ORDER BY g DESC) FROM generate_series(timestamptz ''2024-03-01'', ''2024-03-03'', ''2 hours'') g)::timestamptz[])'),
  ('time_bucket(''1 hour'', time) <> ALL ((SELECT array_agg(g) FROM generate_series(timestamptz ''2024-03-01'', ''2024-03-03'', ''2 hours'') g)::timestamptz[])'),
  ('time_bucket(''1 hour'', time) NOT IN (SELECT time_bucket(''1 hour'', time) FROM {t} WHERE id % 5 = 1)'),
  ('date_trunc(''hour'', time, ''America/Havana'') IN (''2024-11-03 04:00+00'', ''2024-11-03 05:00+00'', ''2024-03-10 05:00+00'', ''2024-12-31 05:00+00'')'),
  ('date_trunc(''day'', time, ''America/Havana'') NOT IN (''2024-11-03 04:00+00'', ''2024-11-02 04:00+00'', ''2024-03-10 05:00+00'', ''2024-12-31 05:00+00'')'),
  ('(time AT TIME ZONE ''America/Havana'') IN (''2024-11-03 00:30'', ''2024-03-10 00:30'', ''2024-11-02'')'),
  ('date_trunc(''hour'', time AT TIME ZONE ''America/Havana'') NOT IN (''2024-11-03 00:00'', ''2024-11-03 01:00'', ''2024-03-10 01:00'')'),
  ('time::date IN (''2024-11-03'', ''2024-03-01'')'),
  ('time::date NOT IN (timestamptz ''2024-11-03 00:00+00'', ''2024-03-01 00:00+00'', ''2024-03-02 01:00+00'')'),
  ('day NOT IN (timestamptz ''2024-06-10 00:00+00'', ''2024-06-11 00:00+00'', ''2024-06-12 01:00+00'')'),
  ('day::timestamp IN (''2024-06-12'', ''2024-06-12 00:00:01'', ''infinity'')'),
  ('i4 / 1000000 IN (-600, 0, 7, 7, 8)'),
  ('i4 / 1000000 NOT IN (-600, 0, 7, 8)'),
  ('2 * i2 <> ALL (''{16,17,18,-200}'')'),
  ('i4 NOT IN (1000000.0, 500000, -998500000.0)'),
  ('i8::numeric IN (1000000015, -1999999999993)'),
  -- Ranges.
  ('time_bucket(''1 hour'', time) <@ ''[2024-03-05 03:00+00,2024-03-05 07:00+00)''::tstzrange'),
  ('time_bucket(''1 hour'', time) <@ ''(2024-03-05 03:00+00,2024-03-05 07:00+00]''::tstzrange'),
  ('time_bucket(''1 hour'', time) <@ ''empty''::tstzrange'),
  ('time_bucket(''1 hour'', time) <@ NULL::tstzmultirange'),
  ('time_bucket(''1 hour'', time) <@ ''{}''::tstzmultirange'),
  ('time_bucket(''1 hour'', time) <@ ''(,)''::tstzrange'),
  ('time_bucket(''1 hour'', time) <@ ''[-infinity,infinity)''::tstzrange'),
  ('time_bucket(''1 hour'', time) <@ ''{(,2024-02-28 14:00+00), [2024-03-01 02:00+00,2024-03-01 02:00+00], (2024-03-07 00:00+00,2024-03-09 00:30+00], [2024-11-03 05:00+00,2024-11-03 06:00+00), (2025-01-01 10:00+00,)}''::tstzmultirange'),
  ('''{[2024-02-29 14:00+00,2024-03-01 02:00+00], [2024-03-01 02:30+00,2024-03-01 02:40+00], [2024-11-03 05:00+00,2024-11-03 06:00+00)}''::tstzmultirange @> time_bucket(''1 hour'', time)'),
  ('NOT (time_bucket(''1 hour'', wall) <@ ''{[2024-02-29 14:00,2024-03-01 02:00], [2024-03-01 02:30,2024-03-01 02:40], [2024-11-03 05:00,2024-11-03 06:00)}''::tsmultirange)'),
  ('NOT date_trunc(''hour'', time) <@ ''{[2024-03-09 14:00+00,2024-03-10 05:00+00], [2024-11-03 04:00+00,2024-11-03 05:00+00), [2024-11-03 05:00+00,2024-11-03 05:30+00), [2024-11-03 06:00+00,2024-11-04 05:00+00)}''::tstzmultirange'),
  ('NOT time_bucket(''1 hour'', time) <@ ''{}''::tstzmultirange'),
  ('NOT time_bucket(''1 hour'', time) <@ ''(,)''::tstzrange'),
  ('NOT time_bucket(''1 hour'', time) <@ NULL::tstzrange'),
  ('(time <@ ''{[2024-02-29 14:00+00,2024-03-01 02:00+00], [2024-11-03 05:00+00,2024-11-03 06:00+00)}''::tstzmultirange) IS NOT TRUE'),
  ('NOT wall <@ ''{[2024-02-29 14:00,2024-03-01 02:00], [2024-11-03 05:00,2024-11-03 06:00)}''::tsmultirange'),
  ('date_trunc(''hour'', time) <@ ''{[2024-03-09 14:00+00,2024-03-10 05:00+00], [2024-11-03 04:00+00,2024-11-03 05:00+00), [2024-11-03 05:00+00,2024-11-03 05:30+00), [2024-11-03 06:00+00,2024-11-04 05:00+00)}''::tstzmultirange'),
  ('(time AT TIME ZONE ''America/Havana'') <@ ''{[2024-11-02 23:30,2024-11-03 00:10), [2024-11-03 00:30,2024-11-03 00:50), [2024-11-03 01:00,2024-11-03 02:00), [2024-11-05,2024-11-06)}''::tsmultirange'),
  ('time_bucket(''10 min'', time) <@ (SELECT range_agg(tstzrange(g, g + interval ''20 min'')) FROM generate_series(timestamptz ''2024-02-29'', ''2024-03-03'', ''1 hour'') g)'),
  ('date_trunc(''hour'', time) <@ (SELECT range_agg(tstzrange(g, g + interval ''1 hour'')) FROM generate_series(timestamptz ''2024-11-01'', ''2024-11-05'', ''2 hours'') g)'),
  ('time_bucket(''1 week'', day) <@ ''{[2024-03-01,2024-03-12), [2024-06-03,2024-06-11)}''::datemultirange'),
  ('i4 / 1000000 <@ ''{[-700,-650), [1,1], [70,90)}''::int4multirange'),
  ('i8::numeric <@ ''{[-1e12,-1e11), (0,1e12]}''::nummultirange'),
  ('i2 * 2 <@ ''[10,20)''::int4range AND time <@ ''[2024-03-05,2024-03-06)''::tstzrange'),
  -- Errors, and none where no row is looked at.
  ('time_bucket(''-1 hour'', time) > ''2024-11-02'''),
  ('time_bucket(''-1 hour'', time) > ''2024-11-02'' AND host = ''nobody'''),
  ('date_trunc(''fortnight'', time) > ''2024-11-02'''),
  ('date_trunc(''fortnight'', time) > ''2024-11-02'' AND time > ''2026-01-01'' AND time < ''2026-02-01'''),
  ('i4 * 9 > 20'),
  ('i4 * 9 > 20 AND i4 BETWEEN -200000000 AND 200000000'),
  ('(i8::int) / 2 < 0'),
  ('(i8::int) / 2 < 0 AND i8 BETWEEN -1000000000 AND 1000000000'),
  ('extract(epoch FROM time)::bigint > 0'),
  ('abs(i8) < 1000000000 AND (i8::int) / 2 < 0'),
  ('extract(epoch FROM time)::bigint > 0 AND isfinite(time)');
CREATE VIEW rise_query AS
  SELECT id, clause, 'SELECT count(*), sum(id), min(time), max(time) FROM {t} WHERE ' || clause AS query FROM rise_asked;
CREATE VIEW rise_checked AS
  SELECT id, clause, h.vectors, h.pruned, rise_answer(query, 'rise') IS NOT DISTINCT FROM rise_answer(query, 'rise_heap') AS same
  FROM rise_query, rise_how(query) h;
CREATE VIEW rise_wrong AS
  SELECT id, clause FROM rise_query WHERE rise_answer(query, 'rise') IS DISTINCT FROM rise_answer(query, 'rise_heap');
SELECT clause, vectors, pruned, same FROM rise_checked ORDER BY id;
-- Where PostgreSQL's own scan looked cheaper: what vectors answer, and what they leave.
SET cpu_operator_cost = 1;
SET jit = off;
SELECT clause, vectors, pruned, same FROM rise_checked WHERE clause ~ '<>|NOT |IN \(|ALL|ANY' ORDER BY id;

-- The same in zones whose clocks change, in parallel, row by row, all hot, all cold.
SET timezone = 'America/Havana';
SELECT clause FROM rise_wrong;
SET timezone = 'America/St_Johns';
SELECT clause FROM rise_wrong;
SET timezone = 'ABC+100DEF,M3.2.0,M11.1.0';
SELECT clause FROM rise_wrong;
SET timezone = 'Pacific/Apia';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT clause FROM rise_wrong WHERE id % 11 = 0;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
SET max_parallel_workers_per_gather = 0;
SET timezone = 'UTC';
SELECT tsext.compact('rise') IS NOT NULL AS compacted;
SELECT clause FROM rise_wrong;
TRUNCATE rise;
INSERT INTO rise SELECT * FROM rise_heap;
SELECT clause FROM rise_wrong;
SELECT tsext.compact('rise') IS NOT NULL AS compacted;
RESET cpu_operator_cost;
RESET jit;

-- What a user reads.
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT time_bucket('1 hour', time), count(*) FROM rise WHERE time_bucket('1 hour', time) >= '2024-11-03 02:30+00' AND time_bucket('1 hour', time) < '2024-11-03 05:00+00' GROUP BY 1;
-- Whole segments from their footers.
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM rise WHERE date_trunc('day', time) = '2024-11-03';
-- Near a change of the clock rows are asked one by one, and no others.
SET timezone = 'America/Havana';
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM rise WHERE date_trunc('day', time) = '2024-11-03';
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM rise WHERE date_trunc('day', time) = '2024-03-06';
SET timezone = 'UTC';

-- Bounds from an outer relation: each rescan has its own.
CREATE VIEW rise_hourly AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(id) AS ids FROM rise GROUP BY 1, 2;
CREATE VIEW rise_hourly_heap AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(id) AS ids FROM rise_heap GROUP BY 1, 2;
CREATE FUNCTION rise_ranges() RETURNS TABLE (low timestamptz, high timestamptz) LANGUAGE sql AS $$
  VALUES (timestamptz '2024-03-05 03:00+00', timestamptz '2024-03-05 07:00+00'), ('2024-11-03 04:59:59.999999+00', '2024-11-03 06:00+00'), ('-infinity', '2024-02-28 14:00+00'),
    ('2025-01-01 22:30+00', 'infinity'), (NULL, '2024-11-03 06:00+00'), ('2024-03-06', '2024-03-05'), ('2024-12-30 12:00+00', '2024-12-30 15:00+00') $$;
SELECT count(*) > 100 AS many FROM rise_hourly;
SELECT count(*) FROM (
  (SELECT x.* FROM rise_ranges() r, LATERAL (SELECT * FROM rise_hourly d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x
   EXCEPT ALL SELECT x.* FROM rise_ranges() r, LATERAL (SELECT * FROM rise_hourly_heap d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x)
  UNION ALL
  (SELECT x.* FROM rise_ranges() r, LATERAL (SELECT * FROM rise_hourly_heap d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x
   EXCEPT ALL SELECT x.* FROM rise_ranges() r, LATERAL (SELECT * FROM rise_hourly d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x)) differences;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT x.* FROM rise_ranges() r, LATERAL (SELECT * FROM rise_hourly d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x;
-- A join on buckets.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM (VALUES (timestamptz '2024-03-05 03:00+00'), ('2024-11-03 05:00+00')) b(start) JOIN rise ON time_bucket('1 hour', time) = b.start;
SELECT count(*) FROM (VALUES (timestamptz '2024-03-05 03:00+00'), ('2024-11-03 05:00+00')) b(start) JOIN rise ON time_bucket('1 hour', time) = b.start;
SELECT count(*) FROM (VALUES (timestamptz '2024-03-05 03:00+00'), ('2024-11-03 05:00+00')) b(start) JOIN rise_heap ON time_bucket('1 hour', time) = b.start;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- Prepared: bounds and width as parameters.
SET plan_cache_mode = force_generic_plan;
PREPARE buckets(interval, timestamptz, timestamptz) AS SELECT count(*), sum(id) FROM rise WHERE time_bucket($1, time) >= $2 AND $3 > time_bucket($1, time);
PREPARE buckets_heap(interval, timestamptz, timestamptz) AS SELECT count(*), sum(id) FROM rise_heap WHERE time_bucket($1, time) >= $2 AND $3 > time_bucket($1, time);
EXECUTE buckets('1 hour', '2024-03-05 03:00+00', '2024-03-05 07:00+00');
EXECUTE buckets_heap('1 hour', '2024-03-05 03:00+00', '2024-03-05 07:00+00');
EXECUTE buckets('1 month', '2024-10-05 03:00+00', '2025-01-05 07:00+00');
EXECUTE buckets_heap('1 month', '2024-10-05 03:00+00', '2025-01-05 07:00+00');
EXECUTE buckets(NULL, '2024-10-05 03:00+00', '2025-01-05 07:00+00');
EXECUTE buckets('0 s', '2024-10-05 03:00+00', '2025-01-05 07:00+00');
DEALLOCATE buckets;
DEALLOCATE buckets_heap;
RESET plan_cache_mode;

-- The newest row of each series.
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT DISTINCT ON (host) host, time, id FROM rise WHERE time_bucket('1 day', time) <= '2024-03-05' ORDER BY host, time DESC;
SELECT DISTINCT ON (host) host, time, id FROM rise WHERE time_bucket('1 day', time) <= '2024-03-05' ORDER BY host, time DESC;
SELECT DISTINCT ON (host) host, time, id FROM rise_heap WHERE time_bucket('1 day', time) <= '2024-03-05' ORDER BY host, time DESC;

-- Values for which the expression is an error: it is one for rows that could pass, and no other.
CREATE TABLE rise_ends (t timestamptz, d date, i int, n int) USING tsext WITH (tsext.time_column = 't');
INSERT INTO rise_ends VALUES ('4714-11-24 00:00+00 BC', '4714-11-24 BC', -2147483648, 1), ('294276-12-31 23:59:59.999999+00', '5874897-12-31', 2147483647, 2),
  ('-infinity', '-infinity', NULL, 3), ('infinity', 'infinity', 0, 4), ('2024-01-01', '2024-01-01', 5, 5);
CREATE TABLE rise_ends_heap AS SELECT * FROM rise_ends;
SELECT tsext.compact('rise_ends') IS NOT NULL AS compacted;
CREATE TABLE rise_ends_asked (clause text);
INSERT INTO rise_ends_asked VALUES ('time_bucket(''10 days'', t) < ''2024-01-01'''), ('time_bucket(''10 days'', t) >= ''2024-01-01'''), ('time_bucket(''10 days'', t) = ''infinity'''), ('time_bucket(''10 days'', t) > ''294276-12-01'''),
  ('time_bucket(''10 days'', t) = ''-infinity'''), ('time_bucket(''10 days'', d) <= ''2024-01-01'''), ('d::timestamp < ''2025-01-01'''), ('d::timestamp > ''2025-01-01'''),
  ('i * 2 < 11'), ('i * 2 > 9'), ('i * 2 = 10'), ('i * 2 <> 10'), ('i * 2 IN (0, 10)'), ('i * 2 NOT IN (10, 11)'), ('time_bucket(''10 days'', t) <> ''infinity'''), ('NOT time_bucket(''10 days'', d) IN (''2024-01-01'')'), ('i + 0 > 1'), ('i / 2 < 1'), ('i::int8 * 3 > 100'), ('i::int2 > 4'), ('extract(epoch FROM t)::int8 = 5');
SELECT clause, rise_answer('SELECT n FROM rise_ends WHERE ' || clause, '') AS ours, rise_answer('SELECT n FROM rise_ends_heap WHERE ' || clause, '') AS theirs FROM rise_ends_asked;

-- Segments that end where a range does, or begin there: chunks of the values 0 to n and n to 12.
CREATE TABLE rise_edges (time timestamptz NOT NULL, i int, wall timestamp) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO rise_edges SELECT timestamptz '2024-01-01 00:00+00' + n * interval '1 day' + i * interval '1 min', i, timestamp '2024-01-01' + i * interval '1 hour'
FROM generate_series(0, 25) n, generate_series(CASE WHEN n < 13 THEN 0 ELSE n - 13 END, CASE WHEN n < 13 THEN n ELSE 12 END) i;
CREATE TABLE rise_edges_heap AS SELECT * FROM rise_edges;
SELECT (tsext.compact('rise_edges')).segments_written;
CREATE TABLE rise_edges_asked (clause text);
INSERT INTO rise_edges_asked SELECT replace(clause, '{k}', k::text) FROM generate_series(-1, 3) k, unnest(ARRAY['i / 5 = {k}', 'i / 5 <> {k}', 'i / 5 IN ({k}, 1)', 'i / 5 NOT IN ({k}, 1)', 'i / 5 <@ int4range({k}, {k} + 1)',
  'NOT i / 5 <@ ''{[{k},{k}],[4,5]}''::int4multirange', 'i / 5 < {k}', 'i / 5 >= {k}', 'i <@ int4range({k}, {k} + 5)', 'NOT i <@ ''{(,{k}],[7,9)}''::int4multirange', 'i::numeric IN ({k}, {k} + 2, 5, 6)',
  'time_bucket(''5 hours'', wall) <> timestamp ''2024-01-01'' + {k} * interval ''5 hours''']) clause;
SET cpu_operator_cost = 1;
SET jit = off;
SELECT clause, h.vectors FROM (SELECT *, 'SELECT count(*), sum(i), max(time) FROM {t} WHERE ' || clause AS query FROM rise_edges_asked) a, rise_how(replace(query, '{t}', 'rise_edges')) h
WHERE NOT h.vectors OR rise_answer(query, 'rise_edges') IS DISTINCT FROM rise_answer(query, 'rise_edges_heap');
RESET cpu_operator_cost;
RESET jit;

-- The planner knows how many rows there are.
DELETE FROM rise_heap WHERE NOT isfinite(time);
TRUNCATE rise;
INSERT INTO rise SELECT * FROM rise_heap;
SELECT tsext.compact('rise') IS NOT NULL AS compacted;
ANALYZE rise;
CREATE FUNCTION rise_estimate(clause text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) SELECT * FROM rise WHERE ' || clause INTO plan;
  RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric;
END $$;
SELECT clause, abs(rise_estimate(clause) - rise_estimate(plain)) <= 40 AS same FROM (VALUES
  ('time_bucket(''1 hour'', time) >= ''2024-03-08 10:00+00''', 'time >= ''2024-03-08 10:00+00'''),
  ('time_bucket(''1 hour'', time) <= ''2024-03-08 10:20+00''', 'time <= ''2024-03-08 10:59:59.999999+00'''),
  ('date_trunc(''day'', time) = ''2024-03-05''', 'time >= ''2024-03-05'' AND time <= ''2024-03-05 23:59:59.999999'''),
  ('time_bucket(''1 hour'', time) > ''2024-03-05'' AND time_bucket(''1 hour'', time) < ''2024-03-08''', 'time >= ''2024-03-05 01:00'' AND time <= ''2024-03-07 23:59:59.999999'''),
  ('i4::numeric > -500000000.5', 'i4 >= -500000000'), ('time_bucket(''1 hour'', time) > ''2026-01-01''', 'time > ''2026-01-01''')) c(clause, plain);

-- With a policy functions see rows that it lets pass only, however its own clause is made.
BEGIN;
CREATE ROLE rise_user;
GRANT SELECT ON rise, rise_ends TO rise_user;
CREATE FUNCTION rise_leak(value text) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$ BEGIN RAISE WARNING 'seen: %', value; RETURN true; END $$;
CREATE POLICY own ON rise USING (lower(host) = 'host_1' OR id < -5);
ALTER TABLE rise ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON rise_ends USING (n::text = '5');
ALTER TABLE rise_ends ENABLE ROW LEVEL SECURITY;
SET LOCAL ROLE rise_user;
SELECT count(*) FROM rise WHERE rise_leak(host) AND id BETWEEN 0 AND 20;
SELECT n FROM rise_ends WHERE time_bucket('10 days', t) < '2025-01-01';
ROLLBACK;

DROP VIEW rise_hourly, rise_hourly_heap, rise_checked, rise_wrong, rise_query;
DROP TABLE rise, rise_heap, rise_asked, rise_ends, rise_ends_heap, rise_ends_asked, rise_edges, rise_edges_heap, rise_edges_asked;
DROP FUNCTION rise_answer, rise_how, rise_ranges, rise_estimate;
