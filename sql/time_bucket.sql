SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';

-- every signature, with what the planner relies on
SELECT pg_get_function_arguments(oid) COLLATE "C" AS arguments, prorettype::regtype AS result, provolatile AS volatile,
       proisstrict AS strict, proparallel AS parallel, obj_description(oid, 'pg_proc') IS NOT NULL AS has_comment
FROM pg_proc WHERE proname = 'time_bucket' AND pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'tsext')
ORDER BY prorettype::regtype::text, 1;

-- literals without a type are intervals, as Grafana writes them
SELECT time_bucket('300.000s', timestamptz '2024-05-15 12:34:56.789+00') AS grafana,
       time_bucket('5 min', timestamptz '2024-05-15 12:34:56.789+00') AS minutes,
       time_bucket('1 day', timestamp '2024-05-15 12:34:56') AS day,
       time_bucket('1 week', date '2024-05-15') AS week,
       pg_typeof(time_bucket('1 week', date '2024-05-15')) AS type;

-- origins before, at and after the time
SELECT o AS origin, time_bucket('7 days', timestamptz '2024-05-15 12:00+00', o) AS timestamptz,
       time_bucket('7 days', timestamp '2024-05-15 12:00', o AT TIME ZONE 'UTC') AS timestamp,
       time_bucket('7 days', date '2024-05-15', o::date) AS date
FROM unnest('{1999-01-02 00:00+00, 2024-05-15 12:00+00, 2024-05-15 12:00:00.000001+00, 2100-06-07 01:02:03+00,
  4714-11-24 00:00+00 BC, 294276-12-31 23:59:59.999999+00}'::timestamptz[]) o;

-- an offset moves the starts, later or earlier
SELECT f AS "offset", time_bucket('1 day', timestamptz '2024-05-15 03:00+00', f) AS timestamptz,
       time_bucket('1 day', timestamp '2024-05-15 03:00', f) AS timestamp,
       time_bucket('1 month', timestamp '2024-05-15 03:00', f) AS month
FROM unnest('{2 hours, 4 hours, -2 hours, -22 hours, 1 day 4 hours, 1000000 days, 14 days 3 hours, 14 days 03:00:01}'::interval[]) f;
SELECT f AS "offset", time_bucket('1 week', date '2024-05-15', f) AS week, time_bucket('1 month', date '2024-05-15', f) AS month
FROM unnest('{1 day, -1 day, 2 days, 3 days, 24 hours, 14 days, 15 days}'::interval[]) f;
SELECT time_bucket('1 day', timestamptz '2024-05-15 03:00+00', origin => '2024-01-01 06:00+00') AS named_origin,
       time_bucket('1 day', timestamptz '2024-05-15 03:00+00', "offset" => '6 hours') AS named_offset,
       time_bucket(bucket_width => '1 day', ts => timestamptz '2024-05-15 03:00+00', timezone => 'Asia/Tokyo', "offset" => '6 hours') AS named_zone;

-- fixed widths are date_bin's
SELECT w AS width, count(*) AS times,
       count(*) FILTER (WHERE time_bucket(w, t) <> date_bin(w, t, '2000-01-03 00:00+00')) AS timestamptz_differs,
       count(*) FILTER (WHERE time_bucket(w, t AT TIME ZONE 'UTC') <> date_bin(w, t AT TIME ZONE 'UTC', '2000-01-03')) AS timestamp_differs,
       count(*) FILTER (WHERE time_bucket(w, t, '2017-11-05 06:07:08.9+00'::timestamptz) <> date_bin(w, t, '2017-11-05 06:07:08.9+00')) AS origin_differs,
       count(*) FILTER (WHERE time_bucket(w, t, '-1 day 05:00'::interval) <> date_bin(w, t, '2000-01-02 05:00+00')) AS offset_differs
