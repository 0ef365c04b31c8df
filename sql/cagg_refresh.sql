-- refresh_continuous_aggregate(): the view equals the query over the table after every step, whatever was written and computed.
SET datestyle = 'ISO';
SET timezone = 'UTC';
SET client_min_messages = warning;
SET jit = off;

-- Rows by which the aggregates and their queries differ: there is never one.
CREATE FUNCTION differences() RETURNS TABLE (aggregate regclass, side text, differing text) LANGUAGE plpgsql AS $$
DECLARE c record;
BEGIN
  FOR c IN SELECT view, direct FROM tsext.cagg ORDER BY level, view::text LOOP
    RETURN QUERY EXECUTE format('SELECT %L::regclass, ''only in the view'', d::text FROM (TABLE %s EXCEPT ALL TABLE %s) d', c.view, c.view, c.direct);
    RETURN QUERY EXECUTE format('SELECT %L::regclass, ''only in the query'', d::text FROM (TABLE %s EXCEPT ALL TABLE %s) d', c.view, c.direct, c.view);
  END LOOP;
END $$;
CREATE PROCEDURE check_all(step text) LANGUAGE plpgsql AS $$
DECLARE d record;
BEGIN
  SELECT * INTO d FROM differences();
  IF FOUND THEN RAISE EXCEPTION '%: % of %: %', step, d.side, d.aggregate, d.differing; END IF;
END $$;
-- Pending entries and buckets of an aggregate.
CREATE FUNCTION pending(aggregate regclass) RETURNS TABLE (entries int8, buckets int8) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format('SELECT (SELECT count(*) FROM tsext.cagg_log l WHERE l.materialization = c.materialization), count(m)
    FROM tsext.cagg c LEFT JOIN %s m ON true WHERE c.view = %L::regclass GROUP BY c.materialization', aggregate || '_materialized', aggregate);
END $$;

-- What the view adds to its queries is tested in vectors.
CREATE PROCEDURE check_plan(aggregate regclass) LANGUAGE plpgsql SET cpu_operator_cost = 1 AS $$
DECLARE line text; conditions int := 0;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (COSTS off) TABLE %s', aggregate) LOOP
    IF line ~ '\mFilter: .*\$\d' AND line !~ 'Vector Filter:' THEN RAISE EXCEPTION 'row by row: %', line; END IF;
    IF line ~ 'Vector Filter: .*\$\d' THEN conditions := conditions + 1; END IF;
  END LOOP;
  IF conditions <> 3 THEN RAISE EXCEPTION '% conditions in vectors', conditions; END IF;
END $$;

-- Everything that can happen to a table, with refreshes in between. at(g) is a time, as text with %s for g.
CREATE PROCEDURE exercise(type text, at text, bucket text) LANGUAGE plpgsql AS $$
DECLARE t text; aggregate regclass;
BEGIN
  EXECUTE format('CREATE TABLE followed (time %s NOT NULL, host text, usage float8, id int) USING tsext', type);
  PERFORM tsext.set_options('followed', time_column => 'time');
  EXECUTE format('CREATE MATERIALIZED VIEW made WITH (tsext.continuous) AS SELECT %s AS bucket, host, avg(usage), count(*), count(DISTINCT id) AS ids,
    string_agg(id::text, '','' ORDER BY id) AS list FROM followed WHERE id %% 7 <> 3 GROUP BY 1, 2 WITH NO DATA', bucket);
  aggregate := 'made';
  t := format('INSERT INTO followed SELECT %s, ''host_'' || g %% 3, g, g FROM generate_series($1, $2) g', format(at, 'g'));
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL);
  CALL check_all('empty');
  EXECUTE t USING 100, 1000;
  CALL check_all('first rows');
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL);
  CALL check_all('first refresh');
  EXECUTE t USING 1001, 1500;
  EXECUTE t USING 0, 99;
  CALL check_all('before and behind');
  UPDATE followed SET usage = -usage WHERE id BETWEEN 300 AND 310;
  DELETE FROM followed WHERE id BETWEEN 500 AND 600;
  EXECUTE format('UPDATE followed SET time = %s WHERE id BETWEEN 700 AND 702', format(at, '1')) ;
  CALL check_all('updates and deletes');
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL);
  CALL check_all('second refresh');
  IF (SELECT count(*) FROM tsext.cagg_log) > 0 THEN RAISE EXCEPTION 'entries are left'; END IF;
  PERFORM tsext.compact('made_materialized');
  EXECUTE t USING 450, 460;
  EXECUTE t USING 1200, 1201;
  CALL check_all('late rows over compacted buckets');
  CALL check_plan(aggregate);
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL);
  CALL check_all('third refresh');
  COMMIT;
  PERFORM tsext.compact('made_materialized'), tsext.compact('followed');
  EXECUTE t USING 450, 460;
  DELETE FROM followed WHERE false;
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL, force => true);
  CALL check_all('forced refresh');
  IF (SELECT count(*) FROM tsext.cagg_log) > 0 THEN RAISE EXCEPTION 'entries are left'; END IF;
  TRUNCATE followed;
  CALL check_all('truncated');
  EXECUTE t USING 800, 900;
  CALL refresh_continuous_aggregate(aggregate, NULL, NULL);
  CALL check_all('after truncation');
  IF (SELECT count(*) FROM made_materialized) = 0 OR (SELECT count(*) FROM made_direct) = 0 THEN RAISE EXCEPTION 'nothing there'; END IF;
  DROP MATERIALIZED VIEW made;
  DROP TABLE followed;
