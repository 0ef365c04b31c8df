-- The life of a continuous aggregate: ALTER, RENAME, GRANT, COMMENT, changes of the table below it, and all ways of dropping.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA cagg_alter;
CREATE SCHEMA cagg_alter_other;
SET search_path = cagg_alter, public;
CREATE FUNCTION failure(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  detail text;
  hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n  ', sqlstate || ' ' || sqlerrm, nullif(detail, ''), nullif(hint, ''));
END $$;
-- Of the view and its query: 0 unless something is wrong.
CREATE FUNCTION differences(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE %1$s)) x', a, b) INTO n;
  RETURN n;
END $$;
-- What is there of an aggregate.
CREATE VIEW parts AS SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, pg_get_userbyid(c.relowner) AS owner,
    (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE nspname LIKE 'cagg\_alter%' AND relkind IN ('r', 'v', 'm') AND relname NOT IN ('parts', 'cpu', 'cpus', 'hosts', 'counts')
  ORDER BY 1, relname COLLATE "C";
CREATE VIEW counts AS SELECT (SELECT count(*) FROM tsext.cagg) AS aggregates, (SELECT count(*) FROM tsext.cagg_threshold) AS thresholds,
  (SELECT count(*) FROM tsext.cagg_log) AS log, (SELECT count(*) FROM parts) AS parts;
CREATE ROLE cagg_alter_owner;
CREATE ROLE cagg_alter_reader;
GRANT USAGE, CREATE ON SCHEMA cagg_alter, cagg_alter_other TO cagg_alter_owner;
GRANT USAGE ON SCHEMA cagg_alter, cagg_alter_other TO cagg_alter_reader;

CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8) USING tsext;
INSERT INTO cpu SELECT timestamptz '2024-01-01 00:00+00' + g * interval '10 minutes', 'host ' || g % 3, g % 100 / 4.0 FROM generate_series(0, 999) g;
CREATE TABLE hosts (host text PRIMARY KEY, region text);
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, sum(usage) AS usage FROM cpu GROUP BY 1, 2;

-- Real-time or not.
INSERT INTO cpu VALUES ('2024-01-01 00:01+00', 'host 9', 1), ('2024-02-01 00:01+00', 'host 9', 1);
SELECT count(*) FROM hourly WHERE host = 'host 9';
ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only = true);
SELECT count(*) FROM hourly WHERE host = 'host 9';
SELECT materialized_only FROM tsext.continuous_aggregates WHERE view_name = 'hourly';
EXPLAIN (COSTS off) SELECT * FROM hourly;
EXPLAIN (COSTS off) SELECT sum(usage) FROM hourly WHERE host = 'host 1';
SELECT failure('DELETE FROM hourly');
ALTER MATERIALIZED VIEW hourly SET (timescaledb.materialized_only = false);
SELECT count(*) FROM hourly WHERE host = 'host 9';
ALTER VIEW hourly SET (tsext.materialized_only);
SELECT count(*) FROM hourly WHERE host = 'host 9';
SELECT failure('CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS SELECT time_bucket(''1 day'', bucket) AS bucket, sum(usage) FROM hourly GROUP BY 1 WITH NO DATA');
ALTER MATERIALIZED VIEW hourly RESET (tsext.materialized_only);
SELECT count(*) FROM hourly WHERE host = 'host 9';
ALTER MATERIALIZED VIEW IF EXISTS no_such_view SET (tsext.materialized_only);
ALTER MATERIALIZED VIEW no_such_view SET (tsext.materialized_only);
ALTER TABLE cpu SET (timescaledb.materialized_only);
SELECT failure(c) FROM (VALUES
  ('ALTER MATERIALIZED VIEW hourly SET (tsext.continuous = false)'),
  ('ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only = maybe)'),
  ('ALTER MATERIALIZED VIEW hourly SET (timescaledb.compress = true)'),
  ('ALTER MATERIALIZED VIEW hourly SET (tsext.chunk_interval = ''1 day'')'),
  ('ALTER MATERIALIZED VIEW hourly SET (fillfactor = 50)'),
  ('ALTER MATERIALIZED VIEW hourly SET TABLESPACE pg_default'),
  ('ALTER MATERIALIZED VIEW hourly ALTER COLUMN usage SET STATISTICS 5'),
  ('CREATE INDEX ON hourly (bucket)'),
  ('REFRESH MATERIALIZED VIEW hourly'),
  ('REFRESH MATERIALIZED VIEW CONCURRENTLY hourly'),
  ('CREATE OR REPLACE VIEW hourly AS SELECT bucket, host, usage FROM hourly_materialized'),
  ('TRUNCATE hourly'),
  ('INSERT INTO hourly VALUES (now())'),
  ('ALTER TABLE hourly_materialized RENAME COLUMN usage TO x'),
  ('ALTER VIEW hourly_direct RENAME COLUMN usage TO x'),
  ('ALTER TABLE hourly_materialized SET ACCESS METHOD heap'),
  ('ALTER TABLE hourly_materialized ADD COLUMN x int'),
  ('ALTER TABLE hourly_materialized DROP COLUMN usage'),
  ('DROP TABLE hourly_materialized'),
  ('DROP TABLE hourly_materialized CASCADE'),
  ('DROP VIEW hourly_direct'),
  ('DROP VIEW hourly_direct CASCADE'),
  ('DROP TABLE hourly'),
  ('DROP MATERIALIZED VIEW hourly_materialized')) c(c);