FROM unnest('{1 microsecond, 7 milliseconds, 1 second, 90 seconds, 5 minutes, 1 hour, 7 hours, 1 day, 1 day 12 hours, 7 days, 1000 days}'::interval[]) w,
     (SELECT generate_series(timestamptz '1960-01-01 00:00+00', '2040-01-01 00:00+00', '11 days 05:03:07.000123') t
      UNION ALL SELECT generate_series(timestamptz '4000-01-01 00:00+00 BC', '10000-01-01 00:00+00', '997 days 23:59:59.999999')) s
GROUP BY w ORDER BY w;

-- units of the calendar are date_trunc's
SELECT w AS width, unit, count(*) AS times,
       count(*) FILTER (WHERE time_bucket(w, t) <> date_trunc(unit, t, 'UTC')) AS timestamptz_differs,
       count(*) FILTER (WHERE time_bucket(w, t AT TIME ZONE 'UTC') <> date_trunc(unit, t AT TIME ZONE 'UTC')) AS timestamp_differs,
       count(*) FILTER (WHERE time_bucket(w, d) <> date_trunc(unit, d::timestamp)::date) AS date_differs
FROM (VALUES ('1 second'::interval, 'second'), ('1 minute', 'minute'), ('1 hour', 'hour'), ('1 day', 'day'), ('1 week', 'week'),
             ('1 month', 'month'), ('3 months', 'quarter'), ('12 months', 'year'), ('10 years', 'decade')) u(w, unit),
     (SELECT t, (t AT TIME ZONE 'UTC')::date AS d FROM
       (SELECT generate_series(timestamptz '1960-01-01 00:00+00', '2040-01-01 00:00+00', '3 days 05:03:07.000123') t
        UNION ALL SELECT generate_series(timestamptz '4000-01-01 00:00+00 BC', '10000-01-01 00:00+00', '997 days 23:59:59.999999')) x) s
GROUP BY w, unit ORDER BY w;

-- months: leap years, the turn of an era, the origin's day and time of day
SELECT t AS ts, time_bucket('1 month', t) AS m1, time_bucket('3 months', t) AS m3, time_bucket('1 year', t) AS m12,
       time_bucket('5 months', t) AS m5
FROM unnest('{2024-02-29 23:59:59.999999, 2024-03-01 00:00, 1900-02-28 23:00, 1900-03-01 00:00, 2000-01-01 00:00, 1999-12-31 23:59:59.999999,
  0001-01-01 00:00, 0001-12-31 23:00 BC, 0001-02-29 12:00 BC, 4713-01-01 00:00 BC, 294276-12-31 23:59:59.999999}'::timestamp[]) t;
SELECT t AS ts, time_bucket('1 month', t, timestamp '2020-01-31 06:00') AS day_31, time_bucket('2 months', t, timestamp '2020-01-15') AS day_15,
       time_bucket('1 month', t, '-1 day'::interval) AS last_day, time_bucket('12 months', t, '9 months'::interval) AS fiscal_year
FROM unnest('{2024-02-29 05:59, 2024-02-29 06:00, 2023-02-28 06:00, 2023-03-14 23:00, 2023-03-15 00:00, 2023-03-31 05:59, 2023-03-31 06:00, 2023-10-01 00:00}'::timestamp[]) t;
SELECT d AS ts, time_bucket('1 month', d, date '2020-01-31') AS day_31, time_bucket('1 month', d, date '2030-02-28') AS day_28,
       time_bucket('12 months', d, '9 months'::interval) AS fiscal_year
FROM unnest('{2024-02-28, 2024-02-29, 2024-03-30, 2024-03-31, 2023-09-30, 0001-02-29 BC}'::date[]) d;

-- dates: widths that divide a day leave them alone; dates beyond timestamp's range work
SELECT d, time_bucket('6 hours', d) AS "6 h", time_bucket('300.000s', d) AS "300 s", time_bucket('48 hours', d) AS "48 h",
       time_bucket('1 week', d) AS week, time_bucket('1 year', d) AS year
