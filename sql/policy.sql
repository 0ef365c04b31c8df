-- Policies: retention, columnstore, the functions that tell integer time; drop_chunks for every type of time.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tsext;
SET client_min_messages = notice;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET tsext.enable_bulk = off;
\set later '''2100-01-01''::timestamptz'

-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- Each table has a heap twin. Hours of ten days until this one began, in chunks of a day.
CREATE PROCEDURE make(name text, type text, width text, value text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (time %s NOT NULL, host text, v int) USING tsext WITH (tsext.time_column = time, tsext.chunk_interval = %L)',
    name, type, width);
  EXECUTE format('CREATE TABLE %I (LIKE %I) USING heap', name || '_twin', name);
  EXECUTE format('INSERT INTO %I SELECT %s, ''h'' || g %% 3, g FROM generate_series(0, 239) g', name || '_twin', value);
  EXECUTE format('INSERT INTO %I TABLE %I', name, name || '_twin');
  COMMIT;  -- rows of the own transaction would stay hot
  -- some chunks cold, some hot, all with hot rows
  EXECUTE format('SELECT compress_chunk(c) FROM show_chunks(%L) c ORDER BY c LIMIT 4', name);
  EXECUTE format('INSERT INTO %1$I SELECT time, host, -v FROM %1$I WHERE v %% 10 = 5', name || '_twin');
  EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE v < 0', name, name || '_twin');
END $$;
CREATE FUNCTION differences(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((TABLE %1$I EXCEPT ALL TABLE %2$I) UNION ALL (TABLE %2$I EXCEPT ALL TABLE %1$I)) d', name, name || '_twin') INTO n;
  RETURN n;
END $$;

CALL make('points', 'timestamptz', '1 day', 'date_trunc(''day'', now()) - g * interval ''1 hour''');
CALL make('local', 'timestamp', '1 day', 'date_trunc(''day'', localtimestamp) - g * interval ''1 hour''');
CALL make('days', 'date', '1 day', 'current_date - g / 24');
CALL make('numbers', 'bigint', '100', '(10000 - g * 10)');
CALL make('ints', 'int', '100', '(10000 - g * 10)');
CALL make('shorts', 'smallint', '100', '(10000 - g * 10)');
SELECT differences('points'), differences('local'), differences('days'), differences('numbers'), differences('ints'), differences('shorts');

-- drop_chunks: every type of time, every type of argument
BEGIN;
SELECT count(*) FROM drop_chunks('points', older_than => interval '5 days');
DELETE FROM points_twin WHERE time < date_trunc('day', now() - interval '5 days');
SELECT differences('points');
SELECT count(*) FROM drop_chunks('points', older_than => (now() - interval '3 days')::timestamp);
SELECT count(*) FROM drop_chunks('points', older_than => current_date - 2);
SELECT count(*) FROM drop_chunks('points', older_than => now() - interval '1 day');
DELETE FROM points_twin WHERE time < date_trunc('day', now() - interval '1 day');
SELECT differences('points');
SELECT count(*) FROM drop_chunks('local', older_than => interval '5 days');
SELECT count(*) FROM drop_chunks('local', older_than => '3 days');
SELECT count(*) FROM drop_chunks('local', older_than => current_date);
DELETE FROM local_twin WHERE time < current_date;
SELECT differences('local');
SELECT count(*) FROM drop_chunks('days', older_than => interval '5 days');
SELECT count(*) FROM drop_chunks('days', newer_than => current_date, older_than => 'infinity'::date);
DELETE FROM days_twin WHERE time < current_date - 5 OR time = current_date;
SELECT differences('days');
SELECT drop_chunks('numbers', older_than => 7900);
DELETE FROM numbers_twin WHERE time < 7900;
SELECT differences('numbers');
SELECT drop_chunks('ints', older_than => 7800::smallint);
SELECT drop_chunks('ints', older_than => '7900');
SELECT drop_chunks('shorts', older_than => 7900::bigint, newer_than => 7800::int);
DELETE FROM shorts_twin WHERE time >= 7800 AND time < 7900;
SELECT differences('shorts');
ROLLBACK;
SELECT differences('points'), differences('local'), differences('days'), differences('numbers'), differences('ints'), differences('shorts');
SELECT drop_chunks('points', older_than => 5);
SELECT drop_chunks('numbers', older_than => interval '1 day');
SELECT drop_chunks('numbers', older_than => now());
SELECT drop_chunks('numbers', older_than => 'yesterday');
SELECT drop_chunks('days', older_than => 5::bigint);

