-- drop_chunks() below and on continuous aggregates: buckets whose source goes are brought up to date once and stay; later rows are counted.
SET datestyle = 'ISO';
SET timezone = 'UTC';
SET client_min_messages = warning;
SET jit = off;
CREATE FUNCTION shown(us int8) RETURNS text LANGUAGE sql STABLE AS $$ SELECT CASE WHEN us = -9223372036854775808 THEN '-infinity'
  ELSE to_char('2000-01-01 00:00+00'::timestamptz + us / 1000000 * interval '1 s', 'YYYY-MM-DD HH24:MI') END $$;
CREATE VIEW gone AS SELECT c.view, shown(g.start) AS start, shown(g.until) AS until, g.late_rows
  FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) ORDER BY c.level, g.start;
CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8) USING tsext;
SELECT tsext.set_options('cpu', chunk_interval => interval '1 day');
INSERT INTO cpu SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '5 min', 'host_' || g % 2, g FROM generate_series(0, 1500) g;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, sum(usage), count(*) FROM cpu GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS bucket, sum(sum), sum(count) AS rows FROM hourly GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-03 12:00');
CALL refresh_continuous_aggregate('daily', NULL, '2024-01-02');
SELECT tsext.compact('hourly_materialized') IS NOT NULL;
-- late rows below the thresholds, pending; the thresholds are below what goes
INSERT INTO cpu VALUES ('2024-01-01 05:01+00', 'late', 1), ('2024-01-03 05:01+00', 'late', 1), ('2024-01-05 05:01+00', 'late', 1);
CREATE TABLE hourly_before AS TABLE hourly;
CREATE TABLE daily_before AS TABLE daily;
CREATE FUNCTION changes() RETURNS TABLE (what text, n int8) LANGUAGE sql AS $$
  SELECT 'hourly +', count(*) FROM (TABLE hourly EXCEPT ALL TABLE hourly_before) d HAVING count(*) > 0
  UNION ALL SELECT 'hourly -', count(*) FROM (TABLE hourly_before EXCEPT ALL TABLE hourly) d HAVING count(*) > 0
  UNION ALL SELECT 'daily +', count(*) FROM (TABLE daily EXCEPT ALL TABLE daily_before) d HAVING count(*) > 0
  UNION ALL SELECT 'daily -', count(*) FROM (TABLE daily_before EXCEPT ALL TABLE daily) d HAVING count(*) > 0 $$;
BEGIN;
SELECT drop_chunks('cpu', older_than => '2024-01-04'::timestamptz);
SELECT * FROM changes();
SELECT * FROM gone;
ROLLBACK;
SELECT * FROM changes();
SELECT * FROM gone;
SELECT drop_chunks('cpu', older_than => '2024-01-04'::timestamptz);
SELECT min(time) FROM cpu;
SELECT * FROM changes();
SELECT * FROM gone;
SELECT view, tsext.watermark(materialization, NULL::timestamptz), tsext.dirty(materialization, NULL::tstzmultirange) FROM tsext.cagg ORDER BY level;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL, force => true);
SELECT * FROM changes();
-- rows that come too late are counted, not computed; those on either side are computed, but nothing over what is gone
INSERT INTO cpu VALUES ('2024-01-02 05:01+00', 'too late', 1), ('2024-01-02 05:02+00', 'too late', 1), ('2024-01-04 00:01+00', 'late', 1), ('2023-12-31 23:01+00', 'late', 1);
SELECT * FROM changes();
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
SELECT * FROM changes();
SELECT * FROM hourly WHERE host = 'late' ORDER BY 1, 2;
SELECT * FROM gone;
SELECT count(*) FROM tsext.cagg_log;
SELECT late_rows FROM tsext.continuous_aggregates ORDER BY view_name;
DROP TABLE hourly_before, daily_before;
CREATE TABLE hourly_before AS TABLE hourly;
CREATE TABLE daily_before AS TABLE daily;
-- a narrow gone range between two buckets that are computed
SELECT drop_chunks('cpu', older_than => '2024-01-05'::timestamptz, newer_than => '2024-01-04'::timestamptz);
DELETE FROM cpu WHERE time < '2024-01-03';
INSERT INTO cpu SELECT '2024-01-05 00:00+00'::timestamptz + g * interval '1 min', 'late', 1 FROM generate_series(0, 1439) g;
INSERT INTO cpu SELECT '2023-12-30 00:00+00'::timestamptz + g * interval '1 min', 'late', 1 FROM generate_series(0, 2 * 1440 - 1) g;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
SELECT time_bucket('1 day', bucket) AS day, host, sum(count), count(*) FROM hourly GROUP BY 1, 2 ORDER BY 1, 2;
SELECT bucket, rows FROM daily ORDER BY 1;
SELECT * FROM gone;