END $$;
CALL exercise('timestamptz', $$'2024-01-01 00:00+00'::timestamptz + %s * interval '7 min'$$, $$time_bucket('1 hour', time)$$);
CALL exercise('timestamp', $$'2024-01-01 00:00'::timestamp + %s * interval '7 min'$$, $$time_bucket('1 day', time)$$);
CALL exercise('date', $$'2024-01-01'::date + %s$$, $$time_bucket('7 days', time)$$);
CALL exercise('date', $$'1999-11-30'::date + %s$$, $$time_bucket('1 month', time)$$);
CALL exercise('int8', $$-3000000000000::int8 + %s * 10$$, $$time_bucket(100::int8, time)$$);
CALL exercise('int4', $$%s * 10 - 5000$$, $$time_bucket(300, time, 7)$$);
CALL exercise('int2', $$(%s * 10 - 9000)::int2$$, $$time_bucket(90::int2, time)$$);
-- months; days and months of zones whose clocks are set back: over midnight in Havana, by 1 hour 1 minute after midnight in St. John's
CALL exercise('timestamptz', $$'2023-06-01 00:00+00'::timestamptz + %s * interval '13 hours'$$, $$time_bucket('1 month', time)$$);
CALL exercise('timestamptz', $$'2023-11-04 00:00+00'::timestamptz + %s * interval '3 min'$$, $$time_bucket('1 day', time, 'America/Havana')$$);
CALL exercise('timestamptz', $$'2006-10-28 12:00+00'::timestamptz + %s * interval '1 min'$$, $$time_bucket('1 day', time, 'America/St_Johns')$$);
CALL exercise('timestamptz', $$'2023-01-01 00:00+00'::timestamptz + %s * interval '17 hours'$$, $$time_bucket('1 month', time, 'America/Havana')$$);
-- days of up to 47 and 36 hours, where clocks were put back over the date line
CALL exercise('timestamptz', $$'1969-09-28 00:00+00'::timestamptz + %s * interval '10 min'$$, $$time_bucket('1 day', time, 'Pacific/Kwajalein')$$);
CALL exercise('timestamptz', $$'1937-08-27 00:00+00'::timestamptz + %s * interval '10 min'$$, $$time_bucket('1 day', time, 'Pacific/Enderbury')$$);
-- wider than all of time: a bucket that is never finished
CREATE TABLE ages (time timestamptz NOT NULL) USING tsext;
INSERT INTO ages VALUES ('1971-01-01'), ('2024-01-01');
CREATE MATERIALIZED VIEW age WITH (tsext.continuous) AS
  SELECT time_bucket('5000000 months', time, timestamptz '1970-01-01 00:00+00') AS bucket, count(*) FROM ages GROUP BY 1;