-- functions that tell integer time
CREATE SCHEMA clock;
CREATE FUNCTION clock.now8() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 10000::bigint';
CREATE FUNCTION clock.now4() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10000';
CREATE FUNCTION clock.now2() RETURNS smallint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 10000; END';
CREATE FUNCTION clock.jumpy() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 10000::bigint';
CREATE FUNCTION clock.asked(int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 10000::bigint';
CREATE FUNCTION clock.many() RETURNS SETOF bigint LANGUAGE sql STABLE AS 'SELECT 10000::bigint';
SELECT add_retention_policy('numbers', 1000);
SELECT set_integer_now_func('numbers', 'clock.now4');
SELECT set_integer_now_func('numbers', 'clock.jumpy');
SELECT set_integer_now_func('numbers', 'clock.asked');
SELECT set_integer_now_func('numbers', 'clock.many');
SELECT set_integer_now_func('numbers', NULL);
SELECT set_integer_now_func(NULL, 'clock.now8');
SELECT set_integer_now_func('numbers', 'clock.none');
SELECT set_integer_now_func('points', 'clock.now8');
SELECT set_integer_now_func('numbers_twin', 'clock.now8');
SELECT set_integer_now_func('numbers', 'clock.now8');
SELECT set_integer_now_func('numbers', 'clock.now8');
SELECT set_integer_now_func('numbers', 'clock.now8', replace_if_exists => true);
SELECT set_integer_now_func('ints', 'clock.now4');
SELECT set_integer_now_func('shorts', 'clock.now2');

-- wrong use of policies
SELECT add_retention_policy('points');
SELECT add_retention_policy('points', NULL);
SELECT add_retention_policy(NULL, '1 day');
SELECT add_retention_policy('points', interval '0');
SELECT add_retention_policy('points', '-1 day');
SELECT add_retention_policy('points', '1 month -1 day');
SELECT add_retention_policy('points', 'soon');
SELECT add_retention_policy('points', 5);
SELECT add_retention_policy('points', now());
SELECT add_retention_policy('points', '100000 years');
SELECT add_retention_policy('numbers', interval '1 day');
SELECT add_retention_policy('numbers', '1 day');
SELECT add_retention_policy('numbers', -1);
SELECT add_retention_policy('numbers', 0);
SELECT add_retention_policy('points', '1 day', schedule_interval => '0');
SELECT add_retention_policy('points', '1 day', schedule_interval => '-1 h');
SELECT add_retention_policy('points', '1 day', schedule_interval => '1 month 1 day');
SELECT add_retention_policy('points', '1 day', timezone => 'Nowhere/Nothing');
SELECT add_retention_policy('points_twin', '1 day');
SELECT add_retention_policy('pg_class', '1 day');
CREATE TABLE parted (time timestamptz) PARTITION BY RANGE (time);
SELECT add_retention_policy('parted', '1 day');
DROP TABLE parted;
CREATE VIEW plain_view AS TABLE points;
SELECT add_retention_policy('plain_view', '1 day');
CREATE TABLE timeless (v int) USING tsext;
SELECT add_retention_policy('timeless', '1 day');
CREATE TEMP TABLE passing (time timestamptz) USING tsext;
SELECT add_retention_policy('passing', '1 day');
CREATE TABLE keyed (time timestamptz PRIMARY KEY) USING tsext;
CREATE TABLE pointing (time timestamptz REFERENCES keyed);
SELECT add_retention_policy('keyed', '1 day');
SELECT add_columnstore_policy('points');
SELECT add_columnstore_policy('points', after => '-2 days');
SELECT add_compression_policy('points', compress_after => interval '0');
SELECT add_continuous_aggregate_policy('points', '1 day', '1 hour', '1 hour');
SELECT remove_retention_policy('points');
SELECT remove_retention_policy('points', if_exists => true);
SELECT remove_columnstore_policy('points');
SELECT remove_compression_policy('points', if_exists => true);
SELECT remove_continuous_aggregate_policy('points');
SELECT remove_retention_policy('no_such_table');
SELECT count(*) FROM tsext.jobs WHERE proc_name LIKE 'policy%';

-- The hour must not end between now() here and now() there; nor days and months, which end with an hour.
DO $$ BEGIN
  IF extract(epoch FROM clock_timestamp()) % 3600 > 3540 THEN PERFORM pg_sleep(3601 - extract(epoch FROM clock_timestamp()) % 3600); END IF;
END $$;
-- retention, run by hand
SELECT add_retention_policy('points', '5 days', initial_start => :later) AS points \gset
SELECT add_retention_policy('local', interval '5 days', initial_start => :later) AS local \gset
SELECT add_retention_policy('days', '5 days', initial_start => :later, schedule_interval => '1 hour', timezone => 'Europe/Berlin') AS days \gset
SELECT add_retention_policy('numbers', 2000, initial_start => :later) AS numbers \gset
SELECT add_retention_policy('ints', '2000', initial_start => :later) AS ints \gset
SELECT add_retention_policy('shorts', 2000::smallint, initial_start => :later) AS shorts \gset
SELECT relation, proc_schema, proc_name, schedule_interval, timezone, config FROM tsext.jobs
WHERE proc_name LIKE 'policy%' ORDER BY relation::text;
CALL run_job(:points);
DELETE FROM points_twin WHERE time < date_trunc('day', now() - interval '5 days');
CALL run_job(:local);
DELETE FROM local_twin WHERE time < date_trunc('day', localtimestamp - interval '5 days');
CALL run_job(:days);
DELETE FROM days_twin WHERE time < current_date - 5;
CALL run_job(:numbers);
CALL run_job(:ints);
CALL run_job(:shorts);
DELETE FROM numbers_twin WHERE time < 8000;
DELETE FROM ints_twin WHERE time < 8000;
DELETE FROM shorts_twin WHERE time < 8000;
SELECT differences('points'), differences('local'), differences('days'), differences('numbers'), differences('ints'), differences('shorts');
SELECT count(*) > 0 AS rows_left FROM points;
-- what a run dropped: chunks
SELECT outcome, rows FROM tsext.job_runs WHERE job_id = :numbers;
-- nothing more to do
CALL run_job(:numbers);
SELECT outcome, rows FROM tsext.job_runs WHERE job_id = :numbers ORDER BY run_id;
SELECT differences('numbers');

-- the same again: the same job
\set VERBOSITY terse
SELECT add_retention_policy('points', '5 days', if_not_exists => true, initial_start => :later) = :points AS same;
SELECT add_retention_policy('points', '6 days', if_not_exists => true, initial_start => :later) = :points AS same;
SELECT config FROM tsext.jobs WHERE job_id = :points;
SELECT add_retention_policy('points', '6 days', initial_start => :later);
\set VERBOSITY default

-- not in a transaction block, not from a function, not for another job
BEGIN;
CALL tsext.policy_retention(:points, '{"drop_after": "5 days"}');
ROLLBACK;
DO $$ BEGIN PERFORM 1; CALL tsext.policy_retention(0, '{"drop_after": "5 days"}'); END $$;
CALL tsext.policy_retention(NULL, '{}');
CALL tsext.policy_retention(0, NULL);
CALL tsext.policy_retention(:points, '{}');
CALL tsext.policy_retention(:points, '[]');
CALL tsext.policy_retention(:points, '{"drop_after": 7}');
CALL tsext.policy_retention(:points, '{"drop_after": {"days": 7}}');
CALL tsext.policy_retention(:points, '{"drop_after": "-7 days"}');
CALL tsext.policy_retention(:numbers, '{"drop_after": "7 days"}');

-- a config is checked when it is changed
SELECT config FROM alter_job(:points, config => '{}');
SELECT config FROM alter_job(:points, config => '{"drop_afer": "7 days"}');
SELECT config FROM alter_job(:points, config => '{"drop_after": "7 days", "where": "true"}');
SELECT config FROM alter_job(:points, config => '{"drop_after": null}');
SELECT config FROM alter_job(:points, config => '{"drop_after": "-7 days"}');
SELECT config FROM alter_job(:points, config => '{"drop_after": "7 das"}');
SELECT config FROM alter_job(:points, config => '{"drop_after": true}');
SELECT config FROM alter_job(:points, config => '["drop_after"]');
SELECT config FROM alter_job(:numbers, config => '{"drop_after": 0}');
SELECT config FROM alter_job(:numbers, config => '{"drop_after": "2000"}');

-- names change, policies stay
ALTER TABLE numbers RENAME TO numerals;
ALTER TABLE numbers_twin RENAME TO numerals_twin;
ALTER FUNCTION clock.now8() RENAME TO now_of_numerals;
ALTER SCHEMA clock RENAME TO clocks;
INSERT INTO numerals VALUES (5, 'late', 1);
CALL run_job(:numbers);
SELECT differences('numerals');
SELECT relation, function FROM tsext.integer_now ORDER BY relation::text;
SELECT relation, config FROM tsext.jobs WHERE job_id = :numbers;
-- settings of the session do not matter
SET intervalstyle = 'iso_8601';
SET default_transaction_isolation = 'serializable';
SELECT alter.config FROM alter_job(:points, config => '{"drop_after": "4 days"}') AS alter;
CALL run_job(:points);
RESET intervalstyle;
RESET default_transaction_isolation;
DELETE FROM points_twin WHERE time < date_trunc('day', now() - interval '4 days');
SELECT differences('points');

-- without its function, or with another that fails
CREATE OR REPLACE FUNCTION clocks.now4() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT NULL::int';
CALL tsext.policy_retention(:ints, '{"drop_after": 2000}');
CREATE OR REPLACE FUNCTION clocks.now4() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 10000';
CALL tsext.policy_retention(:ints, '{"drop_after": 2000}');
CREATE OR REPLACE FUNCTION clocks.now4() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1 / 0';
CALL tsext.policy_retention(:ints, '{"drop_after": 2000}');
DROP FUNCTION clocks.now4();
CALL tsext.policy_retention(:ints, '{"drop_after": 2000}');
\set VERBOSITY terse
CALL run_job(:ints);
\set VERBOSITY default
SELECT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = :ints ORDER BY run_id DESC LIMIT 1;
CREATE FUNCTION clocks.new4() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10100';
SELECT set_integer_now_func('ints', 'clocks.new4', replace_if_exists => true);
CALL run_job(:ints);
DELETE FROM ints_twin WHERE time < 8100;
SELECT differences('ints');

-- chunks of automatic width span long times where there are few rows: they are cut
CREATE TABLE sparse (time timestamptz, host text, v int) USING tsext;
CREATE TABLE sparse_twin (LIKE sparse) USING heap;
INSERT INTO sparse_twin SELECT date_trunc('hour', now()) - g * interval '3 hours', 'h' || g % 3, g FROM generate_series(0, 1599) g;
INSERT INTO sparse_twin VALUES ('-infinity', 'ever', 0), ('infinity', 'ever', 0), (NULL, 'never', 0);
INSERT INTO sparse TABLE sparse_twin;
SELECT rows_moved > 0 AS moved FROM tsext.compact('sparse');
SELECT count(DISTINCT chunk_start) < 10 AS wide FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'sparse');
INSERT INTO sparse SELECT time, 'more', -v FROM sparse_twin WHERE v % 20 = 1;
INSERT INTO sparse_twin SELECT time, 'more', -v FROM sparse_twin WHERE v % 20 = 1;
SELECT add_retention_policy('sparse', '30 days', initial_start => :later) AS sparse \gset
CALL run_job(:sparse);
DELETE FROM sparse_twin WHERE time < date_trunc('day', now() - interval '30 days') AND isfinite(time);
SELECT differences('sparse');
SELECT outcome, rows > 0 AS some FROM tsext.job_runs WHERE job_id = :sparse;
DROP TABLE sparse, sparse_twin;
\set day 86400000000::bigint
CREATE TABLE sparse (time bigint, v int) USING tsext WITH (tsext.time_column = time);
CREATE TABLE sparse_twin (LIKE sparse) USING heap;
INSERT INTO sparse_twin SELECT 400 * :day - g * :day / 8, g FROM generate_series(1, 1599) g;
INSERT INTO sparse_twin VALUES (NULL, 0);
INSERT INTO sparse TABLE sparse_twin;
SELECT rows_moved FROM tsext.compact('sparse');
SELECT chunk_start / :day AS first_day, chunk_end / :day AS last_day, sum(nrows) AS rows FROM tsext.segment
WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'sparse') GROUP BY 1, 2 ORDER BY 1;
CREATE FUNCTION clocks.day400() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 400 * 86400000000';
SELECT set_integer_now_func('sparse', 'clocks.day400');
SELECT add_retention_policy('sparse', 30 * :day, initial_start => :later) AS sparse \gset
CALL run_job(:sparse);
SELECT rows FROM tsext.job_runs WHERE job_id = :sparse;
DELETE FROM sparse_twin WHERE time < 370 * :day;
SELECT differences('sparse');
-- not for a day more of so many
SELECT count(*) FROM alter_job(:sparse, config => jsonb_build_object('drop_after', 29 * :day));
CALL run_job(:sparse);
SELECT differences('sparse');
SELECT count(*) FROM alter_job(:sparse, config => jsonb_build_object('drop_after', 28 * :day));
CALL run_job(:sparse);
DELETE FROM sparse_twin WHERE time < 372 * :day;
SELECT differences('sparse');
SELECT rows FROM tsext.job_runs WHERE job_id = :sparse ORDER BY run_id;
-- drop_chunks takes whole chunks only
SELECT drop_chunks('sparse', older_than => 380 * :day);
DROP TABLE sparse, sparse_twin;