FROM unnest('{2024-05-15, 1999-12-31, 5874897-12-31, 4713-01-06 BC, infinity, -infinity}'::date[]) d;

-- infinity stays, whatever the width
SELECT t, time_bucket('1 hour', t) AS hour, time_bucket('1 month', t) AS month, time_bucket('1 hour', t, 'Europe/Berlin') AS zone,
       time_bucket('1 hour', t AT TIME ZONE 'UTC') AS timestamp, time_bucket('1 day', t, timestamptz '2000-01-01 00:00+00') AS origin,
       time_bucket('1 day', t, '1 hour'::interval) AS "offset"
FROM unnest('{infinity, -infinity}'::timestamptz[]) t;

-- integers
SELECT v, time_bucket(10::smallint, v::smallint) AS int2, time_bucket(10, v) AS int4, time_bucket(10::bigint, v::bigint) AS int8,
       time_bucket(10::smallint, v::smallint, 3::smallint) AS int2_offset, time_bucket(10, v, -3) AS int4_offset, time_bucket(10::bigint, v::bigint, 23::bigint) AS int8_offset
FROM unnest('{-11, -10, -1, 0, 2, 3, 7, 9, 10, 32767}'::int[]) v;
SELECT pg_typeof(time_bucket(10::smallint, 1::smallint)) AS int2, pg_typeof(time_bucket(10, 1::smallint)) AS int4, pg_typeof(time_bucket(10, 1::bigint)) AS int8;
SELECT time_bucket(9223372036854775807, 9223372036854775807) AS greatest, time_bucket(2::bigint, (-9223372036854775808)::bigint) AS least,
       time_bucket(2147483647, 2147483647, 2147483646) AS "offset";

-- NULL in, NULL out; but an origin or offset of the time zone form that is NULL is not given
SELECT time_bucket(NULL::interval, now()) IS NULL AS a, time_bucket('1 h', NULL::timestamptz) IS NULL AS b, time_bucket('1 h', now(), NULL::interval) IS NULL AS c,
       time_bucket('1 h', now(), NULL::text) IS NULL AS d, time_bucket(NULL::interval, now(), 'UTC') IS NULL AS e, time_bucket('1 h', NULL::timestamptz, 'UTC') IS NULL AS f,
       time_bucket('1 h', timestamptz '2024-05-15 12:34+00', 'UTC', NULL, NULL) AS g;

-- wrong use
SELECT time_bucket('1 month 1 day', now());
SELECT time_bucket('1 day', now(), '1 month'::interval);
SELECT time_bucket('7 hours', date '2024-05-15');
SELECT time_bucket('1 day', date '2024-05-15', '1 hour'::interval);
SELECT time_bucket('1 day', now(), 'Mars/Olympus');
SELECT time_bucket('0', now());
\set VERBOSITY sqlstate
SELECT time_bucket('-1 hour', now());
SELECT time_bucket('1 day -24 hours', now());
SELECT time_bucket('-1 month', now());
SELECT time_bucket('0', date 'infinity');
SELECT time_bucket('0', timestamptz 'infinity');
SELECT time_bucket('0', timestamptz 'infinity', 'UTC');
SELECT time_bucket('1 month 00:00:01', timestamp '2024-05-15');
SELECT time_bucket('1 month 1 day', date '2024-05-15');
SELECT time_bucket('1 day', date '2024-05-15', '1 month'::interval);
SELECT time_bucket('1 month 1 day', now(), 'UTC');
SELECT time_bucket(0, 1);
SELECT time_bucket((-1)::smallint, 1::smallint);
SELECT time_bucket(0::bigint, 1::bigint);
SELECT time_bucket('1 day', now(), timestamptz 'infinity');
SELECT time_bucket('1 day', now(), 'UTC', timestamptz '-infinity');
SELECT time_bucket('1 day', date '2024-05-15', date 'infinity');

