CREATE OR REPLACE PROCEDURE refresh_continuous_aggregate(
  continuous_aggregate regclass, window_start "any", window_end "any", force bool DEFAULT false)
  LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_refresh_continuous_aggregate';
COMMENT ON PROCEDURE refresh_continuous_aggregate(regclass, "any", "any", bool) IS
  'computes the whole buckets in [window_start, window_end) that were written to, or all of them when forced; NULL: open';