INSERT INTO ages VALUES ('1980-01-01');
CALL refresh_continuous_aggregate('age', NULL, NULL, force => true);
SELECT * FROM age;
DROP MATERIALIZED VIEW age;
DROP TABLE ages;
-- the greatest bigint of all is in the last bucket, which is never stored
CREATE TABLE ends (time int8 NOT NULL) USING tsext;
SELECT tsext.set_options('ends', time_column => 'time');
CREATE MATERIALIZED VIEW last WITH (tsext.continuous) AS SELECT time_bucket(1000, time) AS bucket, count(*) FROM ends GROUP BY 1 WITH NO DATA;
INSERT INTO ends VALUES (-9223372036854775808 + 1000), (0), (9223372036854775807);
CALL refresh_continuous_aggregate('last', NULL, NULL);
CALL refresh_continuous_aggregate('last', NULL, 9223372036854775807);
INSERT INTO ends VALUES (-9223372036854775808 + 1000), (9223372036854775807), (9223372036854775806);
SELECT * FROM last ORDER BY 1;
SELECT tsext.watermark('last_materialized', NULL::int8);
DROP MATERIALIZED VIEW last;
DROP TABLE ends;
CALL exercise('timestamptz', $$'2024-01-01 00:00+00'::timestamptz + %s * interval '7 min'$$, $$time_bucket('1 day', time, "offset" => interval '6 hours')$$);

-- windows: whole buckets inside, what is outside stays logged; an entry over the border is split
CREATE TABLE cpu (time timestamptz NOT NULL, host text, usage float8) USING tsext;
INSERT INTO cpu SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '1 min', 'host_' || g % 4, g % 100 FROM generate_series(0, 3000) g;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, avg(usage), count(*), max(usage) FROM cpu GROUP BY 1, 2 WITH NO DATA;
CALL refresh_continuous_aggregate('hourly', NULL, '2024-01-01 12:30+00');
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz), * FROM pending('hourly');
-- the threshold passes buckets that the window leaves out: they are computed from the table until somebody refreshes them
CALL refresh_continuous_aggregate('hourly', '2024-01-01 20:00+00', '2024-01-01 22:00+00');
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz), tsext.dirty('hourly_materialized', NULL::tstzmultirange), * FROM pending('hourly');
SELECT * FROM differences();
-- never beyond the bucket of the newest row, though it has not ended; never down
CALL refresh_continuous_aggregate('hourly', '2024-01-02 20:00+00', '2031-01-01');
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz);
CALL refresh_continuous_aggregate('hourly', '2023-01-01', '2023-02-01');
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz);
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT tsext.dirty('hourly_materialized', NULL::tstzmultirange), * FROM pending('hourly');
-- late rows all over, read in one pass over the hot rows; a window in the middle
INSERT INTO cpu SELECT '2024-01-01 00:30+00'::timestamptz + g * interval '2 hours', 'late', 1 FROM generate_series(0, 11) g;
SET enable_sort = off;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM hourly;
RESET enable_sort;
SELECT count(*) FROM (SELECT unnest(tsext.dirty('hourly_materialized', NULL::tstzmultirange))) d;
CALL refresh_continuous_aggregate('hourly', '2024-01-01 07:59+00', '2024-01-01 12:00+00');
SELECT count(*) FROM (SELECT unnest(tsext.dirty('hourly_materialized', NULL::tstzmultirange))) d;
TRUNCATE cpu;
CALL refresh_continuous_aggregate('hourly', '2024-01-01 02:00+00', '2024-01-01 04:00+00');
SELECT * FROM unnest(tsext.dirty('hourly_materialized', NULL::tstzmultirange));
SELECT * FROM differences();
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz), * FROM pending('hourly');
-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- with an open end: no bucket that the clock has not left
INSERT INTO cpu VALUES (now() + interval '10 years', 'ahead', 1), ('-infinity', 'before', 1), ('infinity', 'behind', 1);
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT tsext.watermark('hourly_materialized', NULL::timestamptz) = time_bucket('1 hour', now()) AS now;
SELECT bucket, host, avg FROM hourly WHERE NOT isfinite(bucket) ORDER BY 1;
SELECT bucket, host, avg FROM hourly_materialized;
SELECT * FROM differences();
DELETE FROM cpu WHERE time = '-infinity';
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT bucket, host, avg FROM hourly_materialized;
SELECT * FROM differences();
DROP MATERIALIZED VIEW hourly;
TRUNCATE cpu;

