CREATE OR REPLACE FUNCTION tsext.column_list(
  relation regclass, OUT attribute_number smallint, OUT column_name name, OUT data_type text, OUT codecs text[],
  OUT rows bigint, OUT null_count bigint, OUT distinct_estimate bigint, OUT bytes bigint, OUT bits_per_value float8)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_column_list';
COMMENT ON FUNCTION tsext.column_list(regclass) IS 'columns of a table''s segments (see the view tsext.columns); reads all heads';

CREATE OR REPLACE VIEW tsext.columns WITH (security_barrier) AS
SELECT n.nspname AS schema_name, c.relname AS table_name, l.column_name, l.data_type, l.codecs, l.rows, l.null_count,
  l.distinct_estimate, l.bytes, l.bits_per_value
FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'tsext'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL tsext.column_list(c.oid) l
WHERE c.relkind IN ('r', 'm') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND NOT pg_catalog.row_security_active(c.oid);
COMMENT ON VIEW tsext.columns IS
  'columns of the segments of the tsext tables one may read: codecs, bits a value, NULLs, largest estimate of distinct values in a segment';
GRANT SELECT ON tsext.columns TO PUBLIC;
