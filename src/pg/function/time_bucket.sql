-- Buckets of fixed width begin at Monday 2000-01-03, those of months at 2000-01-01, or at the origin; an offset moves every
-- start. No overload with a text width: it would capture time_bucket('5 min', ts).
CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamptz) RETURNS timestamptz
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp';
COMMENT ON FUNCTION time_bucket(interval, timestamptz) IS
  'start of the bucket of UTC that holds ts';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamptz, origin timestamptz) RETURNS timestamptz
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp_origin';
COMMENT ON FUNCTION time_bucket(interval, timestamptz, timestamptz) IS
  'start of the bucket of UTC that holds ts, where one begins at origin';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamptz, "offset" interval) RETURNS timestamptz
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp_offset';
COMMENT ON FUNCTION time_bucket(interval, timestamptz, interval) IS
  'start of the bucket of UTC that holds ts, where all starts are moved by offset';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamp) RETURNS timestamp
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp';
COMMENT ON FUNCTION time_bucket(interval, timestamp) IS
  'start of the bucket that holds ts';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamp, origin timestamp) RETURNS timestamp
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp_origin';
COMMENT ON FUNCTION time_bucket(interval, timestamp, timestamp) IS
  'start of the bucket that holds ts, where one begins at origin';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamp, "offset" interval) RETURNS timestamp
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_timestamp_offset';
COMMENT ON FUNCTION time_bucket(interval, timestamp, interval) IS
  'start of the bucket that holds ts, where all starts are moved by offset';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts date) RETURNS date
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_date';
COMMENT ON FUNCTION time_bucket(interval, date) IS
  'start of the bucket that holds ts';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts date, origin date) RETURNS date
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_date_origin';
COMMENT ON FUNCTION time_bucket(interval, date, date) IS
  'start of the bucket that holds ts, where one begins at origin';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts date, "offset" interval) RETURNS date
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_date_offset';
COMMENT ON FUNCTION time_bucket(interval, date, interval) IS
  'start of the bucket that holds ts, where all starts are moved by offset';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width interval, ts timestamptz, timezone text, origin timestamptz DEFAULT NULL, "offset" interval DEFAULT NULL) RETURNS timestamptz
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_zone';
COMMENT ON FUNCTION time_bucket(interval, timestamptz, text, timestamptz, interval) IS
  'start of the bucket of local time in timezone that holds ts';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width smallint, ts smallint) RETURNS smallint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int2';
COMMENT ON FUNCTION time_bucket(smallint, smallint) IS
  'start of the bucket that holds ts, counted from zero';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width smallint, ts smallint, "offset" smallint) RETURNS smallint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int2';
COMMENT ON FUNCTION time_bucket(smallint, smallint, smallint) IS
  'start of the bucket that holds ts, counted from offset';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width int, ts int) RETURNS int
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int4';
COMMENT ON FUNCTION time_bucket(int, int) IS
  'start of the bucket that holds ts, counted from zero';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width int, ts int, "offset" int) RETURNS int
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int4';
COMMENT ON FUNCTION time_bucket(int, int, int) IS
  'start of the bucket that holds ts, counted from offset';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width bigint, ts bigint) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int8';
COMMENT ON FUNCTION time_bucket(bigint, bigint) IS
  'start of the bucket that holds ts, counted from zero';

CREATE OR REPLACE FUNCTION time_bucket(bucket_width bigint, ts bigint, "offset" bigint) RETURNS bigint
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_bucket_int8';
COMMENT ON FUNCTION time_bucket(bigint, bigint, bigint) IS
  'start of the bucket that holds ts, counted from offset';