CREATE INDEX ON hourly_materialized (host);
ALTER TABLE hourly_materialized SET (tsext.chunk_interval = '30 days');

-- Names, owners, columns, comments.
COMMENT ON MATERIALIZED VIEW hourly IS 'by the hour';
COMMENT ON COLUMN hourly.usage IS 'in percent';
SELECT obj_description('hourly'::regclass, 'pg_class'), col_description('hourly'::regclass, 3);
ALTER MATERIALIZED VIEW hourly RENAME TO per_hour;
ALTER MATERIALIZED VIEW per_hour RENAME COLUMN bucket TO "The hour";
ALTER TABLE per_hour RENAME host TO node;
TABLE parts;
SELECT bucket_column FROM tsext.cagg;
SELECT time_column, segment_by FROM tsext.options WHERE table_name = 'per_hour_materialized';
SELECT differences('per_hour', 'per_hour_direct');
CALL refresh_continuous_aggregate('per_hour', NULL, NULL);
SELECT differences('per_hour', 'per_hour_direct'), differences('per_hour_materialized', 'per_hour_direct');
ALTER MATERIALIZED VIEW per_hour SET (tsext.materialized_only = true);
ALTER MATERIALIZED VIEW per_hour SET (tsext.materialized_only = false);
INSERT INTO cpu VALUES ('2024-01-01 00:02+00', 'host 8', 1), ('2024-02-02 00:01+00', 'host 8', 1);
SELECT differences('per_hour', 'per_hour_direct'), differences('per_hour_materialized', 'per_hour_direct');
ALTER MATERIALIZED VIEW per_hour SET SCHEMA cagg_alter_other;
GRANT SELECT ON cpu TO cagg_alter_owner;
SELECT scheduled FROM alter_job(add_continuous_aggregate_policy('cagg_alter_other.per_hour', NULL, interval '1 hour', interval '1 hour'), scheduled => false);
ALTER MATERIALIZED VIEW cagg_alter_other.per_hour OWNER TO cagg_alter_owner;
TABLE parts;
SELECT owner, relation, scheduled FROM tsext.job WHERE relation IS NOT NULL;
-- A name that is taken, and one that was chosen by hand, stay.
CREATE TABLE cagg_alter_other.h_direct ();
ALTER TABLE cagg_alter_other.per_hour_materialized RENAME TO buckets;
ALTER MATERIALIZED VIEW cagg_alter_other.per_hour RENAME TO h;
DROP TABLE cagg_alter_other.h_direct;
TABLE parts;
-- Its owner needs to read the table, its readers do not; nor do they need the extension's schema, which may be renamed.
GRANT SELECT ON cagg_alter_other.h TO cagg_alter_reader;
SET ROLE cagg_alter_reader;
SELECT count(*) FROM cagg_alter_other.h;
SELECT failure('SELECT count(*) FROM cagg_alter_other.buckets');
SELECT view_name, pending > 0 AS pending FROM tsext.continuous_aggregates;
RESET ROLE;
CREATE MATERIALIZED VIEW cagg_alter_other.months WITH (tsext.continuous) AS SELECT time_bucket('1 month', time) AS bucket, count(*) FROM cpu GROUP BY 1;
GRANT SELECT ON cagg_alter_other.months TO cagg_alter_reader;
UPDATE cpu SET usage = usage WHERE time = (SELECT min(time) FROM cpu);
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
SET ROLE cagg_alter_reader;
SELECT tsext.dirty('cagg_alter_other.months_materialized', NULL::tstzmultirange) IS NOT NULL AS dirty, sum(count) > 0 AS rows FROM cagg_alter_other.months;
RESET ROLE;
GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER SCHEMA public RENAME TO cagg_alter_public;
SELECT sum(count) > 0 AS rows FROM cagg_alter_other.months;
CALL cagg_alter_public.refresh_continuous_aggregate('cagg_alter_other.months', NULL, NULL);
ALTER SCHEMA cagg_alter_public RENAME TO public;
DROP MATERIALIZED VIEW cagg_alter_other.months;
SET ROLE cagg_alter_reader;
SELECT failure(c) FROM (VALUES
  ('ALTER MATERIALIZED VIEW cagg_alter_other.h SET (tsext.materialized_only)'),
  ('ALTER MATERIALIZED VIEW cagg_alter_other.h RENAME COLUMN usage TO x'),
  ('DROP MATERIALIZED VIEW cagg_alter_other.h'),
  ('DELETE FROM tsext.cagg')) c(c);
