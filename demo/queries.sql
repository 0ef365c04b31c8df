-- The demo's questions. :air_quality and :sensors name the tables: the tsext ones, then their heap twins for comparison.
\set ON_ERROR_STOP on
\pset footer off
SET timezone = 'Asia/Shanghai';
\echo 'Air quality in Beijing, by year:'
SELECT extract(year FROM time_bucket('1 year', time, 'Asia/Shanghai')) AS year, count(*) AS hours, round(avg(pm25), 1) AS pm25,
       max(pm25) AS worst, count(*) FILTER (WHERE pm25 > 150) AS unhealthy_hours
FROM :air_quality GROUP BY 1 ORDER BY 1;

\echo 'The five worst days, by the calendar of Beijing:'
SELECT time_bucket('1 day', time, 'Asia/Shanghai')::date AS day, round(avg(pm25), 1) AS pm25, min(temperature) AS coldest,
       last(wind, time) AS wind_at_night
FROM :air_quality GROUP BY time_bucket('1 day', time, 'Asia/Shanghai') ORDER BY avg(pm25) DESC NULLS LAST, day LIMIT 5;

SET timezone = 'UTC';
\echo 'First and last value of each sensor:'
SELECT sensor, count(*) AS rows, first(value, time) AS first, last(value, time) AS last, max(time)::date AS until
FROM :sensors GROUP BY sensor ORDER BY sensor COLLATE "C";

\echo 'The machine on the day before it failed, six hours a row:'
SELECT time_bucket('6 hours', time) AS since, count(*) AS rows, min(value) AS lowest, max(value) AS highest
FROM :sensors WHERE sensor = 'machine_temperature_system_failure' AND time >= '2014-02-07' AND time < '2014-02-09'
GROUP BY 1 ORDER BY 1;
