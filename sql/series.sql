-- tsext.series(): what it says of each series is what GROUP BY says, hot, cold and mixed.
SET timezone = 'UTC';
SET client_min_messages = warning;
ALTER SYSTEM SET tsext.compact_background = off;
SELECT pg_reload_conf();
CREATE SCHEMA series_test;
SET search_path = series_test, public;

CREATE TABLE cpu (time timestamptz NOT NULL, host text, core int, usage float8, small smallint, big bigint, ratio real, amount numeric, note text)
  USING tsext WITH (tsext.segment_by = 'host, core', tsext.chunk_interval = '1 day');
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO cpu SELECT timestamptz '2024-01-15 00:00+00' + g * interval '10 seconds', CASE WHEN g % 5 = 4 THEN NULL ELSE 'host "' || g % 5 || '"' END, g % 2,
    CASE WHEN g % 7 <> 0 THEN (g % 1000) / 8.0 END, g % 100 - 50, 9000000000000000000 - g, (g % 64) / 4.0, (g % 1000) / 16.0, 'note'
  FROM generate_series(first, last) g
$$;
-- Values are sums of powers of two: every order of addition gives the same sum.
CREATE VIEW expected AS
SELECT jsonb_build_object('host', host, 'core', core) AS series, count(*) AS rows, min(time)::text AS first_time, max(time)::text AS last_time,
  jsonb_build_object(
    'usage', jsonb_build_object('count', count(usage), 'min', min(usage), 'max', max(usage), 'sum', sum(usage), 'last', (array_agg(usage ORDER BY time DESC) FILTER (WHERE usage IS NOT NULL))[1]),
    'small', jsonb_build_object('count', count(small), 'min', min(small), 'max', max(small), 'sum', sum(small), 'last', (array_agg(small ORDER BY time DESC))[1]),
    'big', jsonb_build_object('count', count(big), 'min', min(big), 'max', max(big), 'sum', sum(big), 'last', (array_agg(big ORDER BY time DESC))[1]),
    'ratio', jsonb_build_object('count', count(ratio), 'min', min(ratio), 'max', max(ratio), 'sum', sum(ratio::float8), 'last', (array_agg(ratio ORDER BY time DESC))[1]),
    'amount', jsonb_build_object('count', count(amount), 'min', min(amount), 'max', max(amount), 'sum', sum(amount), 'last', (array_agg(amount ORDER BY time DESC))[1])
  ) AS columns
FROM cpu GROUP BY host, core;
CREATE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM ((SELECT * FROM expected EXCEPT ALL SELECT * FROM tsext.series('cpu'))
    UNION ALL (SELECT * FROM tsext.series('cpu') EXCEPT ALL SELECT * FROM expected)) d $$;
SET datestyle = 'ISO';

SET tsext.enable_bulk = off;
SELECT fill(0, 9999);
SELECT differences() AS hot, count(*) AS series, sum(rows) AS rows FROM tsext.series('cpu');
SELECT count(*) FROM (SELECT compress_chunk(c) FROM show_chunks('cpu') c) c;
-- Few rows a series: segments hold many series.
SELECT differences() AS cold_many;
SELECT fill(10000, 12000);
SELECT differences() AS mixed;
-- A segment that holds one series: its footer is enough.
SET tsext.enable_bulk = on;
INSERT INTO cpu SELECT timestamptz '2024-02-01 00:00+00' + g * interval '1 s', 'alone', 1, g / 8.0, g % 3, g, g % 16, g % 16, NULL FROM generate_series(0, 79999) g;
SELECT count(*) FROM (SELECT compress_chunk(c) FROM show_chunks('cpu') c) c;
SELECT count(*) > 1 AS has_segments, bool_and(rows > 10000) AS large FROM tsext.segments WHERE table_name = 'cpu' AND first_time >= '2024-02-01';
SELECT differences() AS cold_one;
SELECT series, rows, first_time, last_time, columns FROM tsext.series('cpu') WHERE series ->> 'host' = 'alone';
-- A column that came later counts with its default, which is NULL or not.
DROP VIEW expected CASCADE;
ALTER TABLE cpu ADD COLUMN later int DEFAULT 7, ADD COLUMN empty float8, DROP COLUMN note, DROP COLUMN amount;
SELECT series, columns -> 'later' AS later, columns -> 'empty' AS empty, columns ? 'amount' AS dropped FROM tsext.series('cpu') WHERE series ->> 'host' = 'alone';
INSERT INTO cpu (time, host, core, later) VALUES ('2024-02-03', 'alone', 1, -1);
SELECT series, rows, last_time, columns -> 'later' AS later, columns -> 'usage' -> 'last' AS last_usage FROM tsext.series('cpu') WHERE series ->> 'host' = 'alone';
-- Other segment-by columns than the segments were sorted by.
SELECT tsext.set_options('cpu', segment_by => '{core}');
SELECT s.series, s.rows = e.rows AS rows, s.first_time = e.first_time AS first_time, (s.columns -> 'small' ->> 'sum')::numeric = e.small AS sum
FROM tsext.series('cpu') s JOIN (SELECT core, count(*) AS rows, min(time)::text AS first_time, sum(small) AS small FROM cpu GROUP BY 1) e ON s.series = jsonb_build_object('core', e.core)
ORDER BY 1;
SELECT tsext.set_options('cpu', segment_by => '{}');
SELECT series, rows = (SELECT count(*) FROM cpu) AS rows FROM tsext.series('cpu');

