-- Watermark and dirty buckets of a continuous aggregate, from rows of the catalog written by hand.
SET datestyle = 'ISO';
SET timezone = 'UTC';
CREATE TABLE base (time timestamptz NOT NULL, day date, stamp timestamp, n8 int8, n4 int4, n2 int2) USING tsext;
CREATE TABLE buckets (bucket timestamptz NOT NULL) USING tsext;
CREATE VIEW seen AS SELECT bucket FROM buckets;
-- One aggregate of the given type; buckets by call, of a fixed width or of any.
CREATE PROCEDURE define(time_type regtype, bucket_call text, is_fixed bool, reach int8, cell_width int8, cell_origin int8, margin int8)
LANGUAGE sql BEGIN ATOMIC
  DELETE FROM tsext.cagg;
  DELETE FROM tsext.cagg_threshold;
  DELETE FROM tsext.cagg_log;
  DELETE FROM tsext.cagg_gone;
  INSERT INTO tsext.cagg VALUES ('buckets', 'seen', 'seen', 'base', 'base', 1, time_type, 'bucket', bucket_call, 'some', NULL, is_fixed,
    reach, cell_width, cell_origin, margin, false);
END;
CREATE FUNCTION units(timestamptz) RETURNS int8 LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE $1 WHEN '-infinity' THEN -9223372036854775808 WHEN 'infinity' THEN 9223372036854775807
     ELSE (extract(epoch FROM $1 - '2000-01-01 00:00+00') * 1000000)::int8 END $$;
CREATE FUNCTION write_at(first timestamptz, last timestamptz) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO tsext.cagg_log VALUES ('buckets', units(first), units(last), 1) $$;
CREATE FUNCTION write_number(first int8, last int8) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO tsext.cagg_log VALUES ('buckets', first, last, 1) $$;

