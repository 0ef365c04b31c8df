-- Rows that lie together: filters that select a stretch of a vector, and hot rows taken page by page. Against heap twins.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET tsext.enable_bulk = off;
SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = off;       -- our nodes, however small a table is
SET jit = off;

-- How many of the queries are grouped by TsextAggregate, and have another answer over the twin: {} is '' or '_heap'. Values are
-- whole numbers: sums are exact in any order.
CREATE FUNCTION compare(queries text[], OUT queries_in_node bigint, OUT different bigint) LANGUAGE plpgsql AS $$
DECLARE
  query text;
  line text;
  answers text[];
  answer text;
  twin text;
BEGIN
  queries_in_node := 0;
  different := 0;
  FOREACH query IN ARRAY queries LOOP
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(query, '{}', '') LOOP
      IF line LIKE '%(TsextAggregate)%' THEN queries_in_node := queries_in_node + 1; END IF;
    END LOOP;
    answers := '{}';
    FOREACH twin IN ARRAY ARRAY['', '_heap'] LOOP
      EXECUTE format('SELECT string_agg(x::text, e''\n'' ORDER BY x::text COLLATE "C") FROM (%s) x', replace(query, '{}', twin)) INTO answer;
      answers := answers || coalesce(answer, 'none');
    END LOOP;
    IF answers[1] <> answers[2] THEN
      different := different + 1;
      RAISE WARNING '%', query;
    END IF;
  END LOOP;
END $$;

-- Stretches that begin and end anywhere in vectors of 1,024 rows, also at their ends, with one row, over several series and with gaps.
CREATE TABLE stretch (time timestamptz NOT NULL, host text, region text, i int, f float8, r real, n int) USING tsext WITH (tsext.segment_by = 'host');
CREATE TABLE stretch_heap (LIKE stretch) USING heap;
INSERT INTO stretch_heap
SELECT timestamptz '2024-01-30 00:00+00' + g * interval '100 s' + h * interval '1 s', 'host_' || h, 'region_' || g / 90 % 7, (g * 7919 + h) % 1000 - 500, (g * 31 + h) % 777, (g * 17) % 99,
  CASE WHEN g % 13 <> 0 THEN g % 50 END
FROM generate_series(0, 2499) g, generate_series(1, 2) h;
INSERT INTO stretch SELECT * FROM stretch_heap;
SELECT tsext.compact('stretch') IS NOT NULL AS compacted;
ANALYZE stretch;
SELECT count, queries_in_node > 4 AS is_in_node, different FROM (SELECT count(*), array_agg(format($$
  SELECT %s, count(*), count(n), sum(i), sum(n), sum(f), sum(r), min(i), max(n), min(f), max(f), max(r), avg(n), stddev(i), first(i, time), last(n, time),
    count(DISTINCT n), count(*) FILTER (WHERE f > 300), sum(i) FILTER (WHERE n > 20), bit_xor(i), bool_or(n > 48)
  FROM stretch{} WHERE time >= timestamptz '2024-01-30 00:00+00' + %s * interval '100 s' AND time < timestamptz '2024-01-30 00:00+00' + %s * interval '100 s' %s
  GROUP BY 1$$, key, first, first + length, more)) AS queries
FROM unnest(ARRAY['host', 'region', 'i', 'time_bucket(''1 hour'', time)', 'date_trunc(''month'', time)', 'n', 'f', 'i % 3', '1::int + 0']) key,
  unnest(ARRAY[0, 1, 700, 1023, 1024, 2040, 2047]) first,
  unnest(ARRAY[1, 2, 5, 13, 16, 17, 324, 1025]) length,
  unnest(ARRAY['', 'AND i % 7 < 5', 'AND f > 400']) more
WHERE (first + length + length(key)) % 5 = 0) q, compare(queries);

-- Hot rows with NULLs here and there, a wide table, columns that were added and dropped later, rows that were deleted.
DO $$
DECLARE
  columns text;
  twin text;