SET ROLE cagg_alter_owner;
CALL refresh_continuous_aggregate('cagg_alter_other.h', NULL, NULL);
SELECT differences('cagg_alter_other.h', 'cagg_alter_other.per_hour_direct'), differences('cagg_alter_other.buckets', 'cagg_alter_other.per_hour_direct');
ALTER MATERIALIZED VIEW cagg_alter_other.h SET (tsext.materialized_only);
DROP MATERIALIZED VIEW cagg_alter_other.h;
RESET ROLE;
TABLE parts;
SELECT count(*) AS policies FROM tsext.job WHERE relation IS NOT NULL;
TABLE counts;

-- The table below.
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, sum(usage) AS usage FROM cpu GROUP BY 1, 2;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS SELECT time_bucket('1 day', bucket) AS bucket, sum(usage) FROM hourly GROUP BY 1;
SELECT failure(c) FROM (VALUES
  ('ALTER TABLE cpu ALTER COLUMN time DROP NOT NULL'),
  ('ALTER TABLE cpu ALTER COLUMN time TYPE timestamp'),
  ('ALTER TABLE cpu DROP COLUMN time'),
  ('ALTER TABLE cpu DROP COLUMN host'),
  ('ALTER TABLE cpu SET ACCESS METHOD heap'),
  ('ALTER TABLE cpu SET UNLOGGED'),
  ('ALTER MATERIALIZED VIEW hourly SET (tsext.materialized_only)'),
  ('DROP TABLE cpu'),
  ('DROP MATERIALIZED VIEW hourly'),
  ('DROP MATERIALIZED VIEW no_such_view'),
  ('DROP MATERIALIZED VIEW hourly, no_such_view CASCADE')) c(c);
ALTER TABLE cpu RENAME COLUMN time TO at;
ALTER TABLE cpu RENAME COLUMN host TO machine;
ALTER TABLE cpu ADD COLUMN note text DEFAULT 'x';
ALTER TABLE cpu RENAME TO cpus;
INSERT INTO cpus VALUES ('2024-01-01 00:03+00', 'host 7', 1);
-- Through a parent.
CREATE TABLE parent (time timestamptz NOT NULL, part int) PARTITION BY LIST (part);
CREATE TABLE part PARTITION OF parent FOR VALUES IN (1) USING tsext;
CREATE TABLE ancestor (time timestamptz NOT NULL);
CREATE TABLE heir () INHERITS (ancestor) USING tsext;
CREATE MATERIALIZED VIEW of_part WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, max(time) AS last FROM part GROUP BY 1;
CREATE MATERIALIZED VIEW of_heir WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM heir GROUP BY 1;
SELECT failure(c) FROM (VALUES
  ('ALTER TABLE parent ALTER COLUMN time DROP NOT NULL'),
  ('ALTER TABLE ancestor ALTER COLUMN time DROP NOT NULL'),
  ('ALTER TABLE parent ALTER COLUMN part SET NOT NULL, ALTER COLUMN part DROP NOT NULL')) c(c);
-- Its parts, by hand: the query as written, the time column of its buckets.
SELECT failure(c) FROM (VALUES
  ('CREATE OR REPLACE VIEW of_part_direct AS SELECT time AS bucket, time AS last FROM part'),
  ($$SELECT tsext.set_options('of_part_materialized', time_column => 'last')$$),
  ($$SELECT tsext.set_options('of_part_materialized', time_column => '')$$),
  ($$SECURITY LABEL FOR tsext ON TABLE of_part_materialized IS 'time_column=last'$$),
  ($$SELECT tsext.set_options('of_part_materialized', time_column => 'bucket', chunk_interval => '1 year')$$)) c(c);