-- buckets of an aggregate itself: they go, those above stay, and nothing brings them back
DROP TABLE daily_before;
CREATE TABLE daily_before AS TABLE daily;
SELECT drop_chunks('hourly', older_than => '2024-01-06'::timestamptz);
SELECT min(bucket) FROM hourly;
SELECT * FROM gone;
TABLE daily EXCEPT TABLE daily_before;
TABLE daily_before EXCEPT TABLE daily;
INSERT INTO cpu VALUES ('2024-01-05 10:00+00', 'late', 1), ('2024-01-06 01:00+00', 'late', 1);
CALL refresh_continuous_aggregate('hourly', NULL, NULL, force => true);
CALL refresh_continuous_aggregate('daily', NULL, NULL, force => true);
SELECT min(bucket) FROM hourly;
SELECT d.bucket, d.rows - b.rows AS more FROM daily d JOIN daily_before b USING (bucket) WHERE d.rows <> b.rows;
SELECT * FROM gone;
DROP MATERIALIZED VIEW daily;
DROP MATERIALIZED VIEW hourly;

-- buckets wider than chunks: what is left of a month when its first days go; twice in a transaction, with rows of its own
TRUNCATE cpu;
INSERT INTO cpu SELECT '2024-01-25 00:00+00'::timestamptz + g * interval '1 hour', 'host', g FROM generate_series(0, 300) g;
CREATE MATERIALIZED VIEW monthly WITH (tsext.continuous) AS SELECT time_bucket('1 month', time) AS bucket, sum(usage), count(*) FROM cpu GROUP BY 1 WITH NO DATA;
BEGIN;
INSERT INTO cpu VALUES ('2024-01-26 00:30+00', 'own', 1);
SELECT count(*) FROM drop_chunks('cpu', older_than => '2024-01-27'::timestamptz);
SELECT count(*) FROM drop_chunks('cpu', older_than => '2024-01-29'::timestamptz);
SELECT * FROM monthly ORDER BY 1;
COMMIT;
SELECT * FROM monthly ORDER BY 1;
SELECT * FROM gone;
INSERT INTO cpu VALUES ('2024-02-03 00:30+00', 'new', 1), ('2024-01-31 00:30+00', 'late', 1);
CALL refresh_continuous_aggregate('monthly', NULL, NULL);
SELECT * FROM monthly ORDER BY 1;
SELECT start, until FROM gone;
-- all of it goes: the aggregate stays, and what comes afterwards is in it
SELECT count(*) FROM drop_chunks('cpu', older_than => '2030-01-01'::timestamptz);
SELECT * FROM monthly ORDER BY 1;
SELECT start, until FROM gone;
INSERT INTO cpu VALUES ('2024-03-03 00:30+00', 'new', 1);
SELECT * FROM monthly ORDER BY 1;
DROP MATERIALIZED VIEW monthly;

-- days of a time zone: the day after the newest row's loses nothing, though it is near
TRUNCATE cpu;
INSERT INTO cpu SELECT '2024-01-25 00:00+00'::timestamptz + g * interval '1 hour', 'host', g FROM generate_series(0, 47) g;
CREATE MATERIALIZED VIEW noronha WITH (tsext.continuous) AS SELECT time_bucket('1 day', time, 'America/Noronha') AS bucket, count(*) FROM cpu GROUP BY 1 WITH NO DATA;
SELECT count(*) FROM drop_chunks('cpu', older_than => '2024-01-27'::timestamptz);
SELECT start, until FROM gone;
INSERT INTO cpu SELECT '2024-01-27 02:00+00'::timestamptz + g * interval '1 hour', 'host', g FROM generate_series(0, 23) g;
SELECT * FROM noronha ORDER BY 1;
CALL refresh_continuous_aggregate('noronha', NULL, '2024-01-28 02:00+00');
SELECT * FROM noronha ORDER BY 1;
DROP MATERIALIZED VIEW noronha;

-- integers
CREATE TABLE counted (n int NOT NULL, v int) USING tsext;
SELECT tsext.set_options('counted', time_column => 'n', chunk_interval => 100);
INSERT INTO counted SELECT g, g FROM generate_series(-250, 350) g;
CREATE MATERIALIZED VIEW tens WITH (tsext.continuous) AS SELECT time_bucket(30, n) AS bucket, sum(v) FROM counted GROUP BY 1 WITH NO DATA;
CREATE TABLE tens_before AS TABLE tens;
SELECT drop_chunks('counted', older_than => 110);
TABLE tens EXCEPT TABLE tens_before;
TABLE tens_before EXCEPT TABLE tens;
SELECT start, until FROM tsext.cagg_gone;
DROP MATERIALIZED VIEW tens;
DROP TABLE counted, tens_before, cpu, hourly_before, daily_before CASCADE;
DROP VIEW gone;
DROP FUNCTION changes, shown;
