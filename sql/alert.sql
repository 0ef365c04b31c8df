SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\set SHOW_CONTEXT never
-- Alert rules. The clock of a test is a table that queries read, and the superuser who moves an instance's since.
SET client_min_messages = warning;
CREATE ROLE alert_owner LOGIN;
CREATE ROLE alert_other LOGIN;
RESET client_min_messages;
-- No worker comes between: only run_job() evaluates.
CREATE FUNCTION paused(job int) RETURNS int LANGUAGE sql AS 'SELECT job_id FROM public.alter_job(job, scheduled => false)';
CREATE TABLE alert_load (host text, usage float8);
GRANT SELECT ON alert_load TO alert_owner;
CREATE PROCEDURE set_load(VARIADIC entries text[]) LANGUAGE sql AS
$$ DELETE FROM alert_load;
   INSERT INTO alert_load SELECT split_part(e, '=', 1), nullif(split_part(e, '=', 2), '')::float8 FROM unnest(entries) e WHERE e <> '' $$;
-- What is to be seen of instances, and changes since the last look.
CREATE VIEW seen AS
  SELECT name, labels, state, value, missing_since IS NOT NULL AS missing, last_error FROM tsext.alerts ORDER BY name, labels;
CREATE FUNCTION news() RETURNS TABLE (name text, labels jsonb, previous text, state text, value numeric, sqlstate text, message text)
LANGUAGE sql AS $$
  WITH gone AS (DELETE FROM tsext.alert_event RETURNING *)
  SELECT alert, labels, previous, state, value, sqlstate, message FROM gone ORDER BY alert, labels, at $$;
CREATE PROCEDURE shift(by interval) LANGUAGE sql AS
  $$ UPDATE tsext.alert_instance SET since = since - by, missing_since = missing_since - by $$;

-- One instance for each label set; without a for_duration they fire at once.
CALL set_load('a=95', 'b=50');
SELECT paused(tsext.create_alert('cpu', 'SELECT host, usage AS value FROM alert_load', 'value > 90')) AS cpu \gset
SELECT name, owner = current_user AS mine, labels, state, since, value, evaluated_at, query, condition, for_duration, every,
  notify_channel, no_data, enabled, job_id = :cpu AS job FROM tsext.alerts;
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();
SELECT job_name, schedule_interval, max_runtime, config FROM tsext.jobs WHERE job_id = :cpu;
-- Nothing new, no change, and rows that are as they were are not written again.
SELECT string_agg(ctid::text, ' ' ORDER BY id) AS before FROM tsext.alert_instance \gset
CALL run_job(:cpu);
SELECT * FROM news();
SELECT string_agg(ctid::text, ' ' ORDER BY id) = :'before' AS untouched FROM tsext.alert_instance;
CALL set_load('a=96', 'b=91.5', 'c=1');
CALL run_job(:cpu);
CALL set_load('a=20', 'b=99', 'c=1');
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();
-- It fires again; a day after being resolved it is inactive, which is no news.
CALL set_load('a=97', 'b=1', 'c=1');
CALL run_job(:cpu);
SELECT * FROM news();
CALL shift('1 day');
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();

-- keep: what has no data stays as it is, and is forgotten after a day unless it fires.
CALL set_load('a=', 'c=');
CALL run_job(:cpu);
SELECT * FROM seen;
CALL set_load('');
CALL run_job(:cpu);
SELECT * FROM seen;
CALL shift('1 day');
CALL run_job(:cpu);
SELECT * FROM seen;
CALL set_load('a=10');
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();

-- resolve
CALL set_load('a=99', 'b=99');
CALL run_job(:cpu);
SELECT tsext.alter_alert('cpu', no_data => 'resolve');
CALL set_load('a=');
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();

-- fire
SELECT tsext.alter_alert('cpu', no_data => 'fire', for_duration => '10 min');
CALL set_load('b=1');
CALL run_job(:cpu);
SELECT * FROM seen;
CALL shift('11 min');
CALL run_job(:cpu);
CALL set_load('a=1', 'b=');
CALL run_job(:cpu);
SELECT * FROM seen;
SELECT * FROM news();