DROP TABLE parent, ancestor CASCADE;
-- Rows of a table that inherits are not in it.
CREATE TABLE child () INHERITS (cpus) USING heap;
INSERT INTO child SELECT * FROM cpus;
SELECT differences('hourly', 'hourly_direct'), differences('daily', 'daily_direct'), sum(usage) = (SELECT sum(usage) FROM ONLY cpus) AS same FROM hourly;
CALL refresh_continuous_aggregate('daily', NULL, NULL);
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT differences('hourly_materialized', 'hourly_direct'), differences('daily_materialized', 'daily_direct');
DROP TABLE child;

-- Dropping.
CREATE VIEW reads_parts AS SELECT * FROM daily_materialized;
SELECT failure('DROP MATERIALIZED VIEW daily');
DROP VIEW reads_parts;
BEGIN;
DROP MATERIALIZED VIEW daily;
SELECT count(*) FROM parts WHERE name LIKE 'daily%';
ROLLBACK;
SELECT differences('daily', 'daily_direct');
BEGIN;
SAVEPOINT a;
DROP MATERIALIZED VIEW daily;
ROLLBACK TO a;
DROP VIEW counts;
SELECT count(*) FROM parts WHERE name LIKE 'daily%';
COMMIT;
SELECT differences('daily', 'daily_direct');
CREATE VIEW counts AS SELECT (SELECT count(*) FROM tsext.cagg) AS aggregates, (SELECT count(*) FROM tsext.cagg_threshold) AS thresholds,
  (SELECT count(*) FROM tsext.cagg_log) AS log, (SELECT count(*) FROM parts) AS parts;
INSERT INTO cpus VALUES ('2024-01-01 00:04+00', 'host 7', 1);
TABLE counts;
DROP MATERIALIZED VIEW daily;
TABLE counts;
CREATE MATERIALIZED VIEW ordinary AS SELECT 1 AS one;
DROP MATERIALIZED VIEW IF EXISTS ordinary, hourly, no_such_view;
TABLE counts;
INSERT INTO cpus VALUES ('2024-01-01 00:05+00', 'host 7', 1);
CREATE FUNCTION make(name text, source text, column_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE MATERIALIZED VIEW %I WITH (tsext.continuous) AS SELECT time_bucket(''1 day'', %I) AS bucket, count(*) FROM %I GROUP BY 1', name, column_name, source);
END $$;
SELECT make('one', 'cpus', 'at'), make('two', 'one', 'bucket'), make('three', 'cpus', 'at');
TABLE counts;
DROP MATERIALIZED VIEW one CASCADE;
TABLE parts;
DROP VIEW three;
TABLE counts;
-- With what it reads.
CREATE MATERIALIZED VIEW joined WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', at) AS bucket, region, count(*) FROM cpus LEFT JOIN hosts ON machine = host GROUP BY 1, 2;
DROP TABLE hosts CASCADE;
TABLE counts;
SELECT make('one', 'cpus', 'at');
ALTER TABLE cpus DROP COLUMN at CASCADE;
TABLE counts;
CREATE TABLE cpu (time timestamptz NOT NULL) USING tsext;
SELECT make('one', 'cpu', 'time'), make('two', 'one', 'bucket');
ALTER MATERIALIZED VIEW two SET (tsext.materialized_only);
DROP TABLE cpu CASCADE;
TABLE counts;
-- In a procedure, by owner, by schema.
CREATE TABLE cpu (time timestamptz NOT NULL) USING tsext;
DO $$
BEGIN
  PERFORM make('one', 'cpu', 'time'), make('two', 'one', 'bucket');
  DROP MATERIALIZED VIEW two, one;
  PERFORM make('one', 'cpu', 'time');
END $$;
TABLE counts;
GRANT SELECT, TRIGGER ON cpu TO cagg_alter_owner;
SET ROLE cagg_alter_owner;
SELECT make('owned', 'cpu', 'time');
RESET ROLE;
DROP OWNED BY cagg_alter_owner;
TABLE counts;
CREATE SCHEMA cagg_alter_third;
CREATE MATERIALIZED VIEW cagg_alter_third.far WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
TABLE counts;
DROP SCHEMA cagg_alter_third CASCADE;
TABLE counts;
DROP SCHEMA cagg_alter, cagg_alter_other CASCADE;
DROP ROLE cagg_alter_owner, cagg_alter_reader;
SELECT (SELECT count(*) FROM tsext.cagg), (SELECT count(*) FROM tsext.cagg_threshold), (SELECT count(*) FROM tsext.cagg_log);
