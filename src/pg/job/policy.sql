-- Policies are jobs of these procedures. Offsets are intervals, or integers when the time column is of an integer type.
CREATE OR REPLACE FUNCTION add_retention_policy(
  relation regclass, drop_after "any" DEFAULT NULL, if_not_exists boolean DEFAULT false, schedule_interval interval DEFAULT NULL,
  initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_retention_policy';
COMMENT ON FUNCTION add_retention_policy(regclass, "any", boolean, interval, timestamptz, text) IS
  'drops chunks of a table or continuous aggregate that ended drop_after ago, once a day by default; returns the id of the job';

CREATE OR REPLACE FUNCTION remove_retention_policy(relation regclass, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_remove_retention_policy';
COMMENT ON FUNCTION remove_retention_policy(regclass, boolean) IS 'removes the retention policy of a table or continuous aggregate';

CREATE OR REPLACE FUNCTION add_columnstore_policy(
  hypertable regclass, after "any" DEFAULT NULL, if_not_exists boolean DEFAULT false, schedule_interval interval DEFAULT NULL,
  initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_columnstore_policy';
COMMENT ON FUNCTION add_columnstore_policy(regclass, "any", boolean, interval, timestamptz, text) IS
  'compresses chunks that ended so long ago with the heavy codecs, twice a day by default; returns the id of the job';

CREATE OR REPLACE FUNCTION add_compression_policy(
  hypertable regclass, compress_after "any" DEFAULT NULL, if_not_exists boolean DEFAULT false, schedule_interval interval DEFAULT NULL,
  initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_compression_policy';
COMMENT ON FUNCTION add_compression_policy(regclass, "any", boolean, interval, timestamptz, text) IS
  'the same as add_columnstore_policy()';

CREATE OR REPLACE FUNCTION remove_columnstore_policy(hypertable regclass, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_remove_columnstore_policy';
COMMENT ON FUNCTION remove_columnstore_policy(regclass, boolean) IS 'removes the columnstore policy of a table or continuous aggregate';

CREATE OR REPLACE FUNCTION remove_compression_policy(hypertable regclass, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_remove_columnstore_policy';
COMMENT ON FUNCTION remove_compression_policy(regclass, boolean) IS 'the same as remove_columnstore_policy()';

CREATE OR REPLACE FUNCTION add_continuous_aggregate_policy(
  continuous_aggregate regclass, start_offset "any", end_offset "any", schedule_interval interval,
  if_not_exists boolean DEFAULT false, initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_continuous_aggregate_policy';
COMMENT ON FUNCTION add_continuous_aggregate_policy(regclass, "any", "any", interval, boolean, timestamptz, text) IS
  'refreshes a continuous aggregate between start_offset and end_offset ago on a schedule; returns the id of the job';

CREATE OR REPLACE FUNCTION remove_continuous_aggregate_policy(
  continuous_aggregate regclass, if_not_exists boolean DEFAULT false, if_exists boolean DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_remove_continuous_aggregate_policy';
COMMENT ON FUNCTION remove_continuous_aggregate_policy(regclass, boolean, boolean) IS
  'removes the refresh policy of a continuous aggregate; either flag allows that there is none';

CREATE OR REPLACE PROCEDURE tsext.policy_retention(job_id int, config jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_policy_retention';
COMMENT ON PROCEDURE tsext.policy_retention(int, jsonb) IS 'drops old chunks: jobs of add_retention_policy() do';
CREATE OR REPLACE PROCEDURE tsext.policy_columnstore(job_id int, config jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_policy_columnstore';
COMMENT ON PROCEDURE tsext.policy_columnstore(int, jsonb) IS 'compresses old chunks: jobs of add_columnstore_policy() do';
CREATE OR REPLACE PROCEDURE tsext.policy_refresh(job_id int, config jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_policy_refresh';
COMMENT ON PROCEDURE tsext.policy_refresh(int, jsonb) IS
  'refreshes a continuous aggregate: jobs of add_continuous_aggregate_policy() do';

CREATE OR REPLACE FUNCTION tsext.policy_retention_check(config jsonb)
RETURNS void LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_policy_retention_check';
COMMENT ON FUNCTION tsext.policy_retention_check(jsonb) IS 'raises an error unless config holds drop_after and nothing else';

CREATE OR REPLACE FUNCTION tsext.policy_columnstore_check(config jsonb)
RETURNS void LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_policy_columnstore_check';
COMMENT ON FUNCTION tsext.policy_columnstore_check(jsonb) IS 'raises an error unless config holds after and nothing else';

CREATE OR REPLACE FUNCTION tsext.policy_refresh_check(config jsonb)
RETURNS void LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_policy_refresh_check';
COMMENT ON FUNCTION tsext.policy_refresh_check(jsonb) IS 'raises an error unless config holds start_offset and end_offset and nothing else';
