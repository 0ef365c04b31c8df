-- What has been downsampled already, so that later runs pass it by. Keyed by the table's store (its TOAST relation), with which
-- the rows go; worth nothing elsewhere, so not dumped.
CREATE TABLE tsext.downsample_range (
  store oid NOT NULL,
  bucket_months int4 NOT NULL,
  bucket_width int8 NOT NULL,            -- microseconds
  start int8 NOT NULL,
  until int8 NOT NULL,                   -- exclusive; both are bucket starts, in units of the time column
  rows int8 NOT NULL,                    -- that were in it then
  CONSTRAINT downsample_range_pkey PRIMARY KEY (store, bucket_months, bucket_width, start)
) USING heap;
COMMENT ON TABLE tsext.downsample_range IS 'time ranges that were downsampled (internal)';
REVOKE ALL ON tsext.downsample_range FROM PUBLIC;

CREATE OR REPLACE FUNCTION tsext.downsample(
  relation regclass, older_than "any", bucket interval, aggregates jsonb, weight_column name DEFAULT NULL,
  OUT ranges int, OUT rows_before bigint, OUT rows_after bigint)
RETURNS record LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_downsample';
COMMENT ON FUNCTION tsext.downsample(regclass, "any", interval, jsonb, name) IS
  'replaces the rows before a time by one row per series and bucket, at once';

CREATE OR REPLACE FUNCTION add_downsampling_policy(
  relation regclass, after interval, bucket interval, aggregates jsonb, weight_column name DEFAULT NULL,
  if_not_exists boolean DEFAULT false, schedule_interval interval DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_downsampling_policy';
COMMENT ON FUNCTION add_downsampling_policy(regclass, interval, interval, jsonb, name, boolean, interval) IS
  'replaces rows that are older than "after" by one row per series and bucket, again and again; returns the id of the job';

CREATE OR REPLACE FUNCTION remove_downsampling_policy(relation regclass, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_remove_downsampling_policy';
COMMENT ON FUNCTION remove_downsampling_policy(regclass, boolean) IS 'removes the downsampling policy of a table; rows stay as they are';

CREATE OR REPLACE PROCEDURE tsext.policy_downsample(job_id int, config jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_policy_downsample';
COMMENT ON PROCEDURE tsext.policy_downsample(int, jsonb) IS 'downsamples old rows: jobs of add_downsampling_policy() do';

CREATE OR REPLACE FUNCTION tsext.policy_downsample_check(config jsonb)
RETURNS void LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_policy_downsample_check';
COMMENT ON FUNCTION tsext.policy_downsample_check(jsonb) IS
  'raises an error unless config holds after, bucket, aggregates and perhaps weight_column and nothing else';
