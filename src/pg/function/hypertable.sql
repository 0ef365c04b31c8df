CREATE OR REPLACE FUNCTION create_hypertable(
  relation regclass, time_column_name name, chunk_time_interval "any" DEFAULT NULL, if_not_exists bool DEFAULT false,
  migrate_data bool DEFAULT false, create_default_indexes bool DEFAULT true, partitioning_column name DEFAULT NULL,
  number_partitions int DEFAULT NULL,
  OUT hypertable_id oid, OUT schema_name name, OUT table_name name, OUT created bool)
RETURNS record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_create_hypertable';
COMMENT ON FUNCTION create_hypertable(regclass, name, "any", bool, bool, bool, name, int) IS
  'makes a table a hypertable: USING tsext with this time column; partitioning_column becomes segment_by, indexes are not made';

CREATE OR REPLACE FUNCTION create_hypertable(
  relation regclass, dimension jsonb, create_default_indexes bool DEFAULT true, if_not_exists bool DEFAULT false,
  migrate_data bool DEFAULT false,
  OUT hypertable_id oid, OUT schema_name name, OUT table_name name, OUT created bool)
RETURNS record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_create_hypertable_dimension';
COMMENT ON FUNCTION create_hypertable(regclass, jsonb, bool, bool, bool) IS
  'makes a table a hypertable with the dimension that by_range() describes';

CREATE OR REPLACE FUNCTION by_range(column_name name, partition_interval "any" DEFAULT NULL)
RETURNS jsonb LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_by_range';
COMMENT ON FUNCTION by_range(name, "any") IS 'the time dimension of create_hypertable(): column and chunk interval';

CREATE OR REPLACE FUNCTION set_chunk_time_interval(hypertable regclass, chunk_time_interval "any")
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_set_chunk_time_interval';
COMMENT ON FUNCTION set_chunk_time_interval(regclass, "any") IS
  'changes the interval of chunks that do not exist yet; integers are microseconds for time types';