-- A query that returns nothing at all has one instance without labels, until it returns rows.
SELECT tsext.drop_alert('cpu');
CALL set_load('');
SELECT paused(tsext.create_alert('silence', 'SELECT host, usage AS value FROM alert_load', 'value > 90', no_data => 'fire')) AS silence \gset
CALL run_job(:silence);
CALL run_job(:silence);
SELECT * FROM seen;
CALL set_load('a=1');
CALL run_job(:silence);
SELECT * FROM seen;
CALL shift('1 day');
CALL run_job(:silence);
SELECT * FROM seen;
SELECT * FROM news();
SELECT tsext.drop_alert('silence');

-- Pending: as long as for_duration says, counted anew when the condition does not hold once.
CALL set_load('a=95');
SELECT paused(tsext.create_alert('slow', 'SELECT host, usage AS value FROM alert_load', 'value > 90', '10 minutes', '30 s', 'ops', 'keep')) AS slow \gset
CALL run_job(:slow);
CALL shift('9 min');
CALL run_job(:slow);
SELECT * FROM seen;
CALL set_load('a=5');
CALL run_job(:slow);
CALL set_load('a=95');
CALL run_job(:slow);
CALL shift('9 min');
CALL run_job(:slow);
SELECT * FROM news();
CALL shift('1 min');
CALL run_job(:slow);
SELECT * FROM news();
-- A clock that was set back: the wait begins anew and does not end early.
CALL set_load('a=5');
CALL run_job(:slow);
CALL set_load('a=95');
CALL run_job(:slow);
CALL shift('-2 hours');
SELECT since > now() AS in_the_future FROM tsext.alerts;
CALL run_job(:slow);
SELECT state, since <= now() AS counted_anew FROM tsext.alerts;
CALL shift('9 min');
CALL run_job(:slow);
SELECT state FROM tsext.alerts;
CALL shift('1 min');
CALL run_job(:slow);
SELECT * FROM news();

-- An error of the query: noted, told once, no state changes; the run fails.
ALTER TABLE alert_load RENAME TO alert_gone;
CALL run_job(:slow);
SELECT error_since AS first_error FROM tsext.alerts \gset
CALL run_job(:slow);
SELECT state, error_since = :'first_error' AS since_then, evaluated_at > error_since AS later, error_sqlstate, last_error FROM tsext.alerts;
SELECT * FROM news();
ALTER TABLE alert_gone RENAME TO alert_load;
CALL run_job(:slow);
SELECT state, error_since, error_sqlstate, last_error FROM tsext.alerts;
SELECT * FROM news();
CALL set_load('a=1', 'a=2');
CALL run_job(:slow);
-- In a transaction block it is raised and nothing is noted.
BEGIN;
CALL run_job(:slow);
ROLLBACK;
SELECT last_error FROM tsext.alerts;
SELECT * FROM news();

