-- Data that ages by itself: rollups that are always right, retention, an alert. The scheduler does the work; this waits for it.
\set ON_ERROR_STOP on
\pset footer off
SET timezone = 'UTC';
SET client_min_messages = warning;

-- A rollup of the loaded data. What is finished is read from it, what is newer or was changed from the table.
CREATE MATERIALIZED VIEW air_quality_daily WITH (tsext.continuous) AS
SELECT time_bucket('1 day', time, 'Asia/Shanghai') AS day, count(*) AS hours, avg(pm25) AS pm25, max(pm25) AS worst
FROM air_quality
GROUP BY 1;
INSERT INTO air_quality (time, pm25) VALUES ('2012-01-23 01:30+08', 1994);     -- late
\echo
\echo 'A continuous aggregate by day, right after a late row of 2012-01-23 that no refresh has seen:'
SELECT (day AT TIME ZONE 'Asia/Shanghai')::date AS day, hours, round(pm25, 1) AS pm25, worst
FROM air_quality_daily WHERE day >= '2012-01-22 00:00+08' AND day < '2012-01-25 00:00+08' ORDER BY 1;
CALL refresh_continuous_aggregate('air_quality_daily', NULL, NULL);

-- A machine that reports every ten seconds, for the last three days.
CREATE TABLE machine (time timestamptz NOT NULL, sensor text NOT NULL, temperature float8)
USING tsext WITH (tsext.chunk_interval = '6 hours', tsext.segment_by = 'sensor');
INSERT INTO machine
SELECT time, sensor, round((60 + 15 * sin(extract(epoch FROM time) / 7200 + length(sensor)))::numeric, 1)
FROM generate_series(date_trunc('minute', now()) - interval '3 days', now(), '10 s') time, unnest('{bearing,gearbox,winding}'::text[]) sensor;

CREATE MATERIALIZED VIEW machine_hourly WITH (tsext.continuous) AS
SELECT time_bucket('1 hour', time) AS hour, sensor, avg(temperature) AS average, max(temperature) AS highest, count(*) AS readings
FROM machine
GROUP BY 1, 2 WITH NO DATA;

SELECT count(*) AS before FROM machine \gset
SELECT add_continuous_aggregate_policy('machine_hourly', start_offset => NULL, end_offset => interval '1 hour', schedule_interval => interval '5 s') AS refresh_job,
       add_retention_policy('machine', drop_after => interval '1 day', schedule_interval => interval '5 s') AS retention_job,
       tsext.create_alert('too hot', $$SELECT sensor, last(temperature, time) AS value FROM machine WHERE time > now() - interval '10 min' GROUP BY sensor$$,
                          'value > 90', every => interval '1 s') AS alert \gset
LISTEN tsext_alert;
INSERT INTO machine VALUES (now() + interval '1 s', 'gearbox', 97.5);

-- Until each has worked, at most three minutes.
DO $$
BEGIN
  FOR i IN 1..900 LOOP
    EXIT WHEN (SELECT min(time) FROM machine) > now() - interval '36 hours'
      AND EXISTS (SELECT FROM tsext.alerts WHERE name = 'too hot' AND state = 'firing')
      AND (SELECT count(DISTINCT job_name) = 3 FROM tsext.job_runs WHERE outcome = 'succeeded' AND job_id >= 1000);
    COMMIT;
    PERFORM pg_sleep(0.2);
  END LOOP;
END $$;

\echo
\echo 'A retention policy has dropped what is older than a day; the hourly aggregate keeps its three days:'
SELECT :before AS readings_before, (SELECT count(*) FROM machine) AS readings_now, (SELECT sum(readings) FROM machine_hourly) AS readings_in_the_aggregate;
SELECT hour::date AS day, sensor, round(avg(average)::numeric, 1) AS average, max(highest) AS highest
FROM machine_hourly WHERE hour < date_trunc('day', now()) - interval '1 day' GROUP BY 1, 2 ORDER BY 1, 2;
\echo 'An alert fires for the label set it is true for, and tells who listens:'
SELECT name, labels, state, value FROM tsext.alerts ORDER BY labels->>'sensor';
\echo 'Jobs, and what they did:'
SELECT job_id, job_name, relation, schedule_interval AS every, config, last_outcome FROM tsext.jobs ORDER BY job_id;
SELECT DISTINCT ON (job_id) job_id, job_name, outcome, rows, finished - started AS took FROM tsext.job_runs ORDER BY job_id, started;

-- The demo's machine is quiet again.
SELECT alter_job(:refresh_job, schedule_interval => interval '1 hour') \g /dev/null
SELECT alter_job(:retention_job, schedule_interval => interval '1 hour') \g /dev/null
SELECT tsext.alter_alert('too hot', every => interval '1 min') \g /dev/null
