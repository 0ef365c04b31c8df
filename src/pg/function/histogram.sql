CREATE OR REPLACE FUNCTION tsext.histogram_transition(state internal, value float8, min float8, max float8, nbuckets int) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_histogram_transition';
COMMENT ON FUNCTION tsext.histogram_transition(internal, float8, float8, float8, int) IS 'transition function of histogram() (internal)';

CREATE OR REPLACE FUNCTION tsext.histogram_combine(state internal, other internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_histogram_combine';
COMMENT ON FUNCTION tsext.histogram_combine(internal, internal) IS 'combine function of histogram() (internal)';

CREATE OR REPLACE FUNCTION tsext.histogram_serialize(state internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_histogram_serialize';
COMMENT ON FUNCTION tsext.histogram_serialize(internal) IS 'serialize function of histogram() (internal)';

CREATE OR REPLACE FUNCTION tsext.histogram_deserialize(bytes bytea, state internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_histogram_deserialize';
COMMENT ON FUNCTION tsext.histogram_deserialize(bytea, internal) IS 'deserialize function of histogram() (internal)';

CREATE OR REPLACE FUNCTION tsext.histogram_final(state internal) RETURNS int[]
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_histogram_final';
COMMENT ON FUNCTION tsext.histogram_final(internal) IS 'final function of histogram() (internal)';

CREATE OR REPLACE AGGREGATE histogram(value float8, min float8, max float8, nbuckets int) (
  SFUNC = tsext.histogram_transition, STYPE = internal, FINALFUNC = tsext.histogram_final,
  COMBINEFUNC = tsext.histogram_combine, SERIALFUNC = tsext.histogram_serialize,
  DESERIALFUNC = tsext.histogram_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE histogram(float8, float8, float8, int) IS
  'counts of values below min, in nbuckets equal steps from min to max, and from max on';
