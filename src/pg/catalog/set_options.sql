CREATE OR REPLACE FUNCTION tsext.set_options(
  relation regclass, time_column name DEFAULT NULL, chunk_interval "any" DEFAULT NULL,
  segment_by name[] DEFAULT NULL, order_by name[] DEFAULT NULL, decoded bool DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_set_options';
COMMENT ON FUNCTION tsext.set_options(regclass, name, "any", name[], name[], bool) IS
  'changes the options of a tsext table; what is NULL stays';
