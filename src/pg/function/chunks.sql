CREATE OR REPLACE FUNCTION show_chunks(relation regclass, older_than "any" DEFAULT NULL, newer_than "any" DEFAULT NULL)
RETURNS SETOF text LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_show_chunks';
COMMENT ON FUNCTION show_chunks(regclass, "any", "any") IS
  'names of the chunks of a table that lie wholly before older_than and from newer_than on';

CREATE OR REPLACE FUNCTION tsext.chunk_list(
  relation regclass, OUT chunk text, OUT range_start text, OUT range_end text, OUT range_start_value bigint,
  OUT range_end_value bigint, OUT tier text, OUT level text, OUT hot_rows bigint, OUT cold_rows bigint,
  OUT cold_bytes bigint, OUT segments bigint)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_chunk_list';
COMMENT ON FUNCTION tsext.chunk_list(regclass) IS 'chunks of a table (see the view tsext.chunks); counts the hot rows';

CREATE OR REPLACE FUNCTION approximate_row_count(relation regclass)
RETURNS bigint LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_approximate_row_count';
COMMENT ON FUNCTION approximate_row_count(regclass) IS
  'number of rows of a table, its partitions and children, as the planner estimates it; reads no row';

CREATE OR REPLACE FUNCTION hypertable_size(hypertable regclass)
RETURNS bigint LANGUAGE sql VOLATILE STRICT PARALLEL SAFE AS
$$ SELECT pg_catalog.pg_total_relation_size(hypertable) $$;
COMMENT ON FUNCTION hypertable_size(regclass) IS 'bytes of a table on disk: hot rows, segments, indexes and maps';

-- The TOAST relation holds segments and the long values of hot rows.
CREATE OR REPLACE FUNCTION hypertable_detailed_size(
  hypertable regclass, OUT table_bytes bigint, OUT index_bytes bigint, OUT toast_bytes bigint, OUT total_bytes bigint)
RETURNS record LANGUAGE sql VOLATILE STRICT PARALLEL SAFE AS $$
  SELECT pg_catalog.pg_table_size(hypertable) - toast.size, pg_catalog.pg_indexes_size(hypertable), toast.size,
    pg_catalog.pg_total_relation_size(hypertable)
  FROM pg_catalog.pg_class c,
    LATERAL (SELECT CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_catalog.pg_total_relation_size(c.reltoastrelid) END AS size) toast
  WHERE c.oid = hypertable
$$;
COMMENT ON FUNCTION hypertable_detailed_size(regclass) IS 'bytes of the hot rows, the indexes and the segments of a table';

-- A chunk is no relation: its part of the heap and of the indexes is its part of the hot rows.
CREATE OR REPLACE FUNCTION chunks_detailed_size(
  hypertable regclass, OUT chunk_name text, OUT table_bytes bigint, OUT index_bytes bigint, OUT toast_bytes bigint,
  OUT total_bytes bigint)
RETURNS SETOF record LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE AS $$
  SELECT chunk, heap, indexes, cold_bytes, heap + indexes + cold_bytes
  FROM (
    SELECT l.chunk, l.range_start_value, l.cold_bytes,
      (s.table_bytes * (l.hot_rows / greatest(pg_catalog.sum(l.hot_rows) OVER (), 1)))::bigint AS heap,
      (s.index_bytes * (l.hot_rows / greatest(pg_catalog.sum(l.hot_rows) OVER (), 1)))::bigint AS indexes
    FROM tsext.chunk_list(hypertable) l, @extschema@.hypertable_detailed_size(hypertable) s) chunks
  ORDER BY range_start_value
$$;
COMMENT ON FUNCTION chunks_detailed_size(regclass) IS
  'bytes of each chunk: segments exactly, the heap and the indexes in proportion to its hot rows';

