CREATE OR REPLACE VIEW tsext.continuous_aggregates WITH (security_barrier) AS
SELECT n.nspname AS schema_name, v.relname AS view_name, pg_catalog.pg_get_userbyid(v.relowner) AS owner,
  c.source, c.bucket_column, c.bucket_width, c.bucket_timezone, c.materialized_only,
  tsext.time_text(t.threshold, c.time_type) AS watermark,
  (SELECT pg_catalog.count(*) FROM tsext.cagg_log l WHERE l.materialization = c.materialization) AS pending,
  (SELECT coalesce(pg_catalog.sum(g.late_rows), 0)::bigint FROM tsext.cagg_gone g
     WHERE g.materialization = c.materialization) AS late_rows,
  t.refreshed_at, c.materialization, c.direct, pg_catalog.pg_get_viewdef(c.direct) AS definition
FROM tsext.cagg c
  JOIN pg_catalog.pg_class v ON v.oid = c.view
  JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
  LEFT JOIN tsext.cagg_threshold t ON t.materialization = c.materialization
WHERE pg_catalog.has_table_privilege(v.oid, 'SELECT');
COMMENT ON VIEW tsext.continuous_aggregates IS
  'continuous aggregates one may read: what is materialized, how many ranges are to be computed again, rows that came too late';
GRANT SELECT ON tsext.continuous_aggregates TO PUBLIC;
