-- tsext.tail(): the closed buckets of a continuous aggregate after a time, in their order.
SET datestyle = 'ISO';
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE tailed (time timestamptz NOT NULL, v int) USING tsext;
INSERT INTO tailed SELECT '2024-01-01 00:10+00'::timestamptz + g * interval '20 min', g FROM generate_series(0, 17) g;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) FROM tailed GROUP BY 1 WITH NO DATA;
-- nothing is closed before the first refresh
SELECT * FROM tsext.tail('hourly', NULL) AS t(bucket timestamptz, count int8);
CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-01 05:00+00');
SELECT * FROM tsext.tail('hourly', NULL) AS t(bucket timestamptz, count int8);
SELECT * FROM tsext.tail('hourly', '2024-01-01 02:00+00') AS t(bucket timestamptz, count int8);
SELECT * FROM tsext.tail('hourly', '2024-01-01 01:59:59.999999+00') AS t(b timestamptz, n int8);
-- as the view has it: late rows count at once
INSERT INTO tailed VALUES ('2024-01-01 03:30+00', 0);
SELECT * FROM tsext.tail('hourly', '2024-01-01 02:00+00') AS t(b timestamptz, n int8);
-- what the clock has not left is open, although it was materialised
INSERT INTO tailed VALUES (now(), 1), (now() + interval '1 year', 1);
CALL refresh_continuous_aggregate('hourly', NULL, now() + interval '2 years');
SELECT count(*), max(b) FROM tsext.tail('hourly', '2024-01-01 03:00+00') AS t(b timestamptz, n int8);
SELECT * FROM tsext.tail('hourly', 'infinity') AS t(b timestamptz, n int8);
-- in a cursor, in a transaction that writes, in a prepared statement whose type nobody gave
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tsext.tail('hourly', '2024-01-01 03:00+00') AS t(b timestamptz, n int8);
INSERT INTO tailed VALUES ('2024-01-01 04:30+00', 0);
FETCH ALL FROM c;
SELECT * FROM tsext.tail('hourly', '2024-01-01 03:00+00') AS t(b timestamptz, n int8);
ROLLBACK;
PREPARE since AS SELECT * FROM tsext.tail('hourly', $1) AS t(b timestamptz, n int8);
EXECUTE since('2024-01-01 04:00+00');
DEALLOCATE since;
DROP MATERIALIZED VIEW hourly;

-- other types of time
CREATE TABLE days (day date NOT NULL, v int) USING tsext;
INSERT INTO days SELECT '2024-01-01'::date + g, g FROM generate_series(0, 40) g;
CREATE MATERIALIZED VIEW monthly WITH (tsext.continuous) AS SELECT time_bucket('1 month', day) AS bucket, sum(v) FROM days GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('monthly', NULL, NULL);
SELECT * FROM tsext.tail('monthly', NULL) AS t(bucket date, sum int8);
SELECT * FROM tsext.tail('monthly', '2024-01-01 10:00+00') AS t(bucket date, sum int8);
DROP MATERIALIZED VIEW monthly;
DROP TABLE days;
CREATE TABLE counted (n int8 NOT NULL, v int) USING tsext;
SELECT tsext.set_options('counted', time_column => 'n');
INSERT INTO counted SELECT g, g FROM generate_series(1, 55) g;
CREATE MATERIALIZED VIEW tens WITH (tsext.continuous) AS SELECT time_bucket(10::int8, n) AS bucket, sum(v) FROM counted GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('tens', NULL, NULL);
SELECT * FROM tsext.tail_integer('tens', 20) AS t(bucket int8, sum int8);
SELECT * FROM tsext.tail_integer('tens', NULL) AS t(bucket int8, sum int8);

-- wrong use; the rights are the caller's
SELECT * FROM tsext.tail('tens', '2024-01-01') AS t(bucket int8, sum int8);
SELECT * FROM tsext.tail_integer('tens', 20) AS t(bucket int8);
SELECT * FROM tsext.tail_integer('tens', 20) AS t(bucket int8, sum int4);
SELECT * FROM tsext.tail('counted', NULL) AS t(bucket int8, sum int8);
SELECT * FROM tsext.tail(NULL, NULL) AS t(bucket int8, sum int8);
SELECT tsext.tail_integer('tens', 20);
CREATE ROLE cagg_tail_reader;
SET ROLE cagg_tail_reader;
SELECT * FROM tsext.tail_integer('tens', 20) AS t(bucket int8, sum int8);
RESET ROLE;
GRANT SELECT ON tens TO cagg_tail_reader;
SET ROLE cagg_tail_reader;
SELECT * FROM tsext.tail_integer('tens', 20) AS t(bucket int8, sum int8);
RESET ROLE;
DROP MATERIALIZED VIEW tens;
DROP TABLE counted, tailed;
DROP ROLE cagg_tail_reader;