-- integers: the last bucket is open, unless the table knows what now is
CREATE TABLE counted (n int NOT NULL, v int) USING tsext;
SELECT tsext.set_options('counted', time_column => 'n');
INSERT INTO counted SELECT g, g FROM generate_series(1, 95) g;
CREATE MATERIALIZED VIEW tens WITH (tsext.continuous) AS SELECT time_bucket(10, n) AS bucket, sum(v) FROM counted GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('tens', NULL, NULL);
SELECT tsext.watermark('tens_materialized', NULL::int);
CALL refresh_continuous_aggregate('tens', NULL, 1000);
SELECT tsext.watermark('tens_materialized', NULL::int);
CREATE FUNCTION now_is() RETURNS int LANGUAGE sql STABLE AS 'SELECT 115';
SELECT set_integer_now_func('counted', 'now_is');
INSERT INTO counted SELECT g, g FROM generate_series(100, 200) g;
CALL refresh_continuous_aggregate('tens', NULL, NULL);
SELECT tsext.watermark('tens_materialized', NULL::int);
SELECT * FROM differences();
DROP MATERIALIZED VIEW tens;
DROP TABLE counted;
DROP FUNCTION now_is;

-- levels: each reads the one below, and all follow the table
INSERT INTO cpu SELECT '2024-01-01 00:00+00'::timestamptz + g * interval '11 min', 'host_' || g % 4, g % 100 FROM generate_series(0, 3000) g;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS
  SELECT time_bucket('1 hour', time) AS bucket, host, sum(usage), count(*) FROM cpu GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW daily WITH (tsext.continuous) AS
  SELECT time_bucket('1 day', bucket) AS bucket, host, sum(sum) AS total, sum(count) AS rows FROM hourly GROUP BY 1, 2 WITH NO DATA;
CREATE MATERIALIZED VIEW weekly WITH (tsext.continuous) AS
  SELECT time_bucket('7 days', bucket) AS bucket, sum(total), sum(rows) AS rows FROM daily GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('weekly', NULL, NULL);
SELECT * FROM differences();
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
SELECT * FROM differences();
INSERT INTO cpu VALUES ('2024-01-03 05:00+00', 'late', 5), ('2024-01-20 05:00+00', 'late', 7);
SELECT * FROM differences();
-- upper levels first: what is below is read as it is now
CALL refresh_continuous_aggregate('weekly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', '2024-01-03', '2024-01-04');
SELECT * FROM differences();
SELECT tsext.dirty(materialization, NULL::tstzmultirange) FROM tsext.cagg ORDER BY level;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
CALL refresh_continuous_aggregate('daily', NULL, NULL);
SELECT * FROM differences();
SELECT view, entries FROM tsext.cagg, pending(view) ORDER BY level;
-- the sums are those of the table
SELECT (SELECT sum(rows) FROM weekly) = (SELECT count(*) FROM cpu);
DROP MATERIALIZED VIEW weekly;
DROP MATERIALIZED VIEW daily;
DROP MATERIALIZED VIEW hourly;

