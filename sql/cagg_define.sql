-- CREATE MATERIALIZED VIEW … WITH (tsext.continuous): what it makes, that the view equals the query over a heap twin before and
-- after the first refresh and after late rows, and what is refused and why.
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
CREATE SCHEMA cagg_define;
SET search_path = cagg_define, public;
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
-- Rows in one of two relations but not as often in the other.
CREATE FUNCTION differences(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((%1$s EXCEPT ALL %2$s) UNION ALL (%2$s EXCEPT ALL %1$s)) x', a, b) INTO n;
  RETURN n;
END $$;

CREATE TABLE heap_cpu (time timestamptz NOT NULL, host text, usage float8, n int, local timestamp, day date, small smallint, tick int, big bigint) USING heap;
-- Quarters: sums are the same in every order. The clocks of the time zone below change twice.
INSERT INTO heap_cpu SELECT t, 'host ' || g % 3, g % 100 / 4.0, g, t AT TIME ZONE 'UTC', (t AT TIME ZONE 'UTC')::date, g / 10, g, g * 1000000000::bigint
  FROM (SELECT g, timestamptz '2024-03-20 00:00+00' + g * interval '50 minutes' AS t FROM generate_series(0, 9999) g) s;
CREATE TABLE cpu (LIKE heap_cpu) USING tsext WITH (tsext.time_column = 'time', tsext.segment_by = 'host');
CREATE TABLE hosts (host text PRIMARY KEY, region text, weight int);
INSERT INTO hosts VALUES ('host 0', 'north', 1), ('host 1', 'south', 2);
INSERT INTO cpu SELECT * FROM heap_cpu WHERE n < 8000;

-- What it makes.
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, avg(usage), count(*), max(n) AS n FROM cpu GROUP BY 1, 2 WITH NO DATA;
\d hourly
\d hourly_direct
\d hourly_materialized
SELECT * FROM tsext.options WHERE table_name = 'hourly_materialized';
SELECT * FROM tsext.cagg;
SELECT * FROM tsext.cagg_threshold;
SELECT view_name, source, bucket_column, bucket_width, bucket_timezone, materialized_only, watermark, pending, late_rows,
  refreshed_at, materialization, direct FROM tsext.continuous_aggregates;
SELECT definition LIKE '%FROM ONLY cpu%' AS definition FROM tsext.continuous_aggregates;
CREATE MATERIALIZED VIEW IF NOT EXISTS hourly WITH (tsext.continuous) AS SELECT 1;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT 1;
CREATE MATERIALIZED VIEW ordinary WITH (tsext.continuous = false) AS SELECT count(*) FROM cpu;
SELECT relkind FROM pg_class WHERE oid = 'ordinary'::regclass;

-- Each with its query over the twin; %s is the table.
CREATE TABLE cases (name text, query text);
INSERT INTO cases VALUES
  ('hourly', 'SELECT time_bucket(''1 hour'', time) AS bucket, host, avg(usage), count(*), max(n) AS n FROM %s AS cpu GROUP BY 1, 2'),
  ('by_alias', 'SELECT host AS h, max(usage) - min(usage) AS spread, time_bucket(''1 day'', c.time) AS b FROM %s AS c GROUP BY b, host'),
  ('single', 'SELECT time_bucket(''3 days'', time) AS bucket, sum(n), round(avg(n), 3) AS mean FROM %s AS cpu GROUP BY bucket'),
  ('columns', 'SELECT time_bucket(''1 hour'', time), host, sum(usage) FROM %s AS cpu GROUP BY 1, 2'),
  ('"Odd ""names"""', 'SELECT time_bucket(''1 hour'', time) AS "The ""bucket""", host AS "Host", count(*) AS "a b" FROM %s AS cpu GROUP BY 1, 2'),
  ('hidden_group', 'SELECT time_bucket(''6 hours'', time) AS bucket, sum(n) AS n FROM %s AS cpu GROUP BY 1, host, n % 2'),
  ('filtered', 'SELECT time_bucket(''1 day'', time) AS bucket, host, count(*) FILTER (WHERE usage > 10) AS busy, sum(n) FROM %s AS cpu WHERE usage < 20 GROUP BY 1, 2 HAVING count(*) > 5'),
  ('any_aggregate', 'SELECT time_bucket(''1 day'', time) AS bucket, first(usage, time), last(host, time), histogram(usage, 0, 25, 5), count(DISTINCT n % 7) AS kinds, percentile_cont(0.5) WITHIN GROUP (ORDER BY usage) AS median, string_agg(host, '','' ORDER BY time) AS hosts, array_agg(n ORDER BY n) AS ns FROM %s AS cpu GROUP BY 1'),
  ('joined', 'SELECT time_bucket(''1 day'', cpu.time) AS bucket, h.region, sum(cpu.n * h.weight) AS n FROM %s AS cpu JOIN hosts h ON h.host = cpu.host GROUP BY 1, 2'),
  ('outer_joined', 'SELECT time_bucket(''1 day'', time) AS bucket, region, count(*) FROM hosts h RIGHT JOIN %s AS cpu USING (host) GROUP BY 1, 2'),
  ('comma_joined', 'SELECT time_bucket(''1 day'', time) AS bucket, region, count(*) FROM hosts h, %s AS cpu WHERE h.host = cpu.host GROUP BY 1, 2'),
  ('monthly', 'SELECT time_bucket(''1 month'', time) AS bucket, host, avg(usage) FROM %s AS cpu GROUP BY 1, 2'),
  ('quarterly', 'SELECT time_bucket(''3 months'', time, timestamptz ''2024-02-10 06:00+00'') AS bucket, count(*) FROM %s AS cpu GROUP BY 1'),
  ('berlin_daily', 'SELECT time_bucket(''1 day'', time, ''Europe/Berlin'') AS bucket, host, count(*) FROM %s AS cpu GROUP BY 1, 2'),
  ('berlin_monthly', 'SELECT time_bucket(bucket_width => ''1 month'', ts => time, timezone => ''Europe/Berlin'', "offset" => ''2 days'') AS bucket, count(*) FROM %s AS cpu GROUP BY 1'),
  ('with_offset', 'SELECT time_bucket(''1 day'', time, interval ''7 hours'') AS bucket, count(*) FROM %s AS cpu GROUP BY 1'),
  ('with_origin', 'SELECT time_bucket(INTERVAL ''5'' DAY, time, timestamptz ''2024-01-02 03:04:05+00'') AS bucket, count(*) FROM %s AS cpu GROUP BY 1');
SELECT format('CREATE MATERIALIZED VIEW %s%s WITH (%s) AS %s WITH NO DATA', name, CASE name WHEN 'columns' THEN ' (b, "Host")' END,
  CASE WHEN name < 'd' THEN 'timescaledb.continuous' ELSE 'tsext.continuous = true' END, replace(query, '%s', 'cpu'))
FROM cases WHERE name <> 'hourly' \gexec
SELECT view, bucket_column, bucket_call, bucket_width, bucket_timezone AS zone, is_fixed, reach, cell_width, cell_origin, margin
FROM tsext.cagg ORDER BY view::text COLLATE "C";
SELECT table_name, time_column, chunk_interval, segment_by, segment_by_origin FROM tsext.options WHERE table_name LIKE '%materialized' ORDER BY table_name COLLATE "C";
SELECT name, differences('TABLE ' || name, replace(query, '%s', '(SELECT * FROM heap_cpu WHERE n < 8000)')) AS unrefreshed FROM cases ORDER BY name COLLATE "C";
SELECT format('CALL refresh_continuous_aggregate(%L, NULL, NULL)', name) FROM cases \gexec
SELECT name, differences('TABLE ' || name, replace(query, '%s', '(SELECT * FROM heap_cpu WHERE n < 8000)')) AS refreshed FROM cases ORDER BY name COLLATE "C";
INSERT INTO cpu SELECT * FROM heap_cpu WHERE n >= 8000;
-- Late rows.
INSERT INTO heap_cpu SELECT time + interval '7 seconds', 'host 4', 1, n + 10000, local, day, small, tick, big FROM heap_cpu WHERE n % 1000 = 77;
INSERT INTO cpu SELECT * FROM heap_cpu WHERE n >= 10000;
SELECT name, differences('TABLE ' || name, replace(query, '%s', 'heap_cpu')) AS written FROM cases ORDER BY name COLLATE "C";
SELECT format('CALL refresh_continuous_aggregate(%L, NULL, NULL)', name) FROM cases \gexec
SELECT name, differences('TABLE ' || name, replace(query, '%s', 'heap_cpu')) AS refreshed_again FROM cases ORDER BY name COLLATE "C";
SELECT count(*) AS dirty FROM tsext.continuous_aggregates WHERE pending > 0;
-- The reader's conditions reach all parts.
SELECT differences('SELECT * FROM hourly WHERE host = ''host 1'' AND bucket >= ''2024-04-01'' AND bucket < ''2024-04-03'' AND n % 2 = 0',
  'SELECT * FROM (SELECT time_bucket(''1 hour'', time) AS bucket, host, avg(usage), count(*), max(n) AS n FROM heap_cpu GROUP BY 1, 2) h
   WHERE host = ''host 1'' AND bucket >= ''2024-04-01'' AND bucket < ''2024-04-03'' AND n % 2 = 0');

-- Other types of time, one table each.
CREATE TABLE types (type text, heap_column text, width text);
INSERT INTO types VALUES ('timestamp', 'local', '''1 hour'''), ('date', 'day', '''7 days'''), ('smallint', 'small', '10::smallint'),
  ('int', 'tick', '100'), ('bigint', 'big', '5000000000');
SELECT format('CREATE TABLE by_%1$s (at %1$s NOT NULL, host text, v int) USING tsext WITH (tsext.time_column = ''at'')', type) FROM types \gexec
SELECT format('INSERT INTO by_%s SELECT %I, host, n FROM heap_cpu WHERE n < 5000', type, heap_column) FROM types \gexec
SELECT format('CREATE MATERIALIZED VIEW agg_%1$s WITH (tsext.continuous) AS SELECT time_bucket(%2$s, at) AS bucket, host, sum(v) FROM by_%1$s GROUP BY 1, 2', type, width) FROM types \gexec
SELECT format('INSERT INTO by_%s SELECT %I, host, n FROM heap_cpu WHERE n >= 5000', type, heap_column) FROM types \gexec
SELECT type, differences('TABLE agg_' || type, format('SELECT time_bucket(%s, %I) AS bucket, host, sum(n) FROM heap_cpu GROUP BY 1, 2', width, heap_column)) FROM types;
SELECT format('CALL refresh_continuous_aggregate(''agg_%s'', NULL, NULL)', type) FROM types \gexec
SELECT type, differences('TABLE agg_' || type, format('SELECT time_bucket(%s, %I) AS bucket, host, sum(n) FROM heap_cpu GROUP BY 1, 2', width, heap_column)) FROM types;
SELECT view, bucket_call, is_fixed, reach, cell_width, cell_origin FROM tsext.cagg WHERE view::text LIKE 'agg%' ORDER BY view::text COLLATE "C";
SELECT table_name, chunk_interval FROM tsext.options WHERE table_name LIKE 'agg%' ORDER BY table_name COLLATE "C";

-- Aggregates over aggregates.
CREATE TABLE levels (name text, source text, width text, call text);
INSERT INTO levels VALUES ('level_day', 'hourly', '1 day', NULL), ('level_same', 'hourly', '1 hour', NULL), ('level_month', 'hourly', '1 month', NULL),
  ('level_year', 'level_month', '1 year', NULL), ('level_berlin', 'hourly', '1 day', '''Europe/Berlin'''),
  ('level_berlin_month', 'level_berlin', '1 month', '''Europe/Berlin''');
SELECT format('CREATE MATERIALIZED VIEW %s WITH (tsext.continuous) AS SELECT time_bucket(%L, bucket%s) AS bucket, host, sum(count) AS count, max(n) AS n FROM %s GROUP BY 1, 2',
  name, width, ', ' || call, source) FROM levels \gexec
SELECT view, source, base, level, bucket_width, reach, cell_width, margin FROM tsext.cagg WHERE view::text LIKE 'level%' ORDER BY 1::text COLLATE "C";
DELETE FROM cpu WHERE n = 10000 + 77;
DELETE FROM heap_cpu WHERE n = 10000 + 77;
INSERT INTO heap_cpu SELECT time + interval '9 seconds', 'host 5', 1, n + 20000, local, day, small, tick, big FROM heap_cpu WHERE n % 1000 = 78;
INSERT INTO cpu SELECT * FROM heap_cpu WHERE n >= 20000;
CREATE VIEW level_differences AS SELECT name, differences('TABLE ' || name,
  format('SELECT time_bucket(%L, time%s) AS bucket, host, count(*)::numeric, max(n) FROM heap_cpu GROUP BY 1, 2', width, ', ' || call)) FROM levels;
TABLE level_differences;
SELECT format('CALL refresh_continuous_aggregate(%L, NULL, NULL)', name) FROM levels \gexec
TABLE level_differences;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
TABLE level_differences;

-- Hours lie across the days of India: a row counts where its hour starts, at each level above.
SELECT format('CREATE MATERIALIZED VIEW india_%s WITH (tsext.continuous) AS SELECT time_bucket(%L, bucket, ''Asia/Kolkata'') AS bucket, sum(count) AS count FROM %s GROUP BY 1',
  name, '1 ' || name, source) FROM (VALUES ('day', 'hourly'), ('month', 'india_day'), ('year', 'india_month')) l(name, source) \gexec
SELECT view, margin FROM tsext.cagg WHERE view::text LIKE 'india%' ORDER BY level;
CREATE VIEW india_differences AS SELECT name, differences('TABLE india_' || name,
  format('SELECT time_bucket(%L, time_bucket(''1 hour'', time), ''Asia/Kolkata'') AS bucket, count(*)::numeric FROM heap_cpu GROUP BY 1', '1 ' || name)) FROM (VALUES ('day'), ('month'), ('year')) l(name);
INSERT INTO heap_cpu SELECT '2024-04-30 18:45+00', 'host 6', 1, 30000;
INSERT INTO cpu SELECT * FROM heap_cpu WHERE n = 30000;
TABLE india_differences;
SELECT format('CALL refresh_continuous_aggregate(''india_%s'', NULL, NULL)', name) FROM (VALUES ('year'), ('month'), ('day')) l(name) \gexec
TABLE india_differences;
DROP VIEW india_differences;
DROP MATERIALIZED VIEW india_year, india_month, india_day;

-- WITH DATA in a transaction block fills it there.
BEGIN;
INSERT INTO cpu SELECT time + interval '11 seconds', host, usage, n + 40000, local, day, small, tick, big FROM heap_cpu WHERE n % 1000 = 79;
CREATE MATERIALIZED VIEW in_block WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
SELECT differences('TABLE in_block', 'SELECT time_bucket(''1 day'', time) AS bucket, count(*) FROM cpu GROUP BY 1');
SELECT differences('TABLE in_block', 'TABLE in_block_materialized') < 3 AS is_filled;
ROLLBACK;
SELECT count(*) FROM tsext.cagg WHERE view::text LIKE 'in_block%';
DO $$
BEGIN
  CREATE MATERIALIZED VIEW in_block WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
END $$;
SELECT differences('TABLE in_block', 'SELECT time_bucket(''1 day'', time) AS bucket, count(*) FROM heap_cpu GROUP BY 1');

-- Event triggers see it.
CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO told VALUES (tg_event, tg_tag, NULL);
  IF tg_event = 'ddl_command_end' THEN
    UPDATE told SET object = (SELECT object_identity FROM pg_event_trigger_ddl_commands()) WHERE event = tg_event;
  END IF;
END $$;
CREATE TABLE told (event text, tag text, object text);
CREATE EVENT TRIGGER cagg_start ON ddl_command_start WHEN TAG IN ('CREATE MATERIALIZED VIEW') EXECUTE FUNCTION tell();
CREATE EVENT TRIGGER cagg_end ON ddl_command_end WHEN TAG IN ('CREATE MATERIALIZED VIEW') EXECUTE FUNCTION tell();
CREATE MATERIALIZED VIEW watched WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
CREATE MATERIALIZED VIEW watched WITH (tsext.continuous) AS SELECT 1;
DROP EVENT TRIGGER cagg_start;
DROP EVENT TRIGGER cagg_end;
TABLE told;
SELECT differences('TABLE watched_materialized', 'TABLE watched_direct');

-- What is refused.
CREATE FUNCTION refused(query text, options text DEFAULT 'tsext.continuous') RETURNS text LANGUAGE sql AS $$
  SELECT failure(format('CREATE MATERIALIZED VIEW refused WITH (%s) AS %s WITH NO DATA', options, query)) $$;
CREATE TABLE nullable (time timestamptz, v int) USING tsext;
CREATE TABLE no_time (v int) USING tsext;
CREATE UNLOGGED TABLE unlogged (time timestamptz NOT NULL, v int) USING tsext;
CREATE TABLE parent (time timestamptz NOT NULL, v int) USING tsext;
CREATE TABLE child () INHERITS (parent) USING heap;
CREATE TABLE partitioned (time timestamptz NOT NULL, v int) PARTITION BY RANGE (time);
CREATE TABLE secured (time timestamptz NOT NULL, v int) USING tsext;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY positive ON secured USING (v > 0);
CREATE VIEW plain_view AS SELECT * FROM cpu;
CREATE TABLE other (time timestamptz NOT NULL, host text) USING tsext;
CREATE FUNCTION noisy_add(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT $1 + $2';
CREATE AGGREGATE noisy_sum(int) (SFUNC = noisy_add, STYPE = int);
CREATE TABLE refusals (id int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO refusals (query) VALUES
  ('SELECT 1 AS bucket'),
  ('SELECT count(*) FROM cpu'),
  ('SELECT time AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket FROM cpu'),
  ('SELECT time_bucket(''1 hour'', time) AS a, time_bucket(''1 day'', time) AS b, count(*) FROM cpu GROUP BY 1, 2'),
  ('SELECT count(*) FROM cpu GROUP BY time_bucket(''1 hour'', time)'),
  ('SELECT time_bucket(''1 hour'', time) + interval ''1 hour'' AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT date_trunc(''hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(n * interval ''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time, now()) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time, date ''2024-01-01'') AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(NULL::interval, time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', time, NULL::text) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''0 hours'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''-1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 month 1 day'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time, ''Europe/Berlin'') AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', time, ''Mars/Olympus'') AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', local) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time + interval ''1 s'') AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM heap_cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM plain_view GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM partitioned GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM nullable GROUP BY 1'),
  ('SELECT time_bucket(1, v) AS bucket, count(*) FROM no_time GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM unlogged GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM parent GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM secured GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', bucket) AS bucket, count(*) FROM hourly_materialized GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', bucket) AS bucket, count(*) FROM hourly_direct GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1 ORDER BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1 LIMIT 5'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1 OFFSET 5'),
  ('SELECT DISTINCT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, sum(count(*)) OVER () FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu GROUP BY 1 UNION ALL SELECT now(), 1'),
  ('WITH c AS (SELECT * FROM cpu) SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM c GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM (SELECT * FROM cpu) c GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu, generate_series(1, 2) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu, (VALUES (1)) v GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu WHERE host IN (SELECT host FROM hosts) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, host, count(*) FROM cpu GROUP BY ROLLUP (1, 2)'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, generate_series(1, 2), count(*) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu TABLESAMPLE SYSTEM (10) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu WHERE time < now() GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu WHERE time < CURRENT_TIMESTAMP GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, random() FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, min(time::text) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) FROM cpu WHERE extract(hour FROM time) > 3 GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, noisy_sum(n) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, max(ctid) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(cpu) FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', a.time) AS bucket, count(*) FROM cpu a JOIN cpu b USING (host) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', a.time) AS bucket, count(*) FROM cpu a JOIN other b USING (host) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', a.time) AS bucket, count(*) FROM cpu a JOIN plain_view b USING (host) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', a.time) AS bucket, count(*) FROM hosts LEFT JOIN cpu a USING (host) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', a.time) AS bucket, count(*) FROM cpu a FULL JOIN hosts USING (host) GROUP BY 1'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, h.host, h.region, count(*) FROM cpu JOIN hosts h ON cpu.host = h.host GROUP BY 1, 2'),
  ('SELECT time_bucket(''1 hour'', time) AS bucket, count(*) AS bucket FROM cpu GROUP BY 1'),
  ('SELECT time_bucket(''90 minutes'', bucket) AS bucket, sum(n) FROM hourly GROUP BY 1'),
  ('SELECT time_bucket(''30 minutes'', bucket) AS bucket, sum(n) FROM hourly GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', bucket, interval ''30 minutes'') AS bucket, sum(n) FROM hourly GROUP BY 1'),
  ('SELECT time_bucket(''1 month'', bucket) AS bucket, sum(count) FROM with_origin GROUP BY 1'),
  ('SELECT time_bucket(''1 month'', b) AS bucket, max(spread) FROM (TABLE by_alias) b GROUP BY 1'),
  ('SELECT time_bucket(''10 days'', bucket) AS bucket, count(*) FROM monthly GROUP BY 1'),
  ('SELECT time_bucket(''2 months'', bucket) AS bucket, count(*) FROM quarterly GROUP BY 1'),
  ('SELECT time_bucket(''6 months'', bucket) AS bucket, count(*) FROM quarterly GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', bucket) AS bucket, count(*) FROM berlin_daily GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', bucket, ''Asia/Tokyo'') AS bucket, count(*) FROM berlin_daily GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', b, ''Asia/Tokyo'') AS bucket, count(*) FROM by_alias GROUP BY 1'),
  ('SELECT time_bucket(''1 month'', bucket, ''Europe/Berlin'') AS bucket, count(*) FROM berlin_monthly GROUP BY 1'),
  ('SELECT time_bucket(100, n) AS bucket, count(*) FROM hourly GROUP BY 1'),
  ('SELECT time_bucket(''1 day'', bucket) AS bucket, count(*) FROM hourly JOIN cpu USING (host) GROUP BY 1');