-- columnstore
CREATE FUNCTION levels(relation regclass) RETURNS TABLE (level smallint, chunks bigint) LANGUAGE sql AS $$
  SELECT level, count(DISTINCT chunk_start) FROM tsext.segment
  WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = relation) GROUP BY 1 ORDER BY 1 $$;
CALL make('cool', 'bigint', '100', '(10000 - g * 10)');
SELECT set_integer_now_func('cool', 'clocks.now_of_numerals');
SELECT * FROM levels('cool');
SELECT add_columnstore_policy('cool', 1000, initial_start => :later) AS cool \gset
SELECT schedule_interval, config FROM tsext.jobs WHERE job_id = :cool;
SET default_transaction_isolation = 'repeatable read';
CALL run_job(:cool);
RESET default_transaction_isolation;
SELECT * FROM levels('cool');
SELECT differences('cool');
SELECT outcome, rows > 0 AS wrote FROM tsext.job_runs WHERE job_id = :cool;
CALL run_job(:cool);
SELECT * FROM levels('cool');
SELECT rows > 0 AS wrote FROM tsext.job_runs WHERE job_id = :cool ORDER BY run_id;
-- a chunk that was decompressed by hand stays so
SELECT count(decompress_chunk(c)) FROM (SELECT * FROM show_chunks('cool') c ORDER BY length(c), c LIMIT 1) c;
CALL run_job(:cool);
SELECT sum(chunks) FROM levels('cool');
SELECT differences('cool');
-- also when chunks before it are dropped
SELECT chunk_start, chunk_end FROM tsext.chunk_hold WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'cool');
SELECT drop_chunks('cool', older_than => 7650);
SELECT chunk_start, chunk_end FROM tsext.chunk_hold WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'cool');
SELECT drop_chunks('cool', older_than => 7700);
SELECT chunk_start, chunk_end FROM tsext.chunk_hold WHERE store = (SELECT reltoastrelid FROM pg_class WHERE relname = 'cool');
DELETE FROM cool_twin WHERE time < 7700;
SELECT differences('cool');
SELECT add_compression_policy('cool', compress_after => 1000, initial_start => :later) = :cool AS same;
SELECT remove_compression_policy('cool');
SELECT count(*) FROM tsext.jobs WHERE relation = 'cool'::regclass;
SELECT add_compression_policy('points', compress_after => interval '1 day', initial_start => :later) AS compression \gset
CALL run_job(:compression);
SELECT differences('points');
SELECT level FROM levels('points') WHERE level = 2;
-- a table that stays hot
SELECT add_columnstore_policy('keyed', interval '1 day', initial_start => :later) AS keyed \gset
CALL run_job(:keyed);