-- Changes. Another query, or disabling, resolves what fires and forgets all.
CALL set_load('a=99');
CALL run_job(:slow);
SELECT tsext.alter_alert('slow', query => 'SELECT host AS machine, usage AS value FROM alert_load', for_duration => '0', every => '2 min');
-- A run may take as long as the pause is, unless somebody has set another limit.
SELECT schedule_interval, max_runtime FROM tsext.jobs WHERE job_id = :slow;
SELECT tsext.alter_alert('slow', every => '10 s');
SELECT schedule_interval, max_runtime, scheduled FROM tsext.jobs WHERE job_id = :slow;
SELECT max_runtime FROM alter_job(:slow, max_runtime => '5 min');
SELECT tsext.alter_alert('slow', every => '2 min');
SELECT schedule_interval, max_runtime FROM tsext.jobs WHERE job_id = :slow;
SELECT name, labels, state, query, condition, for_duration, every, notify_channel, no_data, enabled FROM tsext.alerts;
SELECT * FROM news();
CALL run_job(:slow);
SELECT tsext.alter_alert('slow', condition => $$value > 90 AND machine <> 'a'$$, notify_channel => 'other', no_data => 'fire');
CALL run_job(:slow);
SELECT * FROM seen;
SELECT tsext.alter_alert('slow', condition => 'value > 90');
CALL run_job(:slow);
SELECT tsext.alter_alert('slow', enabled => false);
SELECT name, labels, state, enabled, notify_channel FROM tsext.alerts;
SELECT * FROM news();
BEGIN;  -- the scheduler keeps out of it
SELECT tsext.alter_alert('slow', enabled => true);
SELECT enabled FROM tsext.alerts;
SELECT paused(:slow) = :slow AS paused;
COMMIT;
-- Without its job an alert is disabled; enabling gives it another.
SELECT delete_job(:slow);
SELECT name, every, enabled, job_id FROM tsext.alerts;
SELECT tsext.alter_alert('slow', every => '1 min');
BEGIN;
SELECT tsext.alter_alert('slow', enabled => true);
SELECT name, every, enabled, job_id > :slow AS another FROM tsext.alerts;
SELECT paused(job_id) > 0 AS paused FROM tsext.alerts;
COMMIT;
SELECT tsext.drop_alert('slow');
SELECT count(*) FROM tsext.alerts;
SELECT (SELECT count(*) FROM tsext.alert_instance) AS instances, (SELECT count(*) FROM tsext.alert_status) AS status,
  (SELECT count(*) FROM tsext.alert_event) AS events, (SELECT count(*) FROM tsext.job WHERE proc_name = 'evaluate_alert') AS jobs;
SELECT tsext.drop_alert('slow');
SELECT tsext.drop_alert('slow', if_exists => true);
SELECT tsext.alter_alert('slow', every => '1 min');
CALL tsext.evaluate_alert(0, '{"alert": "slow"}');
CALL tsext.evaluate_alert(0, '{"alert": 1}');
CALL tsext.evaluate_alert(0, NULL);

-- What a definition must be.
SELECT tsext.create_alert('bad', 'SELEC 1 AS value', 'true');
SELECT tsext.create_alert('bad', '', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value; SELECT 2 AS value', 'true');
SELECT tsext.create_alert('bad', 'DELETE FROM alert_load RETURNING 1 AS value', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value INTO elsewhere', 'true');
SELECT tsext.create_alert('bad', 'WITH d AS (DELETE FROM alert_load RETURNING 1 AS value) SELECT * FROM d', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value) q; DROP TABLE alert_load; --', 'true');
SELECT tsext.create_alert('bad', 'SELECT usage AS value FROM alert_load FOR UPDATE', 'true');
SELECT tsext.create_alert('bad', 'SELECT usage AS value FROM nowhere', 'true');
SELECT tsext.create_alert('bad', 'SELECT usage FROM alert_load', 'true');
SELECT tsext.create_alert('bad', 'SELECT host AS value FROM alert_load', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value, 2 AS value', 'true');
SELECT tsext.create_alert('bad', 'SELECT host, host, 1 AS value FROM alert_load', 'true');
SELECT tsext.create_alert('bad', 'SELECT host, 1 AS value FROM alert_load WHERE host = $1', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'value >');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', '');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'value');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'valeu > 1');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true), (true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true) FROM (SELECT 1 AS value) q; DROP TABLE alert_load; --');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true FROM alert_load');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true, false');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true AS answer');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'DISTINCT true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'bool_or(true) OVER ()');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'generate_series(1, 2) > 1');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'max(value) > 1');
SELECT tsext.create_alert('', 'SELECT 1 AS value', 'true');
SELECT tsext.create_alert(repeat('x', 129), 'SELECT 1 AS value', 'true');
SELECT tsext.create_alert(E'a\nb', 'SELECT 1 AS value', 'true');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', NULL);
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', '-1 min');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', '1 day -1 hour');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', '1 month 1 day');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', '1000 years');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', every => '0');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', every => '10 ms');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', every => '1 month 1 hour');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', notify_channel => '');
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true', no_data => 'panic');
CREATE TEMP TABLE passing (host text, value int);
SELECT tsext.create_alert('bad', 'SELECT * FROM passing', 'true');
DROP TABLE passing;
BEGIN READ ONLY;
SELECT tsext.create_alert('bad', 'SELECT 1 AS value', 'true');
ROLLBACK;
SELECT count(*) FROM tsext.alerts;
SELECT count(*) FROM alert_load;