BEGIN
  SELECT string_agg(format('c%s %s', i, CASE WHEN i % 40 = 5 THEN 'text' WHEN i % 3 = 0 THEN 'float8' WHEN i % 3 = 1 THEN 'int' ELSE 'smallint' END), ', ' ORDER BY i)
    INTO columns FROM generate_series(1, 140) i;
  FOREACH twin IN ARRAY ARRAY['wide', 'wide_heap'] LOOP
    EXECUTE format('CREATE TABLE %s (time timestamptz NOT NULL, %s) USING %s', twin, columns, CASE twin WHEN 'wide' THEN 'tsext' ELSE 'heap' END);
    EXECUTE format('INSERT INTO %s SELECT timestamptz ''2024-01-01 00:00+00'' + g * 7919 %% 3000 * interval ''1 s'', %s FROM generate_series(1, 1500) g', twin,
      (SELECT string_agg(CASE WHEN i % 40 = 5 THEN format('CASE WHEN g %% 9 <> 0 THEN repeat(''x'', g %% 300) || %s END', i)
                              ELSE format('CASE WHEN (g * %s) %% 11 > 3 OR g %% 5 = 0 THEN (g + %s) %% 1000 END', i, i) END, ', ' ORDER BY i) FROM generate_series(1, 140) i));
    EXECUTE format('ALTER TABLE %s DROP COLUMN c2, ADD COLUMN added int DEFAULT 7, ADD COLUMN late text', twin);
    EXECUTE format('INSERT INTO %s (time, c1, c64, c65, c140, added, late) SELECT timestamptz ''2024-01-01 00:00+00'' + g * interval ''1 s'', g, g, g, g, g, g FROM generate_series(1, 1200) g', twin);
    EXECUTE format('DELETE FROM %s WHERE c1 %% 6 = 1', twin);
  END LOOP;
END $$;
ANALYZE wide;
SELECT count, queries_in_node > 4 AS is_in_node, different FROM (SELECT count(*), array_agg(format($$
  SELECT %s AS key, count(*), sum(c1), sum(c3), max(c4), sum(c63), sum(c64), count(c65), min(c66), sum(c127), sum(c128), sum(c129), max(c130), sum(c140), sum(added),
    max(late COLLATE "C"), sum(length(c125)), min(time)
  FROM wide{} WHERE %s GROUP BY 1$$, key, clause)) AS queries
FROM unnest(ARRAY['c64', 'time_bucket(''10 minutes'', time)', 'late', 'c45', '1::int + 0']) key,
  unnest(ARRAY['true', 'time >= ''2024-01-01 00:10+00'' AND time < ''2024-01-01 00:20+00''', 'c1 > 500', 'c64 IS NULL', 'c63 > 300 AND c129 < 700', 'added = 7', 'added > 700',
    'late IS NOT NULL', 'c125 LIKE ''x%''', 'c3 > 990', 'false']) clause) q, compare(queries);

-- More rows with values in the TOAST table than a batch may have.
CREATE TABLE toasted (time timestamptz NOT NULL, id int, v text) USING tsext;
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
CREATE TABLE toasted_heap (LIKE toasted INCLUDING STORAGE) USING heap;
INSERT INTO toasted_heap SELECT timestamptz '2024-01-01 00:00+00' + g * interval '1 s', CASE WHEN g % 7 <> 0 THEN g END, CASE WHEN g % 5 < 2 THEN repeat(g::text, 3000 / length(g::text)) ELSE 'short ' || g END FROM generate_series(1, 1200) g;
INSERT INTO toasted SELECT * FROM toasted_heap;
ANALYZE toasted;
SELECT count, queries_in_node > 4 AS is_in_node, different FROM (SELECT count(*), array_agg(format($$SELECT %s AS key, count(*), sum(id), sum(length(v)), max(v COLLATE "C") FROM toasted{} WHERE %s GROUP BY 1$$, key, clause)) AS queries
FROM unnest(ARRAY['id % 4', 'length(v)', 'v']) key, unnest(ARRAY['true', 'id > 400', 'id % 5 = 1', 'v > ''2''', 'length(v) < 100']) clause) q, compare(queries);

DROP TABLE stretch, stretch_heap, wide, wide_heap, toasted, toasted_heap;
DROP FUNCTION compare;