-- Late rows in a few buckets: only they are computed. A bucket that was tampered with stays as long as nobody writes to it.
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) FROM cpu GROUP BY 1 WITH NO DATA;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
UPDATE hourly_materialized SET count = -1;
INSERT INTO cpu SELECT '2024-01-05 00:30+00'::timestamptz + g * interval '5 hours', 'late', 1 FROM generate_series(0, 4) g;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT bucket FROM hourly_materialized WHERE count <> -1 ORDER BY 1;
-- neighbours within a gap no wider than they are go together
UPDATE hourly_materialized SET count = -1;
INSERT INTO cpu SELECT '2024-01-05 00:30+00'::timestamptz + g * interval '1 hour', 'late', 1 FROM unnest('{0,2,3,6,12,14}'::int[]) g;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT bucket FROM hourly_materialized WHERE count <> -1 ORDER BY 1;
CALL refresh_continuous_aggregate('hourly', '2024-01-02', '2024-01-20', force => true);
SELECT min(bucket) FILTER (WHERE count <> -1), max(bucket) FILTER (WHERE count <> -1), count(*) FILTER (WHERE count = -1) > 0 AS others FROM hourly_materialized;
CALL refresh_continuous_aggregate('hourly', NULL, NULL, true);
SELECT * FROM differences();

-- wrong use
CALL refresh_continuous_aggregate('cpu', NULL, NULL);
CALL refresh_continuous_aggregate('hourly_materialized', NULL, NULL);
CALL refresh_continuous_aggregate(NULL, NULL, NULL);
CALL refresh_continuous_aggregate('hourly', '2024-01-01 05:30+00', '2024-01-01 06:30+00');
CALL refresh_continuous_aggregate('hourly', '2024-01-01 05:30+00', '2024-01-01 05:30+00');
CALL refresh_continuous_aggregate('hourly', 1, 2);
CALL refresh_continuous_aggregate('hourly', 'yesterday morning', NULL);
BEGIN;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
ROLLBACK;
DO $$ BEGIN CALL refresh_continuous_aggregate('hourly', NULL, NULL); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SET default_transaction_read_only = on;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
RESET default_transaction_read_only;
-- no isolation level is in the way, nor are settings
SET default_transaction_isolation = 'serializable';
SET timezone = 'Asia/Kathmandu';
INSERT INTO cpu VALUES ('2024-01-05 00:31+00', 'late', 1);
CALL refresh_continuous_aggregate('hourly', '20 years', '1 minute');
SELECT tsext.dirty('hourly_materialized', NULL::tstzmultirange);
SELECT * FROM differences();
SET timezone = 'UTC';
RESET default_transaction_isolation;

-- the owner refreshes, and who has the owner's role; the query runs with the owner's rights
CREATE ROLE cagg_refresh_owner;
CREATE ROLE cagg_refresh_member IN ROLE cagg_refresh_owner;
CREATE ROLE cagg_refresh_other;
GRANT CREATE, USAGE ON SCHEMA public TO cagg_refresh_owner;
GRANT SELECT ON cpu TO cagg_refresh_owner;
DROP MATERIALIZED VIEW hourly;
ALTER TABLE cpu OWNER TO cagg_refresh_owner;
SET ROLE cagg_refresh_owner;
CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, count(*) FROM cpu GROUP BY 1 WITH NO DATA;
SET ROLE cagg_refresh_other;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SET ROLE cagg_refresh_member;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT current_user, count(*) > 0 FROM hourly_materialized;
RESET ROLE;
REVOKE SELECT ON cpu FROM cagg_refresh_owner;
INSERT INTO cpu VALUES ('2024-01-05 00:32+00', 'late', 1);
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT current_user, count(*) FROM tsext.cagg_log;
GRANT SELECT ON cpu TO cagg_refresh_owner;
CALL refresh_continuous_aggregate('hourly', NULL, NULL);
SELECT count(*) FROM tsext.cagg_log;

DROP MATERIALIZED VIEW hourly;
DROP TABLE cpu;
REVOKE ALL ON SCHEMA public FROM cagg_refresh_owner;
DROP ROLE cagg_refresh_member, cagg_refresh_owner, cagg_refresh_other;
DROP PROCEDURE exercise, check_plan, check_all;
DROP FUNCTION differences, pending;
