-- The name differs for integers: with two functions of one name, tail('hourly', '2024-01-01') would be ambiguous.
CREATE OR REPLACE FUNCTION tsext.tail(view regclass, after timestamptz) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_tail';
COMMENT ON FUNCTION tsext.tail(regclass, timestamptz) IS
  'rows of a continuous aggregate in closed buckets that start after a time (NULL: all), in their order; columns as the view has them';

CREATE OR REPLACE FUNCTION tsext.tail_integer(view regclass, after int8) RETURNS SETOF record
  LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_tail';
COMMENT ON FUNCTION tsext.tail_integer(regclass, int8) IS
  'tsext.tail() for a continuous aggregate over integer time';
