CREATE OR REPLACE FUNCTION tsext.first_transition(state internal, value anyelement, "time" "any") RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_first_transition';
COMMENT ON FUNCTION tsext.first_transition(internal, anyelement, "any") IS 'transition function of first() (internal)';

CREATE OR REPLACE FUNCTION tsext.last_transition(state internal, value anyelement, "time" "any") RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_last_transition';
COMMENT ON FUNCTION tsext.last_transition(internal, anyelement, "any") IS 'transition function of last() (internal)';

CREATE OR REPLACE FUNCTION tsext.first_combine(state internal, other internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_first_combine';
COMMENT ON FUNCTION tsext.first_combine(internal, internal) IS 'combine function of first() (internal)';

CREATE OR REPLACE FUNCTION tsext.last_combine(state internal, other internal) RETURNS internal
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_last_combine';
COMMENT ON FUNCTION tsext.last_combine(internal, internal) IS 'combine function of last() (internal)';

CREATE OR REPLACE FUNCTION tsext.first_last_serialize(state internal) RETURNS bytea
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_first_last_serialize';
COMMENT ON FUNCTION tsext.first_last_serialize(internal) IS 'serialize function of first() and last() (internal)';

CREATE OR REPLACE FUNCTION tsext.first_last_deserialize(bytes bytea, state internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_first_last_deserialize';
COMMENT ON FUNCTION tsext.first_last_deserialize(bytea, internal) IS 'deserialize function of first() and last() (internal)';

CREATE OR REPLACE FUNCTION tsext.first_last_final(state internal, value anyelement, "time" "any") RETURNS anyelement
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_first_last_final';
COMMENT ON FUNCTION tsext.first_last_final(internal, anyelement, "any") IS 'final function of first() and last() (internal)';

CREATE OR REPLACE AGGREGATE first(value anyelement, "time" "any") (
  SFUNC = tsext.first_transition, STYPE = internal, FINALFUNC = tsext.first_last_final, FINALFUNC_EXTRA,
  COMBINEFUNC = tsext.first_combine, SERIALFUNC = tsext.first_last_serialize, DESERIALFUNC = tsext.first_last_deserialize,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE first(anyelement, "any") IS 'value at the least time; rows without a time do not count';

CREATE OR REPLACE AGGREGATE last(value anyelement, "time" "any") (
  SFUNC = tsext.last_transition, STYPE = internal, FINALFUNC = tsext.first_last_final, FINALFUNC_EXTRA,
  COMBINEFUNC = tsext.last_combine, SERIALFUNC = tsext.first_last_serialize, DESERIALFUNC = tsext.first_last_deserialize,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE last(anyelement, "any") IS 'value at the greatest time; rows without a time do not count';
