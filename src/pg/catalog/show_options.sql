CREATE OR REPLACE FUNCTION tsext.table_options(
  relation regclass, OUT time_column name, OUT time_type oid, OUT chunk_interval text, OUT segment_by name[],
  OUT segment_by_origin text, OUT order_by name[], OUT decoded bool)
RETURNS record LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_table_options';
COMMENT ON FUNCTION tsext.table_options(regclass) IS 'options in force of a tsext table (see the view tsext.options)';

CREATE OR REPLACE FUNCTION tsext.stays_hot_because(relation regclass)
RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_stays_hot_because';
COMMENT ON FUNCTION tsext.stays_hot_because(regclass) IS 'why no row of this table moves to segments; NULL when they may';

CREATE OR REPLACE FUNCTION tsext.time_text(time_value bigint, time_type oid)
RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_time_text';
COMMENT ON FUNCTION tsext.time_text(bigint, oid) IS 'a directory''s time value as text of its type (internal)';

CREATE OR REPLACE FUNCTION tsext.chunk_name(relation regclass, chunk_start bigint)
RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_chunk_name';
COMMENT ON FUNCTION tsext.chunk_name(regclass, bigint) IS 'the name of the chunk that starts there (internal)';

-- Every view here is a barrier: a condition of the user never sees a row that the view hides.
CREATE OR REPLACE VIEW tsext.options WITH (security_barrier) AS
SELECT n.nspname AS schema_name, c.relname AS table_name, o.time_column, o.chunk_interval, o.segment_by,
  o.segment_by_origin, o.order_by, o.decoded
FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'tsext'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL tsext.table_options(c.oid) o
WHERE c.relkind IN ('r', 'm') AND pg_catalog.has_table_privilege(c.oid, 'SELECT');
COMMENT ON VIEW tsext.options IS 'options in force of the tsext tables one may read';
GRANT SELECT ON tsext.options TO PUBLIC;
