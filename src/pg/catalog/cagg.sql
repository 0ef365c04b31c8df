-- Continuous aggregates. Each is an ordinary view over an ordinary table of finished buckets and a view of what the user wrote;
-- these tables say what belongs together and how far it is. Everything is keyed by the table of buckets: a regclass is
-- dumped by its name, so pg_dump and pg_restore need nothing special. int8 times are in units of the base's time column.
-- Vacuum gives no pages back: it would lock out the readers of the views for a moment.
CREATE TABLE tsext.cagg (
  materialization regclass NOT NULL,     -- the table of finished buckets
  view regclass NOT NULL,                -- what users read; also the object of the locks (src/pg/cagg/README.md)
  direct regclass NOT NULL,              -- the view of the query as the user wrote it
  base regclass NOT NULL,                -- the tsext table at the bottom, whose writes are followed
  source regclass NOT NULL,              -- what the query reads: base, or the view of another continuous aggregate
  level int2 NOT NULL,                   -- 1 over a table, 2 over an aggregate of level 1, ...
  time_type regtype NOT NULL,            -- of the base's time column, of the bucket column, of all int8 times here
  bucket_column name NOT NULL,           -- of view, direct and materialization
  bucket_call text NOT NULL,             -- time_bucket(...) with $1 for the time: 'public.time_bucket(''01:00:00''::interval, $1)'
  bucket_width text NOT NULL,            -- '01:00:00', '1 mon', '100'
  bucket_timezone text,
  is_fixed bool NOT NULL,                -- every bucket is cell_width long and starts at cell_origin + n * cell_width
  reach int8 NOT NULL,                   -- bucket start + reach lies in the next bucket, but for odd days of a time zone
  cell_width int8 NOT NULL,              -- touched times are kept in cells so wide: divides every bucket, or nearly
  cell_origin int8 NOT NULL,
  margin int8 NOT NULL,                  -- how far times of a bucket may lie behind its end: days of a time zone over hours; else 0
  materialized_only bool NOT NULL,
  CONSTRAINT cagg_pkey PRIMARY KEY (materialization)
) USING heap WITH (vacuum_truncate = false);
CREATE UNIQUE INDEX cagg_view ON tsext.cagg (view);
CREATE INDEX cagg_base ON tsext.cagg (base, level);
COMMENT ON TABLE tsext.cagg IS 'definitions of continuous aggregates (internal; see the view tsext.continuous_aggregates)';

-- Buckets below the threshold are read from the materialization unless logged, the others from the source.
CREATE TABLE tsext.cagg_threshold (
  materialization regclass NOT NULL,
  threshold int8 NOT NULL,
  refreshed_at timestamptz,
  CONSTRAINT cagg_threshold_pkey PRIMARY KEY (materialization)
) USING heap WITH (fillfactor = 20, vacuum_truncate = false);
COMMENT ON TABLE tsext.cagg_threshold IS 'the start of the first bucket that was never materialised (internal)';

-- Times written to below the threshold since their buckets were computed: append-only, deleted by who has recomputed them.
CREATE TABLE tsext.cagg_log (
  materialization regclass NOT NULL,
  first int8 NOT NULL,
  last int8 NOT NULL,                    -- inclusive
  rows int8 NOT NULL                     -- how many were written; 0: buckets that were never computed
) USING heap WITH (vacuum_truncate = false);
CREATE INDEX cagg_log_materialization ON tsext.cagg_log (materialization);
COMMENT ON TABLE tsext.cagg_log IS 'time ranges whose buckets must be computed again (internal)';

-- Ranges whose source rows were dropped or downsampled: their buckets stay as they are.
CREATE TABLE tsext.cagg_gone (
  materialization regclass NOT NULL,
  start int8 NOT NULL,
  until int8 NOT NULL,                   -- exclusive; both are bucket starts
  late_rows int8 NOT NULL,               -- rows that came after
  CONSTRAINT cagg_gone_pkey PRIMARY KEY (materialization, start)
) USING heap WITH (vacuum_truncate = false);
COMMENT ON TABLE tsext.cagg_gone IS 'buckets whose source is gone and that are never computed again (internal)';

SELECT pg_catalog.pg_extension_config_dump('tsext.cagg', '');
SELECT pg_catalog.pg_extension_config_dump('tsext.cagg_threshold', '');
SELECT pg_catalog.pg_extension_config_dump('tsext.cagg_log', '');
SELECT pg_catalog.pg_extension_config_dump('tsext.cagg_gone', '');
-- Readable as pg_dump needs it for whoever dumps the database; there is nothing of people's rows in them but rounded times.
REVOKE ALL ON tsext.cagg, tsext.cagg_threshold, tsext.cagg_log, tsext.cagg_gone FROM PUBLIC;
GRANT SELECT ON tsext.cagg, tsext.cagg_threshold, tsext.cagg_log, tsext.cagg_gone TO PUBLIC;

-- Sessions that write keep definitions and thresholds in mind: rows that come by COPY (a dump is restored) tell them, too.
CREATE FUNCTION tsext.aggregates_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_aggregates_changed';
COMMENT ON FUNCTION tsext.aggregates_changed() IS 'tells sessions of changed definitions of continuous aggregates (internal)';
REVOKE ALL ON FUNCTION tsext.aggregates_changed() FROM PUBLIC;
CREATE TRIGGER aggregates_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tsext.cagg
  FOR EACH STATEMENT EXECUTE FUNCTION tsext.aggregates_changed();
CREATE TRIGGER aggregates_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tsext.cagg_threshold
  FOR EACH STATEMENT EXECUTE FUNCTION tsext.aggregates_changed();