-- Comments, semicolons, subqueries, labels of any type, NULL labels, values that JSON has no numbers for.
CALL set_load('a=99');
SELECT paused(tsext.create_alert('odd', E'/* all */ SELECT host, usage AS value, 1.50 AS number, NULL::int AS nothing, \'2024-01-01\'::timestamptz AS at FROM alert_load; -- end',
  E'value > /* half of */ (SELECT max(usage) / 2 FROM alert_load) -- so\n')) AS odd \gset
SELECT paused(tsext.create_alert('edge', $$SELECT v::float8 AS value, v FROM unnest('{NaN,Infinity,-Infinity,0.1,1e20}'::text[]) v$$, 'value > 1')) AS edge \gset
SELECT paused(tsext.create_alert('big', 'SELECT 9007199254740993 AS value', 'value = 9007199254740993')) AS big \gset
SET datestyle = 'German';
SET timezone = 'Asia/Tokyo';
CALL run_job(:odd);
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
CALL run_job(:odd);
CALL run_job(:edge);
CALL run_job(:big);
SELECT * FROM seen;
SELECT tsext.create_alert('odd', 'SELECT 1 AS value', 'true');
SELECT * FROM news();
-- Names are found as when the query was written.
CREATE SCHEMA alert_schema;
CREATE TABLE alert_schema.hidden AS SELECT 7 AS value;
SET search_path = alert_schema;
SELECT public.paused(tsext.create_alert('path', 'SELECT value FROM hidden', 'value > 5')) AS path \gset
RESET search_path;
CALL run_job(:path);
SELECT state, value FROM tsext.alerts WHERE name = 'path';
SELECT tsext.alter_alert('path', condition => 'value > 6');
SELECT tsext.alter_alert('path', query => 'SELECT value FROM hidden');
-- Too many, too long.
SELECT paused(tsext.create_alert('many', 'SELECT g AS label, g AS value FROM generate_series(1, 10001) g', 'value < 0')) AS many \gset
CALL run_job(:many);
SELECT tsext.alter_alert('many', query => $$SELECT repeat('x', 9000) AS label, 1 AS value$$);
CALL run_job(:many);
SELECT tsext.alter_alert('many', query => 'SELECT g AS label, g AS value FROM generate_series(1, 10000) g');
CALL run_job(:many);
SELECT count(*), count(DISTINCT labels), sum(value) FROM tsext.alerts WHERE name = 'many';
-- A query may not write, neither itself nor by what it calls.
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO alert_load VALUES ('written', 0); RETURN 1; END $$;
CREATE FUNCTION unlocks() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET transaction_read_only = off; RETURN public.writes(); END $$;
CREATE FUNCTION sets() RETURNS int LANGUAGE sql AS $$ SELECT length(set_config('tsext.enable_scan', 'off', false)) $$;
CREATE FUNCTION notifies() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('never', 'x'); RETURN 1; END $$;
SELECT paused(tsext.create_alert('writer', 'SELECT writes() AS value', 'true')) AS writer \gset
CALL run_job(:writer);
SELECT tsext.alter_alert('writer', query => 'SELECT unlocks() AS value');
CALL run_job(:writer);
SELECT tsext.alter_alert('writer', query => 'SELECT 1 AS value', condition => 'writes() > 0');
CALL run_job(:writer);
SELECT tsext.alter_alert('writer', query => 'SELECT sets() + notifies() AS value', condition => 'true');
LISTEN never;
CALL run_job(:writer);
SHOW tsext.enable_scan;
SHOW transaction_read_only;
SELECT count(*) FROM alert_load WHERE host = 'written';
UNLISTEN never;
SELECT tsext.drop_alert(name) FROM (SELECT DISTINCT name FROM tsext.alerts ORDER BY 1) a;
SELECT * FROM news();

