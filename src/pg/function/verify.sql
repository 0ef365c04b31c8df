CREATE OR REPLACE FUNCTION tsext.verify(
  relation regclass, OUT chunk text, OUT segment int, OUT column_name name, OUT problem text)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_verify';
COMMENT ON FUNCTION tsext.verify(regclass) IS
  'reads every segment of a table and compares values, statistics, order, heads and directory: one row a problem, none when all is well';