-- Every view is a barrier: a condition of the user never sees a row that the view hides. What segments say of rows is
-- shown to those who may read all rows: row security hides it.
CREATE OR REPLACE VIEW tsext.tables WITH (security_barrier) AS
SELECT n.nspname AS schema_name, c.relname AS table_name, o.time_column, o.chunk_interval, o.segment_by, o.order_by,
  CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint END AS hot_rows,
  pg_catalog.pg_relation_size(c.oid) AS hot_bytes, d.cold_rows, d.cold_bytes, d.segments, d.chunks,
  pg_catalog.pg_total_relation_size(c.oid) AS total_bytes,
  CASE WHEN NOT pg_catalog.row_security_active(c.oid) THEN tsext.time_text(d.tmin, o.time_type) END AS cold_first_time,
  CASE WHEN NOT pg_catalog.row_security_active(c.oid) THEN tsext.time_text(d.tmax, o.time_type) END AS cold_last_time,
  tsext.stays_hot_because(c.oid) AS stays_hot_because, h.holder AS horizon_held_by
FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'tsext'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL tsext.table_options(c.oid) o
  CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) AS segments, pg_catalog.count(DISTINCT s.chunk_start) AS chunks,
      coalesce(pg_catalog.sum(s.nrows), 0)::bigint AS cold_rows, coalesce(pg_catalog.sum(s.nbytes), 0)::bigint AS cold_bytes,
      pg_catalog.min(s.tmin) AS tmin, pg_catalog.max(s.tmax) AS tmax
    FROM tsext.segment s WHERE s.store = c.reltoastrelid) d
  -- Rows younger than the oldest transaction or snapshot cannot become cold.
  LEFT JOIN (
    SELECT holder FROM (
      SELECT 'process ' || pid || coalesce(' (' || nullif(application_name, '') || ')', ''),
        greatest(pg_catalog.age(backend_xid), pg_catalog.age(backend_xmin))
      FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()
      UNION ALL SELECT 'prepared transaction "' || gid || '"', pg_catalog.age(transaction) FROM pg_catalog.pg_prepared_xacts
      UNION ALL SELECT 'replication slot "' || slot_name || '"', pg_catalog.age(xmin) FROM pg_catalog.pg_replication_slots
    ) held (holder, age) WHERE age IS NOT NULL ORDER BY age DESC LIMIT 1) h ON true
WHERE c.relkind IN ('r', 'm') AND pg_catalog.has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW tsext.tables IS 'tsext tables one may read: options, rows and bytes hot and cold; hot_rows is what VACUUM and ANALYZE last found';

CREATE OR REPLACE VIEW tsext.chunks WITH (security_barrier) AS
SELECT n.nspname AS schema_name, c.relname AS table_name, l.chunk, l.range_start, l.range_end, l.range_start_value,
  l.range_end_value, l.tier, l.level, l.hot_rows, l.cold_rows, l.cold_bytes, l.segments
FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'tsext'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL tsext.chunk_list(c.oid) l
WHERE c.relkind IN ('r', 'm') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND NOT pg_catalog.row_security_active(c.oid);
COMMENT ON VIEW tsext.chunks IS 'chunks of the tsext tables one may read; counts hot rows, so name a table';

CREATE OR REPLACE VIEW tsext.segments WITH (security_barrier) AS
SELECT n.nspname AS schema_name, c.relname AS table_name, tsext.chunk_name(c.oid, s.chunk_start) AS chunk, s.seg AS segment,
  CASE s.level WHEN 1 THEN 'hot' ELSE 'cold' END AS level, s.nrows AS rows,
  tsext.time_text(s.tmin, o.time_type) AS first_time, tsext.time_text(s.tmax, o.time_type) AS last_time,
  s.tmin AS first_time_value, s.tmax AS last_time_value, s.nbytes AS bytes, s.npieces AS pieces
FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'tsext'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN tsext.segment s ON s.store = c.reltoastrelid
  CROSS JOIN LATERAL tsext.table_options(c.oid) o
WHERE c.relkind IN ('r', 'm') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND NOT pg_catalog.row_security_active(c.oid);
COMMENT ON VIEW tsext.segments IS 'segments of the tsext tables one may read: chunk, rows, times, bytes';

GRANT SELECT ON tsext.tables, tsext.chunks, tsext.segments TO PUBLIC;