-- near the limits: an error only when the start itself is out of range
SELECT time_bucket('1 day', timestamp '4714-11-24 00:00 BC') AS lowest, time_bucket('1 month', timestamp '4714-12-01 00:00 BC') AS lowest_month,
       time_bucket('106751991 days', timestamp '294276-12-31 23:59:59.999999') AS widest,
       time_bucket('1 day', timestamp '294276-12-31 23:59:59.999999', timestamp '4714-11-24 00:00 BC') AS far_origin,
       time_bucket('178000000 years', timestamp '294276-12-31 23:59:59.999999') AS widest_months;
SELECT time_bucket('5 days', timestamp '4714-11-24 00:00 BC');
SELECT time_bucket('5 days', timestamptz '4714-11-24 00:00+00 BC');
SELECT time_bucket('1 month', timestamp '4714-11-24 00:00 BC');
SELECT time_bucket('1 month', date '4714-11-24 BC');
SELECT time_bucket('1 week', date '4714-11-24 BC', '-1 day'::interval);
SELECT time_bucket('106751991 days', timestamp '1999-01-01', timestamp '2000-01-01');
SELECT time_bucket('178000000 years', timestamp '1999-01-01');
SELECT time_bucket('106751992 days', now());
SELECT time_bucket('1 day', now(), '106751992 days'::interval);
SELECT time_bucket('1 week', timestamptz '4714-11-24 00:00+00 BC', 'Asia/Tokyo');
SELECT time_bucket('1 hour', timestamptz '294276-12-31 23:59:59.999999+00', 'Asia/Tokyo');
SELECT time_bucket(10::smallint, (-32768)::smallint);
SELECT time_bucket(10, -2147483648);
SELECT time_bucket(10::bigint, (-9223372036854775808)::bigint);
SELECT time_bucket('5 min', '2024-05-15');
\set VERBOSITY default

-- immutable: fit for an index
CREATE TEMP TABLE bucketed (ts timestamptz);
CREATE INDEX ON bucketed (time_bucket('1 hour', ts), time_bucket('1 day', ts, 'Europe/Berlin'));
DROP TABLE bucketed;

-- the session's time zone does not matter
SET timezone = 'America/New_York';
SELECT time_bucket('1 day', timestamptz '2024-05-15 02:00+00') AT TIME ZONE 'UTC' AS day, time_bucket('1 month', timestamptz '2024-05-01 02:00+00') AT TIME ZONE 'UTC' AS month,
       time_bucket('1 day', timestamptz '2024-05-15 02:00+00', 'Asia/Tokyo') AT TIME ZONE 'UTC' AS tokyo;
SET timezone = 'UTC';

-- Time zones. The clock is put forward: the missing hour has no bucket.
SELECT t AT TIME ZONE 'Europe/Berlin' AS local, time_bucket('1 hour', t, 'Europe/Berlin') AS hour, time_bucket('2 hours', t, 'Europe/Berlin') AS two_hours,
       time_bucket('2 hours', t, 'Europe/Berlin', "offset" => '30 min') AS half_past, time_bucket('1 day', t, 'Europe/Berlin') AS day
FROM generate_series(timestamptz '2024-03-31 00:15+00', '2024-03-31 02:15+00', '30 min') t;
-- It is put back: an hour's bucket comes twice, a longer one lasts longer.
SELECT t AS ts, t AT TIME ZONE 'Europe/Berlin' AS local, time_bucket('1 hour', t, 'Europe/Berlin') AS hour, time_bucket('2 hours', t, 'Europe/Berlin') AS two_hours,
       time_bucket('2 hours', t, 'Europe/Berlin', "offset" => '30 min') AS half_past, time_bucket('1 day', t, 'Europe/Berlin') AS day
FROM generate_series(timestamptz '2024-10-26 23:45+00', '2024-10-27 03:45+00', '30 min') t;
SELECT t AS ts, t AT TIME ZONE 'America/New_York' AS local, time_bucket('30 min', t, 'America/New_York') AS half_hour, time_bucket('1 day', t, 'America/New_York') AS day,
       time_bucket('1 month', t, 'America/New_York') AS month
