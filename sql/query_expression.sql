-- Arguments and FILTER conditions of aggregates in vectors: the same answers, and the same errors, as of a heap copy.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET tsext.enable_bulk = off;
SET extra_float_digits = -3;
CREATE EXTENSION IF NOT EXISTS tsext;

CREATE DOMAIN expr_whole AS int CHECK (VALUE IS DISTINCT FROM -12345);
CREATE TABLE expr (time timestamptz NOT NULL, host text, i2 smallint, i4 int, i8 bigint, z int, w expr_whole, f4 real, f8 float8,
  nan float8, inf float4, ok bool, note text, big int, huge float8, tiny float8) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
CREATE TABLE expr_heap (LIKE expr) USING heap;
SELECT setseed(0.5);
-- z, big, huge and tiny go wrong on rows that are not ok only.
INSERT INTO expr_heap
SELECT t, CASE WHEN h = 3 THEN NULL ELSE 'host_' || h END,
       CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 200 - 100)::int END,
       CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 60000 - 30000)::int END,
       CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 1e12)::bigint END,
       CASE WHEN ok THEN 1 + (random() * 9)::int WHEN random() < 0.5 THEN 0 END,
       (random() * 100)::int,
       CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 100 - 50)::real END,
       CASE WHEN random() < 0.1 THEN NULL WHEN random() < 0.1 THEN '-0' ELSE round((random() * 1000)::numeric, 2)::float8 END,
       CASE WHEN h = 2 AND random() < 0.1 THEN 'NaN' ELSE 1 + random() END,
       CASE WHEN random() < 0.1 THEN 'Infinity' WHEN random() < 0.1 THEN '-Infinity' ELSE 1.5::real END,
       ok, 'n' || (random() * 5)::int,
       CASE WHEN ok THEN 10 ELSE 2000000000 END, CASE WHEN ok THEN 10 ELSE 1e300 END, CASE WHEN ok THEN 10 ELSE 1e-300 END
FROM (SELECT t, h, random() < 0.8 AS ok
      FROM generate_series(timestamptz '2024-03-30 00:00+00', '2024-03-31 23:59+00', '2 minutes') t, generate_series(0, 5) h OFFSET 0) r;
INSERT INTO expr SELECT * FROM expr_heap WHERE time < '2024-03-31 12:00+00';
SELECT tsext.compact('expr') IS NOT NULL AS compacted;
INSERT INTO expr SELECT * FROM expr_heap WHERE time >= '2024-03-31 12:00+00';
SELECT count(*) > 0 AS has_cold_rows FROM tsext.segments WHERE table_name = 'expr';
ANALYZE expr;
ANALYZE expr_heap;

-- What a query, whose table is written {t}, answers: its rows, or its error.
CREATE FUNCTION expr_answer(query text, relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text) FROM (%s) x', replace(query, '{t}', relation)) INTO result;
  RETURN result;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- vectors: whether no row was evaluated by PostgreSQL.
CREATE FUNCTION expr_how(query text, OUT node text, OUT vectors bool) LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  vectors := true;
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || replace(query, '{t}', 'expr') LOOP
    IF line LIKE '%(TsextAggregate)%' THEN node := 'TsextAggregate'; END IF;
    IF line LIKE '%Rows Evaluated Singly%' THEN vectors := false; END IF;
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  node := SQLERRM; vectors := NULL;
END $$;