-- hours of UTC
CALL define('timestamptz', $$public.time_bucket('01:00:00'::interval, $1)$$, true, 3600000000, 3600000000, 0, 0);
SELECT tsext.watermark('buckets', NULL::timestamptz), tsext.dirty('buckets', NULL::tstzmultirange);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', units('2024-01-02 00:00+00'));
SELECT tsext.watermark('buckets', NULL::timestamptz), tsext.dirty('buckets', NULL::tstzmultirange);
DO $$ BEGIN PERFORM write_at('2024-01-01 00:10+00', '2024-01-01 00:10+00'); END $$;
SELECT tsext.dirty('buckets', NULL::tstzmultirange);
-- the ends of a bucket, neighbours, what holds another
DO $$ BEGIN PERFORM write_at('2024-01-01 03:00+00', '2024-01-01 03:59:59.999999+00'); END $$;
DO $$ BEGIN PERFORM write_at('2024-01-01 04:00+00', '2024-01-01 05:00+00'); END $$;
DO $$ BEGIN PERFORM write_at('2024-01-01 09:00+00', '2024-01-01 12:00+00'), write_at('2024-01-01 10:00+00', '2024-01-01 10:30+00'), write_at('2024-01-01 07:59+00', '2024-01-01 08:00+00'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
-- gone ranges cut, the threshold cuts
INSERT INTO tsext.cagg_gone VALUES ('buckets', units('-infinity'), units('2024-01-01 01:00+00'), 0),
  ('buckets', units('2024-01-01 04:00+00'), units('2024-01-01 05:00+00'), 0), ('buckets', units('2024-01-01 11:00+00'), units('2024-01-01 20:00+00'), 0);
DO $$ BEGIN PERFORM write_at('2024-01-01 22:30+00', '2024-01-05 00:00+00'), write_at('2024-01-07 00:00+00', '2024-01-08 00:00+00'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
-- everything: TRUNCATE
DO $$ BEGIN PERFORM write_at('-infinity', 'infinity'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
DELETE FROM tsext.cagg_gone;
SELECT tsext.dirty('buckets', NULL::tstzmultirange);
-- rows at -infinity
DELETE FROM tsext.cagg_log;
DO $$ BEGIN PERFORM write_at('-infinity', '-infinity'); END $$;
SELECT '-infinity'::timestamptz <@ tsext.dirty('buckets', NULL::tstzmultirange), '2024-01-01'::timestamptz <@ tsext.dirty('buckets', NULL::tstzmultirange);

-- the snapshot is the statement's: cursors and older snapshots do not see later entries
DELETE FROM tsext.cagg_log;
BEGIN;
DECLARE before CURSOR FOR SELECT (SELECT tsext.dirty('buckets', NULL::tstzmultirange)), (SELECT tsext.watermark('buckets', NULL::timestamptz)) FROM generate_series(1, 2);
FETCH 1 FROM before;
DO $$ BEGIN PERFORM write_at('2024-01-01 00:10+00', '2024-01-01 00:10+00'); END $$;
UPDATE tsext.cagg_threshold SET threshold = units('2024-01-03');
FETCH 1 FROM before;
CLOSE before;
SELECT tsext.dirty('buckets', NULL::tstzmultirange), tsext.watermark('buckets', NULL::timestamptz);
PREPARE again AS SELECT (SELECT tsext.dirty('buckets', NULL::tstzmultirange));
EXECUTE again;
DELETE FROM tsext.cagg_log;
EXECUTE again;
ROLLBACK;
DEALLOCATE again;
-- never folded into a plan
EXPLAIN (COSTS off, VERBOSE) SELECT (SELECT tsext.watermark('buckets', NULL::timestamptz));

-- months, by the function
CALL define('timestamptz', $$public.time_bucket('1 mon'::interval, $1)$$, false, 86400000000 * 35, 86400000000, 0, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', units('2024-05-01'));
DO $$ BEGIN PERFORM write_at('2024-01-31 23:59:59+00', '2024-02-01 00:00+00'), write_at('2024-02-29 00:00+00', '2024-02-29 00:00+00'), write_at('2024-04-30 12:00+00', 'infinity'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
INSERT INTO tsext.cagg_log VALUES ('buckets', -9223372036854775808, -211810204800000000 + 5, 1);
SELECT lower(tsext.dirty('buckets', NULL::tstzmultirange));

-- days of a time zone; clocks in Havana are set back from 01:00 to 00:00 on 2023-11-05
CALL define('timestamptz', $$public.time_bucket('1 day'::interval, $1, 'America/Havana'::pg_catalog.text, NULL::timestamp with time zone, NULL::interval)$$, false, 3600000000::int8 * 27, 900000000, 0, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', units('2024-01-01 05:00+00'));
DO $$ BEGIN PERFORM write_at('2023-11-05 12:00+00', '2023-11-05 12:00+00'), write_at('2023-07-01 03:59+00', '2023-07-01 03:59+00'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
SELECT time_bucket('1 day', t, 'America/Havana') FROM (VALUES ('2023-11-05 03:59+00'::timestamptz), ('2023-11-05 04:00+00'), ('2023-11-05 05:00+00'), ('2023-11-06 05:00+00')) v(t);
-- over buckets of hours, where a row counts at the hour's start: times of up to an hour after a day's end are of it
UPDATE tsext.cagg SET margin = 3600000000;
DO $$ BEGIN PERFORM write_at('2023-09-09 04:59+00', '2023-09-09 04:59+00'), write_at('2023-09-12 05:00+00', '2023-09-13 03:59+00'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));
-- the longest day of all: Kwajalein crossed the date line
CALL define('timestamptz', $$public.time_bucket('1 day'::interval, $1, 'Pacific/Kwajalein'::pg_catalog.text, NULL::timestamp with time zone, NULL::interval)$$, false, 3600000000::int8 * 27, 900000000, 0, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', units('2024-01-01 12:00+00'));
DO $$ BEGIN PERFORM write_at('1969-09-30 20:00+00', '1969-09-30 20:00+00'); END $$;
SELECT unnest(tsext.dirty('buckets', NULL::tstzmultirange));

-- other types
CALL define('date', $$public.time_bucket('7 days'::interval, $1)$$, true, 7, 7, 2, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', '2024-03-04'::date - '2000-01-01'::date);
DO $$ BEGIN PERFORM write_number(('2024-01-10'::date - '2000-01-01')::int8, ('2024-01-10'::date - '2000-01-01')::int8), write_number(('2024-03-03'::date - '2000-01-01')::int8, 9223372036854775807); END $$;
SELECT tsext.watermark('buckets', NULL::date), tsext.dirty('buckets', NULL::datemultirange);
CALL define('timestamp', $$public.time_bucket('00:15:00'::interval, $1)$$, true, 900000000, 900000000, 0, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', units('2024-01-02 00:00+00'));
DO $$ BEGIN PERFORM write_at('2024-01-01 00:14:59+00', '2024-01-01 00:15+00'); END $$;
SELECT tsext.watermark('buckets', NULL::timestamp), tsext.dirty('buckets', NULL::tsmultirange);
CALL define('int8', 'public.time_bucket(10::bigint, $1)', true, 10, 10, 3, 0);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', 103);
DO $$ BEGIN PERFORM write_number(2, 3), write_number(-9223372036854775808, -9223372036854775807), write_number(99, 9223372036854775807); END $$;
SELECT tsext.watermark('buckets', NULL::int8), tsext.dirty('buckets', NULL::int8multirange);
CALL define('int4', 'public.time_bucket(10, $1)', true, 10, 10, 0, 0);
SELECT tsext.watermark('buckets', NULL::int4), tsext.dirty('buckets', NULL::int4multirange);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', 2147483640);
DO $$ BEGIN PERFORM write_number(-2147483648, -2147483648), write_number(2147483635, 2147483647); END $$;
SELECT tsext.watermark('buckets', NULL::int4), tsext.dirty('buckets', NULL::int4multirange);
CALL define('int2', 'public.time_bucket(10::smallint, $1)', true, 10, 10, 0, 0);
SELECT tsext.watermark('buckets', NULL::int4);
INSERT INTO tsext.cagg_threshold VALUES ('buckets', 100);
DO $$ BEGIN PERFORM write_number(-32768, -32768), write_number(5, 15); END $$;
SELECT tsext.watermark('buckets', NULL::int4), tsext.dirty('buckets', NULL::int4multirange);
-- wrong use
SELECT tsext.watermark('buckets', NULL::text);
SELECT tsext.dirty('buckets', NULL::nummultirange);
SELECT tsext.dirty('buckets', NULL::datemultirange);
SELECT tsext.watermark(NULL, NULL::int4), tsext.dirty(NULL, NULL::int4multirange), tsext.dirty('base', NULL::int4multirange);

CALL define('int2', 'x', true, 10, 10, 0, 0);
DELETE FROM tsext.cagg;
DROP PROCEDURE define;
DROP VIEW seen;
DROP TABLE base, buckets;
DROP FUNCTION write_at, write_number, units;