-- NaN, infinities, -0, numeric NaN; sums past bigint; rows without a time.
CREATE TABLE odd (time timestamptz, k int, f float8, r real, n numeric, b bigint) USING tsext WITH (tsext.segment_by = 'k');
INSERT INTO odd VALUES ('2024-01-01 00:00+00', 1, 'NaN', 1, 'NaN', 9223372036854775807), ('2024-01-01 00:01+00', 1, 5, 'NaN', 1, 9223372036854775807),
  ('2024-01-01 00:00+00', 2, 'Infinity', '-Infinity', 'Infinity', -9223372036854775808), ('2024-01-01 00:01+00', 2, 1, 1, 2.50, -9223372036854775808),
  ('2024-01-01 00:00+00', 3, NULL, NULL, NULL, NULL), ('2024-01-01 00:00+00', NULL, '-0', 0.1, 0.000, 0);
SELECT * FROM tsext.series('odd') ORDER BY series;
CREATE TABLE hot_series AS SELECT * FROM tsext.series('odd');
SELECT compress_chunk(c) FROM show_chunks('odd') c;
SELECT count(*) AS differences FROM ((TABLE hot_series EXCEPT ALL SELECT * FROM tsext.series('odd')) UNION ALL (SELECT * FROM tsext.series('odd') EXCEPT ALL TABLE hot_series)) d;
INSERT INTO odd VALUES (NULL, 1, 100, 100, 100, 100), ('infinity', 4, 1, 1, 1, 1), ('-infinity', 4, 2, 2, 2, 2);
SELECT series, rows, first_time, last_time, columns -> 'b' AS b FROM tsext.series('odd') WHERE series ->> 'k' IN ('1', '4') ORDER BY 1;

-- Series by other types; a table without a time column, one without rows, one without numbers.
CREATE TABLE typed (day date, id uuid, flag bool, price numeric(6, 2), v int) USING tsext WITH (tsext.segment_by = 'id, flag, price');
INSERT INTO typed SELECT '2024-01-01', '12345678-1234-1234-1234-123456789abc', g % 2 = 0, 1.50, g FROM generate_series(1, 10) g;
SELECT * FROM tsext.series('typed') ORDER BY series::text;
SELECT count(*) FROM (SELECT compress_chunk(c) FROM show_chunks('typed') c) c;
SELECT * FROM tsext.series('typed') ORDER BY series::text;
CREATE TABLE timeless (v int, w int) USING tsext;
INSERT INTO timeless VALUES (1, 2), (3, NULL);
SELECT * FROM tsext.series('timeless');
CREATE TABLE nothing (time timestamptz, v int) USING tsext;
SELECT count(*) FROM tsext.series('nothing');
CREATE TABLE texts (time timestamptz, v text) USING tsext;
INSERT INTO texts VALUES ('2024-01-01', 'x');
SELECT rows, columns FROM tsext.series('texts');
-- The snapshot is the statement's: what a transaction may not see is not counted.
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM timeless WHERE v = 1;
SELECT rows, columns FROM tsext.series('timeless');
ROLLBACK;

SELECT count(*) FROM unnest('{cpu,odd,typed,timeless,nothing,texts}'::regclass[]) r, tsext.verify(r);
ALTER SYSTEM RESET tsext.compact_background;
SELECT pg_reload_conf();
DROP SCHEMA series_test CASCADE;