FROM unnest('{2024-03-10 06:59+00, 2024-03-10 07:00+00, 2024-11-03 05:45+00, 2024-11-03 06:15+00, 2024-11-03 06:45+00, 2024-11-03 07:15+00}'::timestamptz[]) t;
-- Lord Howe moves by half an hour.
SELECT t AS ts, t AT TIME ZONE 'Australia/Lord_Howe' AS local, time_bucket('15 min', t, 'Australia/Lord_Howe') AS quarter, time_bucket('1 hour', t, 'Australia/Lord_Howe') AS hour
FROM generate_series(timestamptz '2024-04-06 14:25+00', '2024-04-06 15:55+00', '15 min') t;
-- Havana's clock shows midnight twice: one day still, from the first midnight.
SELECT t AS ts, t AT TIME ZONE 'America/Havana' AS local, time_bucket('1 day', t, 'America/Havana') AS day
FROM unnest('{2024-11-03 03:59+00, 2024-11-03 04:30+00, 2024-11-03 05:30+00, 2024-11-04 04:59+00, 2024-11-04 05:00+00}'::timestamptz[]) t;
-- Samoa left out 30 December 2011.
SELECT t AS ts, t AT TIME ZONE 'Pacific/Apia' AS local, time_bucket('1 day', t, 'Pacific/Apia') AS day, time_bucket('2 days', t, 'Pacific/Apia', '2011-12-28 10:00+00') AS two_days
FROM unnest('{2011-12-30 09:59+00, 2011-12-30 10:00+00, 2011-12-31 10:00+00}'::timestamptz[]) t;
-- abbreviations and POSIX rules are zones, as in date_trunc
SELECT z AS zone, time_bucket('1 day', timestamptz '2024-07-15 22:30+00', z) AS day,
       time_bucket('1 day', timestamptz '2024-07-15 22:30+00', z) = date_trunc('day', timestamptz '2024-07-15 22:30+00', z) AS like_date_trunc
FROM unnest('{UTC, CET, EDT, MSK, UTC+3, EST5EDT, <+0330>-3:30, europe/berlin}'::text[]) z;
-- origin and offset count in local time
SELECT time_bucket('1 day', timestamptz '2024-07-15 22:30+00', 'Europe/Berlin', '2024-01-01 05:00+00') AS day_at_six,
       time_bucket('1 day', timestamptz '2024-07-15 22:30+00', 'Europe/Berlin', "offset" => '6 hours') AS day_moved_to_six,
       time_bucket('1 month', timestamptz '2024-07-15 22:30+00', 'Europe/Berlin', '2024-01-15 05:00+00', '1 day') AS month_on_the_16th_at_six;

-- Units of the calendar are date_trunc's in zones whose clocks do not change at midnight and by whole hours.
SELECT z AS zone, unit, count(*) AS times, count(*) FILTER (WHERE time_bucket(w, t, z) <> date_trunc(unit, t, z)) AS differs
FROM unnest('{Europe/Berlin, America/New_York, Asia/Kolkata, Australia/Adelaide}'::text[]) z,
     (VALUES ('1 minute'::interval, 'minute'), ('1 hour', 'hour'), ('1 day', 'day'), ('1 week', 'week'), ('1 month', 'month'), ('3 months', 'quarter'), ('1 year', 'year')) u(w, unit),
     (SELECT generate_series(timestamptz '2023-12-20 00:07+00', '2025-01-10 00:00+00', '41 minutes 17 seconds') t
      UNION ALL SELECT generate_series(timestamptz '1990-01-01 00:07+00', '2090-01-01 00:00+00', '13 days 05:41:17')) s
GROUP BY z, unit, w ORDER BY z, w;

