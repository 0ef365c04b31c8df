-- What the view of a continuous aggregate asks, once a statement: STABLE, and to be called in a scalar sub-select, so that the
-- answer is that of the statement's snapshot and never part of a plan. The second argument gives the type: that of the time
-- column; for smallint the view casts its buckets to integer, since there are no ranges of smallint.
CREATE OR REPLACE FUNCTION tsext.watermark(materialization regclass, type anyelement) RETURNS anyelement
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_watermark';
COMMENT ON FUNCTION tsext.watermark(regclass, anyelement) IS
  'start of the first bucket that was never materialised; the least value when none was (internal)';

CREATE OR REPLACE FUNCTION tsext.dirty(materialization regclass, type anymultirange) RETURNS anymultirange
  LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_dirty';
COMMENT ON FUNCTION tsext.dirty(regclass, anymultirange) IS
  'buckets below the watermark that were written to since they were computed; NULL when there are none (internal)';
