SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
RESET client_min_messages;

SELECT histogram(v, 0, 10, 5) FROM (VALUES (-0.001::float8), (0), (1.999), (2), (9.999), (10), (11)) r(v);
-- below, inside and above; -0 is 0, NaN is greater than all, NULL does not count
SELECT histogram(v, 0, 1, 2) FROM unnest('{-Infinity, -5e-324, -0, 0, 0.5, 1, Infinity, NaN, NULL}'::float8[]) v;
SELECT histogram(v, -1, 1, 1) FROM unnest('{NULL, NULL}'::float8[]) v;
SELECT histogram(v, 0, 1, 1) FROM unnest('{}'::float8[]) v;
SELECT histogram(v, -1.7e308, 1.7e308, 4) FROM unnest('{-1.7e308, -1e307, 0, 1e308, 1.7e308}'::float8[]) v;
SELECT g % 3 AS grp, histogram(g, 0, 90, 3), histogram(g, 0, 90, 3) FILTER (WHERE g > 50) AS filtered, histogram(DISTINCT g / 10, 0, 10, 2) AS distinct_tens
FROM generate_series(1, 100) g GROUP BY grp ORDER BY grp;
SELECT g, histogram(g, 0, 4, 2) OVER (ORDER BY g) AS so_far, histogram(g, 0, 4, 2) OVER (ORDER BY g ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS moving
FROM generate_series(-1, 5) g;

-- entries are those of width_bucket()
CREATE TABLE histogram_heap AS SELECT g % 7 AS grp, sin(g) * 120 AS v FROM generate_series(1, 10000) g;
ANALYZE histogram_heap;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE serial AS SELECT grp, histogram(v, -100, 100, 50) AS h FROM histogram_heap GROUP BY grp;
SELECT n, count(*) AS entries, count(*) FILTER (WHERE count <> counts[entry + 1]) AS differs
FROM (SELECT n, entry, counts, count(v)
      FROM (SELECT n, histogram(v, -100, 100, n) AS counts FROM histogram_heap, unnest('{1, 3, 10, 977}'::int[]) n GROUP BY n) h
      CROSS JOIN generate_series(0, n + 1) entry LEFT JOIN histogram_heap b ON width_bucket(b.v, -100, 100, n) = entry GROUP BY n, entry, counts) c
GROUP BY n ORDER BY n;

-- parallel workers count the same
SET max_parallel_workers_per_gather = 3;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT histogram(v, -100, 100, 50) FROM histogram_heap;
SELECT count(*) AS groups, count(*) FILTER (WHERE h = counts) AS same
FROM (SELECT grp, histogram(v, -100, 100, 50) AS counts FROM histogram_heap GROUP BY grp) p JOIN serial USING (grp);
SELECT histogram(v, -100, 100, 4) FILTER (WHERE v > 90) AS some, histogram(v, -100, 100, 4) FILTER (WHERE v > 1000) AS none FROM histogram_heap;
\set VERBOSITY sqlstate
SELECT histogram(v, 0, CASE WHEN v > 0 THEN 1 ELSE 2 END, 5) FROM histogram_heap;
\set VERBOSITY default
RESET max_parallel_workers_per_gather;
DROP TABLE histogram_heap;

-- wrong use
SELECT histogram(1, 0, 1, 0);
SELECT histogram(1, 1, 1, 5);
SELECT histogram(1, 0, 'NaN', 5);
SELECT histogram(1, 0, 1, NULL);
SELECT histogram(v, 0, v, 5) FROM generate_series(1, 2) v;
SELECT histogram(v, 0, 1, v) FROM generate_series(1, 2) v;
\set VERBOSITY sqlstate
SELECT histogram(1, 2, 1, 5);
SELECT histogram(1, 'NaN', 1, 5);
SELECT histogram(1, '-Infinity', 1, 5);
SELECT histogram(1, 0, 'Infinity', 5);
SELECT histogram(1, 0, 1, -1);
SELECT histogram(1, 0, 1, 1000001);
SELECT histogram(1, NULL, 1, 5);
SELECT histogram(1, 0, NULL, 5);
SELECT histogram(v, v - 5, 10, 5) FROM generate_series(1, 2) v;
SELECT tsext.histogram_transition(NULL, 1, 0, 1, 1);
\set VERBOSITY default
SELECT array_length(histogram(1, 0, 1, 1000000), 1) AS most_buckets;
