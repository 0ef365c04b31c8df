-- Continuous aggregates above a table that is downsampled keep what the raw rows said.
SET datestyle = iso;
SET timezone = UTC;
CREATE TABLE meter (time timestamptz NOT NULL, host text, v float8, n bigint) USING tsext
  WITH (tsext.segment_by = 'host', tsext.chunk_interval = '1 day');
INSERT INTO meter SELECT timestamptz '2024-01-01' + g * interval '1 min', 'h' || g % 3, g % 100 FROM generate_series(0, 14399) g;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, min(v) AS low, max(v) AS high, avg(v) AS mean, count(*) AS rows
  FROM meter GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS day, host, min(low) AS low, max(high) AS high, sum(rows) AS rows
  FROM hourly GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW weekly WITH (tsext.continuous) AS
  SELECT time_bucket('7 days', time) AS week, max(v) AS high, count(*) AS rows FROM meter GROUP BY 1 WITH NO DATA;
-- A part of one is materialised; of the others nothing is.
CALL refresh_continuous_aggregate('hourly', '2024-01-01', '2024-01-04');
INSERT INTO meter VALUES ('2024-01-02 05:06', 'h0', -1000);                    -- and one bucket is out of date
CREATE TABLE hourly_was AS TABLE hourly;
CREATE TABLE daily_was AS TABLE daily;
CREATE TABLE weekly_was AS TABLE weekly;
CREATE VIEW changes AS SELECT
  (SELECT count(*) FROM ((TABLE hourly EXCEPT TABLE hourly_was) UNION ALL (TABLE hourly_was EXCEPT TABLE hourly)) d) AS hourly,
  (SELECT count(*) FROM ((TABLE daily EXCEPT TABLE daily_was) UNION ALL (TABLE daily_was EXCEPT TABLE daily)) d) AS daily,
  (SELECT count(*) FROM ((TABLE weekly EXCEPT TABLE weekly_was) UNION ALL (TABLE weekly_was EXCEPT TABLE weekly)) d) AS weekly;
SELECT * FROM changes;
SELECT * FROM tsext.downsample('meter', timestamptz '2024-01-06 12:00', '6 hours', '{"v": "avg"}', 'n');
SELECT count(*) FROM meter;
SELECT * FROM changes;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
CALL refresh_continuous_aggregate('weekly', NULL, NULL);
SELECT * FROM changes;
-- A late row is folded into its bucket here and no more into one there.
INSERT INTO meter VALUES ('2024-01-02 03:04', 'h1', 1000);
SELECT * FROM tsext.downsample('meter', timestamptz '2024-01-06 12:00', '6 hours', '{"v": "avg"}', 'n');
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT * FROM changes;
SELECT max(late_rows) FROM tsext.cagg_gone WHERE materialization = 'hourly_materialized'::regclass;
-- Rolled back: as it was.
BEGIN;
SELECT * FROM tsext.downsample('meter', timestamptz '2024-01-08', '6 hours', '{"v": "avg"}', 'n');
SELECT * FROM changes;
ROLLBACK;
SELECT * FROM changes;
-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- Rows that an unfinished bucket above still needs stay raw, however young the rows are that may go.
CREATE TABLE young (time timestamptz NOT NULL, host text, v float8) USING tsext WITH (tsext.segment_by = 'host');
CREATE MATERIALIZED VIEW yearly WITH (tsext.continuous) AS
  SELECT time_bucket('1 year', time) AS year, count(*) AS rows FROM young GROUP BY 1 WITH NO DATA;
INSERT INTO young SELECT date_trunc('year', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + g * interval '1 s', 'h', 1 FROM generate_series(-10, 9) g;
SELECT * FROM tsext.downsample('young', now() + interval '1 year', '1 min', '{"v": "sum"}');
SELECT rows FROM yearly ORDER BY year;
-- A policy counts what has ended from its `after`: rows that come no later are still taken above.
CREATE TABLE tardy (time timestamptz NOT NULL, host text, v float8) USING tsext WITH (tsext.segment_by = 'host');
CREATE MATERIALIZED VIEW tardy_yearly WITH (tsext.continuous) AS
  SELECT time_bucket('1 year', time) AS year, count(*) AS rows FROM tardy GROUP BY 1 WITH NO DATA;
SELECT date_trunc('year', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 day' AS december \gset
INSERT INTO tardy SELECT timestamptz :'december' - y * interval '1 year' - interval '2 months' + g * interval '1 s', 'h', 1
FROM generate_series(0, 1) y, generate_series(1, 10) g;
SELECT job_id AS job FROM alter_job(add_downsampling_policy('tardy', now() - :'december', '1 hour', '{"v": "sum"}'), scheduled => false) \gset
SET default_transaction_isolation = 'repeatable read';
CALL run_job(:job);
RESET default_transaction_isolation;
SELECT count(*) FILTER (WHERE time < timestamptz :'december' - interval '11 months') AS before, count(*) AS all FROM tardy;
INSERT INTO tardy SELECT timestamptz :'december' - y * interval '1 year' - interval '1 month', 'h', 1 FROM generate_series(0, 1) y;
SELECT rows FROM tardy_yearly ORDER BY year;
SELECT tsext.downsample('hourly_materialized', now(), '1 day', '{}');
DROP VIEW changes;
DROP TABLE hourly_was, daily_was, weekly_was;
DROP MATERIALIZED VIEW yearly;
DROP MATERIALIZED VIEW tardy_yearly;
DROP MATERIALIZED VIEW weekly;
DROP MATERIALIZED VIEW daily;
DROP MATERIALIZED VIEW hourly;
DROP TABLE meter, young, tardy;