-- Zones and times in any order: what a call keeps for the next one does no harm.
SELECT count(*) AS times, count(*) FILTER (WHERE time_bucket('1 day', t, z) <> date_trunc('day', t, z)) AS differs
FROM (SELECT t, z FROM generate_series(timestamptz '1970-01-01 00:00+00', '2040-01-01 00:00+00', '17 days 01:02:03') t,
             unnest('{Europe/Berlin, America/New_York, CET, UTC, MSK, Asia/Kolkata}'::text[]) z ORDER BY md5(t::text || z)) s;
DO $$
DECLARE
  z text;
BEGIN
  FOREACH z IN ARRAY '{UTC, "", "", Mars/Olympus, Mars/Olympus, Europe/Berlin}'::text[] LOOP
    BEGIN
      RAISE INFO 'zone "%": %', z, time_bucket('1 day', timestamptz '2024-07-15 12:00+00', z);
    EXCEPTION WHEN invalid_parameter_value THEN
      RAISE INFO '%', SQLERRM;
    END;
  END LOOP;
END $$;

-- The definition, spelt out: a bucket begins when the local clock first reaches its start. Zones with every kind of change, times a minute or five apart.
CREATE TEMP TABLE clock AS
SELECT z AS zone, t AS ts, t AT TIME ZONE z AS local, max(t AT TIME ZONE z) OVER (PARTITION BY z, season ORDER BY t) AS latest_local, season
FROM (VALUES ('Europe/Berlin', timestamptz '2024-03-29 00:00+00'), ('Europe/Berlin', '2024-10-25 00:00+00'), ('America/New_York', '2024-03-08 00:00+00'),
             ('America/New_York', '2024-11-01 00:00+00'), ('Australia/Lord_Howe', '2024-04-05 00:00+00'), ('Australia/Lord_Howe', '2024-10-04 00:00+00'),
             ('America/Havana', '2024-03-08 00:00+00'), ('America/Havana', '2024-11-01 00:00+00'), ('America/St_Johns', '2006-10-27 00:00+00'),
             ('Pacific/Apia', '2011-12-28 00:00+00'), ('Asia/Kathmandu', '2024-01-01 00:00+00')) s(z, season),
     generate_series(season, season + '5 days', '1 min') t;
SELECT zone, season, w AS width, count(*) AS times,
       count(*) FILTER (WHERE is_inside AND bucket <> expected) AS differs, count(*) FILTER (WHERE bucket > ts) AS later, count(*) FILTER (WHERE bucket < previous) AS falls,
       count(*) FILTER (WHERE time_bucket(w, bucket, zone) <> bucket) AS unstable
FROM (SELECT zone, season, w, ts, bucket, lag(bucket) OVER (PARTITION BY zone, season, w ORDER BY ts) AS previous,
             min(ts) OVER label AS expected, ts > season + '2 days' AS is_inside
      FROM (SELECT *, time_bucket(w, ts, zone) AS bucket, date_bin(w, latest_local, '2000-01-03') AS local_start
            FROM clock, unnest('{90 min, 2 hours, 5 hours, 1 day, 36 hours}'::interval[]) w) b
      WINDOW label AS (PARTITION BY zone, season, w, local_start)) c
GROUP BY zone, season, w ORDER BY zone, season, w;
-- Widths up to the length of the change: each pass of the local clock has its own starts.
SELECT zone, season, w AS width, count(*) FILTER (WHERE bucket <> min_ts AND ts > season + '2 hours') AS differs
FROM (SELECT *, min(ts) OVER (PARTITION BY zone, season, w, date_bin(w, local, '2000-01-03'), ts - local AT TIME ZONE 'UTC') AS min_ts
      FROM (SELECT *, time_bucket(w, ts, zone) AS bucket FROM clock, unnest('{1 min, 5 min, 15 min, 30 min}'::interval[]) w) b) c
WHERE zone IN ('Europe/Berlin', 'America/New_York', 'America/Havana', 'Australia/Lord_Howe')
GROUP BY zone, season, w ORDER BY zone, season, w;
DROP TABLE clock;