-- Whose alert it is.
SET ROLE alert_owner;
SELECT paused(tsext.create_alert('theirs', 'SELECT host, usage AS value FROM public.alert_load', 'value > 90')) AS theirs \gset
SELECT tsext.create_alert('refused', 'SELECT usename, 1 AS value FROM pg_shadow', 'true');
SELECT name, owner FROM tsext.alerts;
RESET ROLE;
SET ROLE alert_other;
SELECT * FROM tsext.alerts;
SELECT * FROM tsext.alert_history;
SELECT tsext.alter_alert('theirs', condition => 'true');
SELECT tsext.drop_alert('theirs');
SELECT tsext.create_alert('theirs', 'SELECT 1 AS value', 'true');
CALL tsext.evaluate_alert(0, '{"alert": "theirs"}');
INSERT INTO tsext.alert_instance VALUES ('theirs', 1, '{}', 'firing', now());
UPDATE tsext.alert SET owner = 'alert_other';
SELECT * FROM tsext.alert_event;
RESET ROLE;
-- A superuser evaluates with the rights of the owner, who cannot get out of them.
CREATE FUNCTION who() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'as %', current_user; RETURN 1; END $$;
CREATE FUNCTION escapes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; RETURN public.who(); END $$;
CREATE FUNCTION escapes_by_session() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; RETURN public.who(); END $$;
SET ROLE alert_owner;
SELECT tsext.alter_alert('theirs', query => 'SELECT public.who() AS value', condition => 'public.who() > 0');
RESET ROLE;
CALL run_job(:theirs);
SELECT current_user = session_user AS back;
SET ROLE alert_owner;
SELECT tsext.alter_alert('theirs', query => 'SELECT public.escapes() AS value', condition => 'true');
RESET ROLE;
CALL run_job(:theirs);
SET ROLE alert_owner;
SELECT tsext.alter_alert('theirs', query => 'SELECT public.escapes_by_session() AS value');
RESET ROLE;
CALL run_job(:theirs);
SELECT current_user = session_user AS back;
-- Neither when a superuser changes it.
SELECT tsext.alter_alert('theirs', query => 'SELECT usename, 1 AS value FROM pg_shadow');
-- A member may.
GRANT alert_owner TO alert_other;
SET ROLE alert_other;
SELECT name, owner, last_error FROM tsext.alerts;
SELECT tsext.alter_alert('theirs', query => 'SELECT 1 AS value');
CALL run_job(:theirs);
SELECT name, state, value, last_error FROM tsext.alerts;
RESET ROLE;
REVOKE alert_owner FROM alert_other;
REVOKE SELECT ON alert_load FROM alert_owner;
SET ROLE alert_owner;
SELECT tsext.alter_alert('theirs', query => 'SELECT host, usage AS value FROM public.alert_load');
SELECT tsext.drop_alert('theirs');
RESET ROLE;
SELECT count(*) FROM tsext.alerts;
-- REASSIGN OWNED takes alerts along; DROP OWNED takes their jobs.
SET ROLE alert_owner;
SELECT public.paused(tsext.create_alert('moves', 'SELECT 1 AS value', 'true')) AS moves \gset
RESET ROLE;
REASSIGN OWNED BY alert_owner TO alert_other;
DROP OWNED BY alert_owner;
SET ROLE alert_other;
CALL run_job(:moves);
SELECT name, owner, state, enabled FROM tsext.alerts;
SELECT tsext.alter_alert('moves', notify_channel => 'elsewhere');
RESET ROLE;
SELECT owner FROM tsext.alert;
DROP OWNED BY alert_other;
SELECT name, owner, enabled FROM tsext.alerts;
SELECT tsext.drop_alert('moves');

DROP FUNCTION writes, unlocks, sets, notifies, who, escapes, escapes_by_session, news, paused;
DROP PROCEDURE set_load, shift;
DROP VIEW seen;
DROP SCHEMA alert_schema CASCADE;
DROP TABLE alert_load;
DROP ROLE alert_owner, alert_other;