-- rights
CREATE ROLE tsext_stranger;
CREATE ROLE tsext_keeper;
GRANT USAGE ON SCHEMA clocks TO tsext_keeper, tsext_stranger;
ALTER TABLE shorts OWNER TO tsext_keeper;
-- a policy goes with its table to another owner, whoever made it; other jobs stay where they are
CREATE TABLE given (time timestamptz PRIMARY KEY, v text) USING tsext;
SELECT add_retention_policy('given', '1 day', initial_start => :later) AS given \gset
ALTER TABLE given ALTER v SET STORAGE external;
ALTER TABLE given OWNER TO tsext_keeper;
SELECT owner, relation FROM tsext.jobs WHERE job_id = :given;
SELECT owner = current_user AS mine FROM tsext.jobs WHERE job_id = :points;
SELECT count(*) FROM pg_shdepend WHERE objid = 'tsext.job'::regclass AND refobjid = 'tsext_keeper'::regrole;
GRANT CREATE ON SCHEMA public TO tsext_stranger;
ALTER TABLE given OWNER TO tsext_stranger, ALTER v SET STATISTICS 10, OWNER TO tsext_keeper;
SELECT owner FROM tsext.jobs WHERE job_id = :given;
SELECT count(*) FROM pg_shdepend WHERE objid = 'tsext.job'::regclass AND refobjid = 'tsext_stranger'::regrole;
SET ROLE tsext_keeper;
SELECT scheduled FROM alter_job(:given, scheduled => true);
RESET ROLE;
REASSIGN OWNED BY tsext_keeper TO tsext_stranger;
SELECT owner FROM tsext.jobs WHERE job_id = :given;
-- reassigned with the table, although the job is somebody else's
UPDATE tsext.job SET owner = CURRENT_USER::regrole WHERE id = :given;
REASSIGN OWNED BY tsext_stranger TO tsext_keeper;
SELECT owner FROM tsext.jobs WHERE job_id = :given;
REVOKE CREATE ON SCHEMA public FROM tsext_stranger;
DROP TABLE given;
SET ROLE tsext_stranger;
SELECT add_retention_policy('points', '1 day');
SELECT add_columnstore_policy('points', after => '1 day');
SELECT remove_retention_policy('points');
SELECT set_integer_now_func('numerals', 'clocks.now_of_numerals', true);
CALL tsext.policy_retention(:points, '{"drop_after": "1 day"}');
CALL tsext.policy_columnstore(:compression, '{"after": "1 day"}');
SELECT count(*) FROM tsext.jobs WHERE job_id IN (:points, :compression);
RESET ROLE;
REVOKE EXECUTE ON FUNCTION clocks.now2() FROM PUBLIC;
SELECT set_integer_now_func('shorts', 'clocks.now2', replace_if_exists => true);
-- the function runs with the rights of the table's owner, whoever runs the policy
CREATE FUNCTION clocks.telling() RETURNS smallint LANGUAGE plpgsql STABLE AS
  $$ BEGIN RAISE NOTICE 'told by %', current_user; RETURN 10000; END $$;