CREATE TABLE expr_asked (id int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO expr_asked (query) VALUES
  ('SELECT sum(f8 + f4), sum(f8 - f4), sum(f8 * f4), sum(f8 / w) FROM {t} WHERE w > 0'),
  ('SELECT host, sum(f8 * 2 + i4), avg(f8 / 3), max(-f8), min(f4 * f4), stddev(f8 - 500) FROM {t} GROUP BY host'),
  ('SELECT host, sum(i2 + i4), sum(i4 + i2), sum(i2 + i8), sum(i8 - i2), sum(i4 * i8), sum(i8 * i2) FROM {t} GROUP BY host'),
  ('SELECT sum(i4 / 7), sum(i8 / 1000), sum(i2 / 3::smallint), avg(-i4), max(-i2), min(-i8), max(i2 * i4), min(i2 - i4) FROM {t}'),
  ('SELECT avg(i4 / z), sum(i8 / z), max(i2 / z) FROM {t} WHERE ok'),
  ('SELECT avg(i4 / z) FILTER (WHERE ok), sum(f8 / z) FILTER (WHERE ok), count(i2 / z) FILTER (WHERE ok) FROM {t}'),
  ('SELECT sum(big + big), max(big * 2) FROM {t} WHERE ok'),
  ('SELECT sum(big * big) FILTER (WHERE ok), sum(huge * huge) FILTER (WHERE ok), max(tiny * tiny) FILTER (WHERE ok) FROM {t}'),
  ('SELECT sum(huge * huge), sum(1 / tiny), max(tiny / huge) FROM {t} WHERE ok AND host = ''host_1'''),
  ('SELECT host, max(nan * 2), min(nan + f8), count(nan / f4), max(nan / (f8 - f8)) FROM {t} WHERE nan = ''NaN'' GROUP BY host'),
  ('SELECT host, count(nan * 2), max(nan - 1), min(inf * 2), max(inf + 1), min(inf * nan), max(1 / inf) FROM {t} GROUP BY host'),
  ('SELECT sum(i4::float8), sum(i8::float8), sum(i2::float8), sum(f4::float8), max(i8::real), sum(i4::bigint), sum(i2::int) FROM {t}'),
  ('SELECT sum(f8::int), sum(f4::bigint), max(f8::smallint), sum(f8::bigint), max(f8::real), max(i4::smallint), max((i8 / 10000)::int) FROM {t}'),
  ('SELECT sum(w + 1), max(w * 2.5::float8), sum(w::float8), sum(w::int) FROM {t}'),
  ('SELECT time_bucket(''1 hour'', time) b, host, avg(f8 * 1.8 + 32), count(f8 + f4) FROM {t} GROUP BY 1, 2'),
  ('SELECT time_bucket(''1 hour'', time) b, avg(f8 * 9 / 5 + 32) FROM {t} WHERE host = ''host_2'' GROUP BY b ORDER BY b DESC LIMIT 3'),
  ('SELECT count(*) FILTER (WHERE f8 > 500), count(*) FILTER (WHERE NOT f8 > 500), count(*) FILTER (WHERE f8 IS NULL) FROM {t}'),
  ('SELECT host, sum(i4) FILTER (WHERE ok), sum(i4) FILTER (WHERE NOT ok), avg(f8) FILTER (WHERE note = ''n1''), max(f4) FILTER (WHERE host = ''host_1'') FROM {t} GROUP BY host'),
  ('SELECT note, count(*) FILTER (WHERE host IN (''host_1'', ''host_2'', ''none'')), count(*) FILTER (WHERE host NOT IN (''host_1'')), count(*) FILTER (WHERE note = ''none'') FROM {t} GROUP BY note'),
  ('SELECT count(*) FILTER (WHERE nan = ''NaN''), count(*) FILTER (WHERE nan > 1.5), count(*) FILTER (WHERE inf < 0), count(*) FILTER (WHERE i2 BETWEEN -5 AND 5 OR i4 > 1000) FROM {t}'),
  ('SELECT time_bucket(''6 hours'', time) b, count(*) FILTER (WHERE time > ''2024-03-31 11:00+00''), last(f8, time) FILTER (WHERE ok), first(note, time) FILTER (WHERE f8 > 10) FROM {t} WHERE host = ''host_1'' GROUP BY b'),
  ('SELECT count(DISTINCT note) FILTER (WHERE i2 > 50), count(*) FILTER (WHERE ok IS NOT TRUE), count(*) FILTER (WHERE (f8 > 5) IS UNKNOWN) FROM {t}'),
  ('SELECT sum(i2) FILTER (WHERE f8 > 100), sum(i2) FROM {t} WHERE host <> ''host_0'' AND f4 > 0'),
  ('SELECT k, x.* FROM generate_series(-1, 2) k, LATERAL (SELECT sum(f8 * 2) FILTER (WHERE i2 > k * 20), count(*) FILTER (WHERE host = ''host_'' || k) FROM {t}) x'),
  -- Some of it row by row.
  ('SELECT sum(f8 * 2), sum(abs(i4)), sum(i4 + i2) FROM {t}'),
  ('SELECT count(*) FILTER (WHERE i4 > i2), sum(f8 + 1) FILTER (WHERE note LIKE ''%1''), sum(i4) FILTER (WHERE ok AND i2 > 3) FROM {t}'),
  ('SELECT sum(coalesce(i4, 0) + 1), sum(CASE WHEN ok THEN i4 / z ELSE 0 END) FROM {t}'),
  ('SELECT sum(i4 * 1.5), corr(f8 * 2, f4 + 1) FROM {t}'),
  ('SELECT count(*) FILTER (WHERE i2 > 1000 AND i4 > 1 / (i2 - i2)) FROM {t}'),
  -- Errors.
  ('SELECT sum(i4 / z) FROM {t}'),
  ('SELECT sum(f8 / z) FROM {t}'),
  ('SELECT sum(f4 / (i4 - i4)) FROM {t}'),
  ('SELECT sum(big + big) FROM {t}'),
  ('SELECT sum(big * 2 - big) FROM {t} WHERE time > ''2024-03-31 18:00+00'''),
  ('SELECT max(i4::smallint * 2::smallint), max(big::smallint) FROM {t}'),
  ('SELECT max(i2 * 1000::smallint) FROM {t}'),
  ('SELECT max(i8 * 1000000000) FROM {t}'),
  ('SELECT max(i8::int) FROM {t}'),
  ('SELECT max(huge * huge) FROM {t}'),
  ('SELECT max(tiny * tiny) FROM {t}'),
  ('SELECT max(tiny::real) FROM {t}'),
  ('SELECT max(huge::real) FROM {t}'),
  ('SELECT max(nan::int) FROM {t}'),
  ('SELECT max(inf::bigint) FROM {t}'),
  ('SELECT sum(huge * huge) FILTER (WHERE f8 > 10) FROM {t}');

-- Alike: with vectors, and without TsextAggregate.
CREATE VIEW expr_checked AS
  SELECT id, h.node, h.vectors, expr_answer(query, 'expr') IS NOT DISTINCT FROM expr_answer(query, 'expr_heap') AS same
  FROM expr_asked, expr_how(query) h;
SELECT * FROM expr_checked ORDER BY id;

-- Prepared: constants of conditions as parameters.
SET plan_cache_mode = force_generic_plan;
PREPARE above(float8, text) AS SELECT count(*) FILTER (WHERE f8 > $1) a, sum(f8 * 2) FILTER (WHERE host = $2) b, sum(f8 * $1) c FROM expr;
PREPARE above_heap(float8, text) AS SELECT count(*) FILTER (WHERE f8 > $1) a, sum(f8 * 2) FILTER (WHERE host = $2) b, sum(f8 * $1) c FROM expr_heap;
CREATE TEMP TABLE ours_1 AS EXECUTE above(500, 'host_1');
CREATE TEMP TABLE theirs_1 AS EXECUTE above_heap(500, 'host_1');
CREATE TEMP TABLE ours_2 AS EXECUTE above(-1, NULL);
CREATE TEMP TABLE theirs_2 AS EXECUTE above_heap(-1, NULL);
SELECT o::text = t::text AS same FROM ours_1 o, theirs_1 t UNION ALL SELECT o::text = t::text FROM ours_2 o, theirs_2 t;
RESET plan_cache_mode;

-- In parallel, all hot, all cold.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT id FROM expr_checked WHERE NOT same;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE expr_all AS SELECT * FROM expr_heap;
TRUNCATE expr;
INSERT INTO expr SELECT * FROM expr_all;
SELECT id FROM expr_checked WHERE NOT same;
SELECT tsext.compact('expr') IS NOT NULL AS compacted;
SELECT id FROM expr_checked WHERE NOT same;
-- Without the rows that go wrong no error is left but those of all rows.
TRUNCATE expr, expr_heap;
INSERT INTO expr_heap SELECT * FROM expr_all WHERE ok;
INSERT INTO expr SELECT * FROM expr_heap WHERE time < '2024-03-31 12:00+00';
SELECT tsext.compact('expr') IS NOT NULL AS compacted;
INSERT INTO expr SELECT * FROM expr_heap WHERE time >= '2024-03-31 12:00+00';
SELECT id, node, vectors, same FROM expr_checked WHERE id > 29 ORDER BY id;
SELECT id FROM expr_checked WHERE NOT same;

-- Revoked functions are still refused.
BEGIN;
CREATE ROLE expr_user;
GRANT SELECT ON expr TO expr_user;
REVOKE EXECUTE ON FUNCTION float8mul(float8, float8), float8gt(float8, float8) FROM PUBLIC;
SET LOCAL ROLE expr_user;
SAVEPOINT before;
SELECT sum(f8 * f8) FROM expr;
ROLLBACK TO before;
SELECT count(*) FILTER (WHERE f8 > 1) FROM expr;
ROLLBACK;

DROP VIEW expr_checked;
DROP TABLE expr_asked, expr, expr_heap, expr_all;
DROP DOMAIN expr_whole;
DROP FUNCTION expr_how, expr_answer;