SELECT query || E'\n    ' || refused(query) FROM refusals ORDER BY id;
SELECT refused('SELECT time_bucket(''1 day'', time) AS bucket, count(*) FROM cpu GROUP BY 1', o) FROM (VALUES
  ('timescaledb.continuous, timescaledb.finalized = false'), ('tsext.continuous, fillfactor = 50'), ('tsext.continuous, tsext.chunk_interval = ''1 day'''),
  ('timescaledb.materialized_only'), ('tsext.continuous = 5'), ('tsext.continuous, tsext.materialized_only = 7')) o(o);
CREATE MATERIALIZED VIEW refused (a, b, c) WITH (tsext.continuous) AS SELECT time_bucket('1 day', time), count(*) FROM cpu GROUP BY 1;
CREATE MATERIALIZED VIEW refused (a, a) WITH (tsext.continuous) AS SELECT time_bucket('1 day', time), count(*) FROM cpu GROUP BY 1;
CREATE MATERIALIZED VIEW refused USING heap WITH (tsext.continuous) AS SELECT time_bucket('1 day', time), count(*) FROM cpu GROUP BY 1;
CREATE TEMP TABLE temporary (time timestamptz NOT NULL) USING tsext;
CREATE MATERIALIZED VIEW refused WITH (tsext.continuous) AS SELECT time_bucket('1 day', time), count(*) FROM temporary GROUP BY 1;
CREATE MATERIALIZED VIEW pg_temp.refused WITH (tsext.continuous) AS SELECT time_bucket('1 day', time), count(*) FROM cpu GROUP BY 1;
CREATE TABLE refused WITH (tsext.continuous) AS SELECT 1;
-- Who may not write triggers for a table may not make its writers log.
CREATE ROLE cagg_define_reader;
GRANT USAGE, CREATE ON SCHEMA cagg_define TO cagg_define_reader;
GRANT SELECT ON cpu TO cagg_define_reader;
SET ROLE cagg_define_reader;
CREATE MATERIALIZED VIEW refused WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
SELECT count(*) FROM tsext.continuous_aggregates;
RESET ROLE;
GRANT TRIGGER ON cpu TO cagg_define_reader;
SET ROLE cagg_define_reader;
CREATE MATERIALIZED VIEW allowed WITH (tsext.continuous) AS SELECT time_bucket('1 day', time) AS bucket, count(*) FROM cpu GROUP BY 1;
SELECT view_name, owner FROM tsext.continuous_aggregates;
SELECT differences('TABLE allowed', 'SELECT time_bucket(''1 day'', time) AS bucket, count(*) FROM cpu GROUP BY 1');
RESET ROLE;
SELECT count(*) FROM tsext.cagg WHERE view::text LIKE 'refused%';
DROP OWNED BY cagg_define_reader;
DROP ROLE cagg_define_reader;
SELECT count(*) FROM tsext.cagg WHERE view::text LIKE 'allowed%';

DROP SCHEMA cagg_define CASCADE;
SELECT (SELECT count(*) FROM tsext.cagg), (SELECT count(*) FROM tsext.cagg_threshold), (SELECT count(*) FROM tsext.cagg_log);
