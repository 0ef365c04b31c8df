-- Policies and continuous aggregates: scheduled refreshes, and retention below, of and between aggregates.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET tsext.enable_bulk = off;
\set later '''2100-01-01''::timestamptz'

-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- Twenty days, a row every half hour, in chunks of a day, half of them cold.
CREATE TABLE raw (time timestamptz NOT NULL, host text, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO raw SELECT date_trunc('hour', now()) - g * interval '30 min', 'h' || g % 2, g FROM generate_series(0, 959) g;
SELECT rows_moved > 0 AS moved FROM tsext.compact('raw', older_than => interval '10 days');
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(v) AS s FROM raw GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS bucket, sum(n) AS n, sum(s) AS s FROM hourly GROUP BY 1 WITH NO DATA;
CREATE TABLE hourly_twin AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(v) AS s FROM raw GROUP BY 1, 2;
CREATE TABLE daily_twin AS SELECT time_bucket('1 day', time) AS bucket, count(*)::numeric AS n, sum(v)::numeric AS s FROM raw GROUP BY 1;
CREATE TABLE raw_twin AS TABLE raw;
CREATE FUNCTION differences(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$I EXCEPT ALL TABLE %2$I) UNION ALL (TABLE %2$I EXCEPT ALL TABLE %1$I)) d', name, name || '_twin') INTO n;
  RETURN n;
END $$;
SELECT differences('hourly'), differences('daily');

-- wrong use of refresh policies
SELECT add_continuous_aggregate_policy(NULL, '1 day', '1 hour', '1 hour');
SELECT add_continuous_aggregate_policy('raw', '1 day', '1 hour', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '1 day', '1 hour', NULL);
SELECT add_continuous_aggregate_policy('hourly', '1 day', '1 hour', '0');
SELECT add_continuous_aggregate_policy('hourly', '1 day', '1 day', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '1 day', '2 days', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '3 h', '1 h 1 min', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '-1 day', '1 hour', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', interval '0', NULL, '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '1 day', '-1 hour', '1 hour');
SELECT add_continuous_aggregate_policy('hourly', 100, 10, '1 hour');
SELECT add_continuous_aggregate_policy('hourly', '1 day -1 hour', NULL, '1 hour');
SELECT remove_continuous_aggregate_policy('hourly');
SELECT remove_continuous_aggregate_policy('hourly', if_not_exists => true);
SELECT remove_continuous_aggregate_policy('hourly', if_exists => true);
CREATE ROLE tsext_stranger;
SET ROLE tsext_stranger;
SELECT add_continuous_aggregate_policy('hourly', '1 day', '1 hour', '1 hour');
RESET ROLE;

-- a window: what is older stays as it is
SELECT add_continuous_aggregate_policy('hourly', start_offset => '2 days', end_offset => interval '1 hour', schedule_interval => '1 hour',
  initial_start => :later) AS hourly \gset
SELECT add_continuous_aggregate_policy('daily', NULL, NULL, '1 day', initial_start => :later, timezone => 'Asia/Tokyo') AS daily \gset
SELECT relation, proc_name, schedule_interval, timezone, config FROM tsext.jobs WHERE job_id IN (:hourly, :daily) ORDER BY job_id;
SELECT add_continuous_aggregate_policy('hourly', '2 days', '1 h', '1 hour', if_not_exists => true, initial_start => :later) = :hourly AS same;
SELECT config FROM alter_job(:hourly, config => '{"start_offset": null}');
SELECT config FROM alter_job(:hourly, config => '{"start_offset": "0", "end_offset": "1 day"}');
SELECT config FROM alter_job(:hourly, config => '{"start_offset": null, "end_offset": "0 days"}');
SELECT config FROM alter_job(:hourly, config => '{"start_offset": "2 days", "end_offset": "01:00:00"}');
CALL run_job(:hourly);
SELECT count(*) > 0 AS some, min(bucket) >= now() - interval '2 days' AS young FROM hourly_materialized;
SELECT differences('hourly'), differences('daily');
CALL run_job(:daily);
SELECT count(*) FROM daily_materialized;
SELECT differences('hourly'), differences('daily');
-- late rows
INSERT INTO raw SELECT date_trunc('day', now()) - interval '11 h 30 min', 'late', -1;
DROP TABLE hourly_twin, daily_twin;
CREATE TABLE hourly_twin AS SELECT time_bucket('1 hour', time) AS bucket, host, count(*) AS n, sum(v) AS s FROM raw GROUP BY 1, 2;
CREATE TABLE daily_twin AS SELECT time_bucket('1 day', time) AS bucket, count(*)::numeric AS n, sum(v)::numeric AS s FROM raw GROUP BY 1;
SELECT differences('hourly'), differences('daily');
CALL run_job(:hourly);
SELECT n, s FROM hourly_materialized WHERE host = 'late';
SELECT differences('hourly'), differences('daily');
SELECT outcome FROM tsext.job_runs WHERE job_id = :hourly;
SELECT remove_continuous_aggregate_policy('hourly');
SELECT remove_continuous_aggregate_policy('daily');

-- retention below: aggregates keep what they have, and what was not refreshed is refreshed first
SELECT add_retention_policy('raw', '8 days', initial_start => :later) AS raw \gset
CALL run_job(:raw);
SELECT outcome, rows FROM tsext.job_runs WHERE job_id = :raw;
SELECT min(time) >= now() - interval '9 days' AS dropped, min(time) < now() - interval '8 days' AS no_more FROM raw;
SELECT differences('hourly'), differences('daily');
-- late rows there are counted, not lost, and change no bucket
INSERT INTO raw SELECT date_trunc('day', now()) - interval '15 days', 'too late', g FROM generate_series(1, 3) g;
SELECT differences('hourly'), differences('daily');
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
SELECT differences('hourly'), differences('daily');
SELECT materialization, sum(late_rows) AS late_rows FROM tsext.cagg_gone GROUP BY 1 ORDER BY materialization::text;
SELECT count(*) FROM raw WHERE host = 'too late';
CALL refresh_continuous_aggregate('hourly', NULL, NULL, force => true);
SELECT differences('hourly'), differences('daily');
CALL run_job(:raw);
SELECT count(*) FROM raw WHERE host = 'too late';
SELECT differences('hourly'), differences('daily');

-- retention of an aggregate: its old buckets go for good, those above keep theirs
SELECT add_retention_policy('hourly', interval '5 days', initial_start => :later) AS hourly \gset
CALL run_job(:hourly);
SELECT outcome, rows > 0 AS dropped FROM tsext.job_runs WHERE job_id = :hourly ORDER BY run_id DESC LIMIT 1;
SELECT min(bucket) = date_trunc('day', now() - interval '5 days') AS dropped FROM hourly;
SELECT count(*) AS differences FROM (
  (SELECT * FROM hourly_twin WHERE bucket >= (SELECT min(bucket) FROM hourly) EXCEPT ALL TABLE hourly) UNION ALL
  (TABLE hourly EXCEPT ALL TABLE hourly_twin)) d;
SELECT differences('daily');
CALL refresh_continuous_aggregate('hourly', NULL, NULL, force => true);
CALL refresh_continuous_aggregate('daily', NULL, NULL, force => true);
SELECT count(*) AS came_back FROM hourly WHERE bucket < date_trunc('day', now() - interval '5 days');
SELECT differences('daily');
SELECT remove_retention_policy('hourly');

-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- buckets of months of a time zone: the one in which the border lies still takes late rows
CREATE TABLE zoned (time timestamptz NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
INSERT INTO zoned SELECT date_trunc('hour', now()) - g * interval '1 hour', g FROM generate_series(0, 2399) g;
CREATE MATERIALIZED VIEW monthly WITH (tsext.continuous) AS
  SELECT time_bucket('1 month', time, 'Europe/Berlin') AS bucket, count(*) AS n, sum(v) AS s FROM zoned GROUP BY 1 WITH NO DATA;
CREATE TABLE monthly_twin AS SELECT time_bucket('1 month', time, 'Europe/Berlin') AS bucket, count(*) AS n, sum(v) AS s FROM zoned GROUP BY 1;
SELECT add_continuous_aggregate_policy('monthly', '50 days', NULL, '1 day', initial_start => :later);
SELECT add_continuous_aggregate_policy('monthly', '2 months', NULL, '1 month', initial_start => :later) AS monthly \gset
CALL run_job(:monthly);
SELECT differences('monthly');
SELECT add_retention_policy('zoned', '10 days', initial_start => :later) AS zoned \gset
CALL run_job(:zoned);
SELECT rows > 50 AS dropped FROM tsext.job_runs WHERE job_id = :zoned;
SELECT differences('monthly');
SELECT time_bucket('1 month', now() - interval '10 days', 'Europe/Berlin') AS border \gset
INSERT INTO zoned VALUES (timestamptz :'border' + interval '1 minute', 1000000);
UPDATE monthly_twin SET n = n + 1, s = s + 1000000 WHERE bucket = :'border';
SELECT differences('monthly');
CALL refresh_continuous_aggregate('monthly', NULL, NULL, force => true);
SELECT differences('monthly');
SELECT late_rows FROM tsext.cagg_gone WHERE materialization = 'monthly_materialized'::regclass;
DROP MATERIALIZED VIEW monthly;
DROP TABLE zoned, monthly_twin;

-- the other types of time
CREATE TABLE local (time timestamp NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
CREATE TABLE days (time date NOT NULL, v int) USING tsext WITH (tsext.chunk_interval = '1 day');
CREATE TABLE shorts (time smallint NOT NULL, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = 100);
INSERT INTO local SELECT date_trunc('hour', localtimestamp) - g * interval '1 hour', g FROM generate_series(0, 959) g;
INSERT INTO days SELECT current_date - g / 24, g FROM generate_series(0, 959) g;
INSERT INTO shorts SELECT 960 - g, g FROM generate_series(0, 959) g;
CREATE FUNCTION short_now() RETURNS smallint LANGUAGE sql STABLE AS 'SELECT 960::smallint';
SELECT set_integer_now_func('shorts', 'short_now');
CREATE MATERIALIZED VIEW local_days WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) AS n, sum(v) AS s FROM local GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW days_weeks WITH (tsext.continuous) AS SELECT time_bucket('1 week', time) AS bucket, count(*) AS n, sum(v) AS s FROM days GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW shorts_tens WITH (tsext.continuous) AS SELECT time_bucket(10::smallint, time) AS bucket, count(*) AS n, sum(v) AS s FROM shorts GROUP BY 1 WITH NO DATA;
CREATE TABLE local_days_twin AS TABLE local_days;
CREATE TABLE days_weeks_twin AS TABLE days_weeks;
CREATE TABLE shorts_tens_twin AS TABLE shorts_tens;
SELECT add_continuous_aggregate_policy('local_days', '30 days', '1 day', '1 day', initial_start => :later) AS local \gset
SELECT add_continuous_aggregate_policy('days_weeks', interval '5 weeks', interval '0', '1 day', initial_start => :later) AS days \gset
SELECT add_continuous_aggregate_policy('shorts_tens', 500, 100::smallint, '1 day', initial_start => :later) AS shorts \gset
CALL run_job(:local);
CALL run_job(:days);
CALL run_job(:shorts);
SELECT count(*) FROM local_days_materialized;
SELECT count(*) BETWEEN 4 AND 5 AS some FROM days_weeks_materialized;
SELECT min(bucket), max(bucket) FROM shorts_tens_materialized;
SELECT differences('local_days'), differences('days_weeks'), differences('shorts_tens');
SELECT add_retention_policy('local', '10 days', initial_start => :later) AS local \gset
SELECT add_retention_policy('days', '10 days', initial_start => :later) AS days \gset
SELECT add_retention_policy('shorts', 105, initial_start => :later) AS shorts \gset
CALL run_job(:local);
CALL run_job(:days);
CALL run_job(:shorts);
SELECT (SELECT min(time) FROM local) = current_date - 10 AS local, (SELECT min(time) FROM days) = time_bucket('1 week', current_date - 10) AS days,
  (SELECT min(time) FROM shorts) AS shorts;
SELECT differences('local_days'), differences('days_weeks'), differences('shorts_tens');
-- before all times
CALL tsext.policy_retention(:shorts, '{"drop_after": 33700}');
CALL tsext.policy_retention(:shorts, '{"drop_after": 33728}');
CALL tsext.policy_retention(:shorts, '{"drop_after": 40000}');
CALL tsext.policy_retention(:shorts, '{"drop_after": 9223372036854775807}');
SELECT min(time) FROM shorts;
-- a refresh that fails: nothing is dropped
CREATE MATERIALIZED VIEW failing WITH (tsext.continuous) AS SELECT time_bucket(10::smallint, time) AS bucket, sum(1 / (v - 150)) FROM shorts GROUP BY 1 WITH NO DATA;
SELECT count(*) FROM alter_job(:shorts, config => '{"drop_after": 60}');
INSERT INTO shorts VALUES (810, 150);
\set VERBOSITY terse
CALL run_job(:shorts);
\set VERBOSITY default
SELECT min(time) FROM shorts;
DROP MATERIALIZED VIEW failing;
CALL run_job(:shorts);
SELECT min(time) FROM shorts;
DROP MATERIALIZED VIEW local_days;
DROP MATERIALIZED VIEW days_weeks;
DROP MATERIALIZED VIEW shorts_tens;
DROP TABLE local, days, shorts, local_days_twin, days_weeks_twin, shorts_tens_twin;
DROP FUNCTION short_now;

-- drop_chunks on a table whose aggregates were never refreshed
CREATE TABLE fresh (time bigint NOT NULL, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = 100);
INSERT INTO fresh SELECT g, g FROM generate_series(0, 999) g;
CREATE FUNCTION fresh_now() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1000::bigint';
CREATE MATERIALIZED VIEW tens WITH (tsext.continuous) AS SELECT time_bucket(10, time) AS bucket, count(*) AS n, sum(v) AS s FROM fresh GROUP BY 1 WITH NO DATA;
CREATE MATERIALIZED VIEW wide WITH (tsext.continuous) AS SELECT time_bucket(350, time) AS bucket, count(*) AS n, sum(v) AS s FROM fresh GROUP BY 1 WITH NO DATA;
SELECT tsext.set_options('tens_materialized', chunk_interval => 50);
CREATE TABLE tens_twin AS SELECT time_bucket(10, time) AS bucket, count(*) AS n, sum(v) AS s FROM fresh GROUP BY 1;
CREATE TABLE wide_twin AS SELECT time_bucket(350, time) AS bucket, count(*) AS n, sum(v) AS s FROM fresh GROUP BY 1;
BEGIN;
SELECT drop_chunks('fresh', older_than => 200);
SELECT differences('tens'), differences('wide');
ROLLBACK;
-- with rows of the own transaction
BEGIN;
INSERT INTO fresh VALUES (5, 1000), (395, 1000);
SELECT count(*) FROM drop_chunks('fresh', older_than => 200);
INSERT INTO fresh VALUES (6, 1000000), (396, 1000000);
SELECT bucket, n, s FROM tens WHERE bucket IN (0, 390) ORDER BY 1;
SELECT bucket, n, s FROM wide WHERE bucket IN (0, 350) ORDER BY 1;
ROLLBACK;
SELECT differences('tens'), differences('wide');
SELECT add_continuous_aggregate_policy('tens', 100, 20, '1 hour', initial_start => :later);
SELECT add_retention_policy('fresh', 500, initial_start => :later);
SELECT set_integer_now_func('tens', 'fresh_now');
SELECT set_integer_now_func('fresh', 'fresh_now');
SELECT add_continuous_aggregate_policy('tens', 100, 90, '1 hour', initial_start => :later);
SELECT add_continuous_aggregate_policy('tens', interval '1 day', NULL, '1 hour', initial_start => :later);
SELECT add_continuous_aggregate_policy('tens', 100, '20', '1 hour', initial_start => :later) AS tens \gset
CALL run_job(:tens);
SELECT min(bucket), max(bucket) FROM tens_materialized;
SELECT differences('tens');
SELECT config FROM tsext.jobs WHERE job_id = :tens;
-- 500 lies in a bucket of 350 to 699, so nothing goes from 350 on
SELECT add_retention_policy('fresh', 500, initial_start => :later) AS fresh \gset
CALL run_job(:fresh);
SELECT min(time) FROM fresh;
SELECT differences('tens'), differences('wide');
SELECT start, until FROM tsext.cagg_gone WHERE materialization IN ('tens_materialized'::regclass, 'wide_materialized'::regclass) ORDER BY materialization::text;
-- an error before the commit: as it was
SET tsext.stop_point = 'retention_after_aggregates:error';
SELECT drop_chunks('fresh', older_than => 600);
RESET tsext.stop_point;
SELECT min(time) FROM fresh;
SELECT differences('tens'), differences('wide');
-- by hand one may go further
SELECT drop_chunks('fresh', older_than => 600);
SELECT differences('tens');
-- chunks of the aggregate itself
SELECT drop_chunks('tens', older_than => 120);
SELECT drop_chunks('tens_materialized', older_than => 150);
SELECT min(bucket) FROM tens;
CALL refresh_continuous_aggregate('tens', NULL, NULL, force => true);
SELECT min(bucket) FROM tens;
DELETE FROM tens_twin WHERE bucket < 150;
SELECT differences('tens');
-- in chunks of the table of buckets, compressed hard
SELECT add_columnstore_policy('tens', 100, initial_start => :later) AS cold \gset
CALL run_job(:cold);
SELECT min(level), max(level), count(*) > 1 AS several FROM tsext.segment
WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'tens_materialized');
SELECT differences('tens');

-- a wide chunk is cut, and aggregates keep their buckets
\set day 86400000000::bigint
CREATE FUNCTION day400() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 400 * 86400000000';
CREATE TABLE thin (time bigint NOT NULL, v int) USING tsext WITH (tsext.time_column = time);
INSERT INTO thin SELECT 400 * :day - g * :day / 8, g FROM generate_series(1, 1599) g;
SELECT rows_moved FROM tsext.compact('thin');
CREATE MATERIALIZED VIEW weeks WITH (tsext.continuous) AS SELECT time_bucket(7 * 86400000000, time) AS bucket, count(*) AS n, sum(v) AS s FROM thin GROUP BY 1 WITH NO DATA;
CREATE TABLE weeks_twin AS SELECT time_bucket(7 * 86400000000, time) AS bucket, count(*) AS n, sum(v) AS s FROM thin GROUP BY 1;
SELECT set_integer_now_func('thin', 'day400');
SELECT add_retention_policy('thin', 30 * :day, initial_start => :later) AS thin \gset
SET tsext.stop_point = 'retention_after_part:error';
\set VERBOSITY terse
CALL run_job(:thin);
\set VERBOSITY default
RESET tsext.stop_point;
SELECT min(time) / :day AS first_day FROM thin;
SELECT differences('weeks');
CALL run_job(:thin);
SELECT min(time) / :day AS first_day FROM thin;
SELECT differences('weeks');
INSERT INTO thin VALUES (100, -1);
CALL refresh_continuous_aggregate('weeks', NULL, NULL, force => true);
SELECT differences('weeks');

-- the owner of the table may drop its rows although the aggregate is somebody else's
CREATE ROLE tsext_keeper;
GRANT CREATE ON SCHEMA public TO tsext_keeper, tsext_stranger;
SET ROLE tsext_keeper;
CREATE TABLE theirs (time bigint NOT NULL, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = 100);
INSERT INTO theirs SELECT g, g FROM generate_series(0, 999) g;
GRANT SELECT, TRIGGER ON theirs TO tsext_stranger;
RESET ROLE;
SELECT set_integer_now_func('theirs', 'fresh_now');
SET ROLE tsext_stranger;
CREATE MATERIALIZED VIEW mine WITH (tsext.continuous) AS SELECT time_bucket(10, time) AS bucket, count(*) AS n, sum(v) AS s FROM theirs GROUP BY 1 WITH NO DATA;
SELECT add_retention_policy('theirs', 500);
SELECT drop_chunks('theirs', older_than => 500);
SET ROLE tsext_keeper;
SELECT add_retention_policy('theirs', 500, initial_start => :later) AS theirs \gset
CALL run_job(:theirs);
SELECT min(time) FROM theirs;
SELECT drop_chunks('mine', older_than => 500);
SELECT add_retention_policy('mine', 500);
RESET ROLE;
SELECT count(*), sum(s) FROM mine;

DROP MATERIALIZED VIEW daily;
DROP MATERIALIZED VIEW hourly;
DROP MATERIALIZED VIEW mine;
DROP TABLE raw, raw_twin, hourly_twin, daily_twin, tens_twin, wide_twin;
DROP MATERIALIZED VIEW tens;
DROP MATERIALIZED VIEW wide;
DROP MATERIALIZED VIEW weeks;
DROP TABLE fresh, theirs, thin, weeks_twin;
SELECT count(*) FROM tsext.jobs WHERE proc_name LIKE 'policy%';
DROP FUNCTION differences, fresh_now, day400;
REVOKE ALL ON SCHEMA public FROM tsext_keeper, tsext_stranger;
DROP ROLE tsext_stranger, tsext_keeper;
