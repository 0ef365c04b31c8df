CREATE OR REPLACE FUNCTION tsext.series(
  relation regclass, OUT series jsonb, OUT rows bigint, OUT first_time text, OUT last_time text, OUT columns jsonb)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_series';
COMMENT ON FUNCTION tsext.series(regclass) IS
  'the series of a table (values of its segment_by columns): rows, first and last time, and of each numeric column count, min, max, sum, last';
