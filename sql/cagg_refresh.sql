-- refresh_continuous_aggregate(): the view equals the query over the table after every step, and a refresh computes what was written to.
SET datestyle = 'ISO';
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE refreshed (time timestamptz NOT NULL, host text, usage float8) USING tsext;
CREATE VIEW hours_direct AS SELECT time_bucket('1 hour', time) AS bucket, host, avg(usage), count(*) FROM refreshed GROUP BY 1, 2;
CREATE TABLE hours_materialized USING tsext AS SELECT * FROM hours_direct WITH NO DATA;
SELECT tsext.set_options('hours_materialized', time_column => 'bucket');
CREATE VIEW hours AS
SELECT m.* FROM hours_materialized m WHERE m.bucket < (SELECT tsext.watermark('hours_materialized', NULL::timestamptz))
  AND (m.bucket <@ (SELECT tsext.dirty('hours_materialized', NULL::tstzmultirange))) IS NOT TRUE
UNION ALL SELECT d.* FROM hours_direct d WHERE d.bucket >= (SELECT tsext.watermark('hours_materialized', NULL::timestamptz))
UNION ALL SELECT x.* FROM (SELECT lower(r) AS low, upper(r) AS high
                           FROM unnest((SELECT tsext.dirty('hours_materialized', NULL::tstzmultirange))) r OFFSET 0) r,
  LATERAL (SELECT * FROM hours_direct d WHERE d.bucket >= r.low AND d.bucket < r.high OFFSET 0) x;
INSERT INTO tsext.cagg VALUES ('hours_materialized', 'hours', 'hours_direct', 'refreshed', 'refreshed', 1, 'timestamptz', 'bucket',
  $$public.time_bucket('01:00:00'::interval, $1)$$, '01:00:00', NULL, true, 3600000000, 3600000000, 0, 0, false);
INSERT INTO tsext.cagg_threshold VALUES ('hours_materialized', -9223372036854775808);
CREATE FUNCTION differences() RETURNS TABLE (side text, bucket timestamptz, host text) LANGUAGE sql AS $$
  (SELECT 'view', bucket, host FROM (TABLE hours EXCEPT ALL TABLE hours_direct) d)
  UNION ALL (SELECT 'query', bucket, host FROM (TABLE hours_direct EXCEPT ALL TABLE hours) d) ORDER BY 1, 2, 3 $$;

INSERT INTO refreshed SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 min', 'host_' || g % 4, g % 100 FROM generate_series(0, 3000) g;
SELECT * FROM differences();
CALL refresh_continuous_aggregate('hours', NULL, NULL);
SELECT tsext.watermark('hours_materialized', NULL::timestamptz), count(*) FROM hours_materialized;
SELECT * FROM differences();
-- a window of whole buckets; the rest stays logged
INSERT INTO tsext.cagg_log SELECT 'hours_materialized', 757400400000000 + 600000000, 757400400000000 + 9000000000, 3;
SELECT tsext.dirty('hours_materialized', NULL::tstzmultirange);
UPDATE refreshed SET usage = 1000 WHERE time = '2024-01-01 06:00+00';
CALL refresh_continuous_aggregate('hours', '2024-01-01 05:30+00', '2024-01-01 07:59+00');
SELECT tsext.dirty('hours_materialized', NULL::tstzmultirange);
SELECT * FROM differences();
SELECT tsext.compact('hours_materialized') IS NOT NULL;
CALL refresh_continuous_aggregate('hours', '2024-01-01'::date, '2024-01-02'::timestamptz, true);
SELECT tsext.dirty('hours_materialized', NULL::tstzmultirange);
SELECT * FROM differences();
-- wrong use
CALL refresh_continuous_aggregate('refreshed', NULL, NULL);
CALL refresh_continuous_aggregate('hours_materialized', NULL, NULL);
CALL refresh_continuous_aggregate(NULL, NULL, NULL);
CALL refresh_continuous_aggregate('hours', '2024-01-01 05:30+00', '2024-01-01 06:30+00');
CALL refresh_continuous_aggregate('hours', '2024-01-01 05:30+00', '2024-01-01 05:30+00');
CALL refresh_continuous_aggregate('hours', 1, 2);
BEGIN;
CALL refresh_continuous_aggregate('hours', NULL, NULL);
ROLLBACK;

DELETE FROM tsext.cagg WHERE view = 'hours'::regclass;
DROP FUNCTION differences;
DROP VIEW hours, hours_direct;
DROP TABLE hours_materialized, refreshed;
DELETE FROM tsext.cagg_threshold;
DELETE FROM tsext.cagg_log;