SELECT set_integer_now_func('shorts', 'clocks.telling', replace_if_exists => true);
CALL run_job(:shorts);
SET ROLE tsext_keeper;
SELECT remove_retention_policy('shorts');
SELECT add_retention_policy('shorts', 1500, initial_start => :later) AS shorts \gset
CALL run_job(:shorts);
RESET ROLE;
DELETE FROM shorts_twin WHERE time < 8500;
SELECT differences('shorts');
SELECT owner FROM tsext.jobs WHERE job_id = :shorts;

-- policies go with their table
DROP TABLE points, shorts CASCADE;
SELECT count(*) FROM tsext.jobs WHERE job_id IN (:points, :compression, :shorts);
SELECT remove_retention_policy('local');
SELECT remove_retention_policy('days');
SELECT remove_retention_policy('numerals');
SELECT remove_retention_policy('ints');
SELECT remove_columnstore_policy('keyed');
SELECT count(*) FROM tsext.jobs WHERE proc_name LIKE 'policy%';
DROP TABLE local, days, numerals, ints, cool, keyed, pointing, timeless;
DROP TABLE points_twin, local_twin, days_twin, numerals_twin, ints_twin, shorts_twin, cool_twin;
-- rows of tables that are gone go when the next function is named
CREATE TABLE numbers (time bigint) USING tsext WITH (tsext.time_column = time);
SELECT set_integer_now_func('numbers', 'clocks.now_of_numerals');
SELECT relation, function FROM tsext.integer_now;
DROP TABLE numbers;
DROP SCHEMA clocks CASCADE;
DROP PROCEDURE make;
DROP FUNCTION differences, levels;
DROP ROLE tsext_stranger, tsext_keeper;
