-- Jobs: add_job(), alter_job(), delete_job(), run_job() and the views, without the scheduler.
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SELECT setval('tsext.job_id', 2000, false);
SET client_min_messages = warning;
CREATE ROLE job_alice;
CREATE ROLE job_bob;
GRANT CREATE ON SCHEMA public TO job_alice;
RESET client_min_messages;
CREATE TABLE job_log (n serial, job int, config jsonb, who text);
GRANT INSERT, SELECT ON job_log TO PUBLIC;
GRANT USAGE ON SEQUENCE job_log_n_seq TO PUBLIC;
CREATE PROCEDURE job_note(job_id int, config jsonb) LANGUAGE sql AS
  $$ INSERT INTO job_log (job, config, who) VALUES (job_id, config, current_user) $$;

-- The built-in job.
SELECT job_id, job_name, owner = current_user AS is_mine, proc_schema, proc_name, scheduled, config FROM tsext.jobs WHERE job_id < 1000;
SELECT schedule_interval = current_setting('tsext.compact_naptime')::interval AS follows_the_setting FROM tsext.jobs WHERE job_id = 1;
SELECT delete_job(1);
SELECT alter_job(1, schedule_interval => '1 hour');
SELECT job_id, scheduled FROM alter_job(1, scheduled => false);
SELECT job_id, scheduled FROM alter_job(1, scheduled => true);

-- A job has what it was given, and defaults.
SELECT add_job('job_note', '1 day', initial_start => '2300-01-31 03:00', timezone => 'Europe/Berlin', config => '{"a": 1}', job_name => 'nightly');
SELECT * FROM tsext.jobs WHERE job_id = 2000 \gx
SELECT add_job('job_note', '30 s', scheduled => false, fixed_schedule => false) AS id;
SELECT job_name, schedule_interval, scheduled, fixed_schedule, initial_start, timezone, retry_period, next_start <= now() + interval '1 s' AS at_once
FROM tsext.jobs WHERE job_id = 2001;

-- What is refused.
SELECT add_job(NULL, '1 day');
SELECT add_job('job_note', NULL);
SELECT add_job('job_note', '0');
SELECT add_job('job_note', '-1 day');
SELECT add_job('job_note', '1 day -2 hours');
SELECT add_job('job_note', '1 month 1 day');
SELECT add_job('job_note', '1 month 1 hour');
SELECT add_job('job_note', '20000 years');
SELECT add_job('job_note', '1 day', timezone => 'Mars/Phobos');
SELECT add_job('job_note', '1 day', initial_start => 'infinity');
SELECT add_job('no_such_procedure', '1 day');
SELECT add_job('lower', '1 day');
SELECT add_job(0, '1 day');
CREATE FUNCTION job_set(job_id int, config jsonb) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
SELECT add_job('job_set', '1 day');
CREATE PROCEDURE job_out(job_id int, config jsonb, OUT n int) LANGUAGE sql AS 'SELECT 1';
SELECT add_job('job_out', '1 day');
SELECT alter_job(NULL);
SELECT alter_job(77);
SELECT alter_job(77, if_exists => true);
SELECT alter_job(2000, schedule_interval => '0');
SELECT alter_job(2000, max_runtime => '-1 s');
SELECT alter_job(2000, max_retries => -2);
SELECT alter_job(2000, retry_period => '0');
SELECT alter_job(2000, timezone => 'nowhere');
SELECT delete_job(77);
CALL run_job(77);
CALL run_job(NULL);

-- alter_job() returns the new settings and leaves the others.
SELECT * FROM alter_job(2000, max_runtime => '1 hour', max_retries => 3, retry_period => '10 min', config => '{"a": 2}') \gx
SELECT schedule_interval, next_start > now() AS is_later, timezone FROM alter_job(2000, schedule_interval => '1 month', initial_start => '2024-01-31 00:00');
SELECT next_start FROM alter_job(2000, next_start => '2200-01-01 00:00');
SELECT job_id, scheduled FROM alter_job(2000, scheduled => false);

-- The next start on a grid: months from the beginning, days at the local hour, starts that were missed are skipped.
CREATE FUNCTION job_next(step interval, start timestamptz, zone text, after timestamptz, fixed bool DEFAULT true)
RETURNS timestamptz LANGUAGE sql AS $$ SELECT tsext.job_next_start(step, start, zone, after, fixed) $$;
SELECT job_next('1 month', '2024-01-31 00:00', NULL, '2024-02-01'), job_next('1 month', '2024-01-31 00:00', NULL, '2024-02-29'),
  job_next('1 month', '1924-01-31 00:00', NULL, '2024-04-15');
SELECT job_next('1 day', '2024-03-01 02:30+01', 'Europe/Berlin', '2024-03-30 10:00') AT TIME ZONE 'Europe/Berlin' AS put_forward,
  job_next('1 day', '2024-03-01 12:00+01', 'Europe/Berlin', '2024-03-31 12:00') AT TIME ZONE 'Europe/Berlin' AS summer,
  job_next('1 day', '2024-03-01 12:00+01', 'Europe/Berlin', '2024-12-31 12:00') AT TIME ZONE 'Europe/Berlin' AS winter,
  job_next('24 hours', '2024-03-01 12:00+01', 'Europe/Berlin', '2024-03-31 12:00') AT TIME ZONE 'Europe/Berlin' AS by_hours;
SELECT job_next('7 s', '2000-01-01', NULL, '2024-01-01') - '2024-01-01' < interval '7 s' AS soon,
  extract(epoch FROM job_next('7 s', '2000-01-01', NULL, '2024-01-01') - '2000-01-01')::bigint % 7 AS on_the_grid,
  job_next('1 hour', '2024-01-01 00:30', NULL, '2024-01-01 00:30') AS after_itself,
  job_next('1 hour', '2030-01-01 00:30', NULL, '2024-01-01 00:30') AS not_yet,
  job_next('1 hour', '2020-01-01', NULL, '2024-01-01 00:30:05', false) AS drifting;
SELECT job_next('1 s', '1990-01-01', NULL, 'infinity');
SELECT job_next('1 s', '1990-01-01', NULL, '-infinity', false);
SELECT job_next('1 day', '1990-01-01', NULL, 'infinity');
SELECT job_next('1 s', '4000-01-01 BC', NULL, '294276-12-31');

-- Runs by hand: in this session, with its rights.
CALL run_job(2000);
CALL run_job(2001);
SELECT job, config, who = session_user AS by_me FROM job_log ORDER BY n;
SELECT job_id, job_name, outcome, sqlstate, message, finished >= started AS is_finished FROM tsext.job_runs WHERE job_id >= 2000 ORDER BY run_id;
SELECT job_id, runs, failures, last_outcome FROM tsext.jobs WHERE job_id >= 2000 ORDER BY 1;
CREATE PROCEDURE job_commits(job_id int, config jsonb) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..3 LOOP
    INSERT INTO job_log (job, config, who) VALUES (job_id, to_jsonb(i), current_user);
    IF i % 2 = 1 THEN COMMIT; ELSE ROLLBACK; END IF;
  END LOOP;
END $$;
SELECT add_job('job_commits', '1 hour', scheduled => false) AS id \gset
CALL run_job(:id);
SELECT config FROM job_log WHERE job = :id ORDER BY n;
BEGIN;
CALL run_job(:id);
ROLLBACK;
SELECT outcome FROM tsext.job_runs WHERE job_id = :id;
CREATE FUNCTION job_function(job_id int, config jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO job_log (job, who) VALUES (job_id, 'function') $$;
SELECT add_job('job_function', '1 hour', scheduled => false) AS function_id \gset
CALL run_job(:function_id);
SELECT who FROM job_log WHERE job = :function_id;
-- A procedure that is gone is named, and the lock of a failed run is free.
DROP FUNCTION job_function;
CALL run_job(:function_id);
CREATE FUNCTION job_function(job_id int, config jsonb) RETURNS void LANGUAGE sql AS $$ SELECT $$;
CALL run_job(:function_id);
CALL run_job(1);
-- Not from within itself.
CREATE PROCEDURE job_recursive(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN CALL run_job(job_id); END $$;
SELECT add_job('job_recursive', '1 hour', scheduled => false) AS recursive_id \gset
CALL run_job(:recursive_id);
BEGIN;
CALL run_job(:recursive_id);
ROLLBACK;
BEGIN;
CALL run_job(:function_id);
CALL run_job(:function_id);
ROLLBACK;

-- A check of the configuration.
CREATE FUNCTION job_check(config jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN IF config->>'a' IS NULL THEN RAISE EXCEPTION 'config has no "a"' USING ERRCODE = '22023'; END IF; END $$;
SELECT add_job('job_note', '1 hour', config => '{"b": 1}', check_config => 'job_check', scheduled => false);
SELECT add_job('job_note', '1 hour', config => '{"a": 1}', check_config => 'job_check', scheduled => false) AS checked_id \gset
SELECT alter_job(:checked_id, config => '{}');
SELECT config, check_config FROM alter_job(:checked_id, config => '{"a": 5}');
SELECT alter_job(:checked_id, check_config => 'job_set');
-- It has the rights of the job's owner, whoever changes the job.
CREATE FUNCTION job_check_who(config jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'checked by %', current_user; END $$;
SET ROLE job_bob;
SELECT add_job('job_note', '1 hour', config => '{}', check_config => 'job_check_who', scheduled => false) AS bobs_id \gset
RESET ROLE;
SELECT config FROM alter_job(:bobs_id, config => '{"a": 1}');
SELECT check_config FROM alter_job(:bobs_id, check_config => 'job_check_who');
SELECT delete_job(:bobs_id);

-- Rights: jobs belong to who made them.
SET ROLE job_alice;
CREATE PROCEDURE job_alices(job_id int, config jsonb) LANGUAGE sql AS $$ INSERT INTO job_log (job, who) VALUES (job_id, current_user) $$;
REVOKE EXECUTE ON PROCEDURE job_alices FROM PUBLIC;
SELECT add_job('job_alices', '1 hour', scheduled => false, job_name => 'of alice') AS alices_id \gset
CALL run_job(:alices_id);
RESET ROLE;
-- In this session it would have the rights of a superuser, or of another member of its owner's role.
CALL run_job(:alices_id);
DO 'DECLARE id int := job_id FROM tsext.jobs WHERE job_name = ''of alice''; BEGIN CALL run_job(id); END';
GRANT job_alice TO job_bob;
SET ROLE job_bob;
CALL run_job(:alices_id);
RESET ROLE;
REVOKE job_alice FROM job_bob;
SELECT who, count(*) FROM job_log WHERE job = :alices_id GROUP BY who;
SET ROLE job_alice;
SELECT job_name, owner FROM tsext.jobs;
SELECT job_name, owner, outcome FROM tsext.job_runs;
-- Runs are known by the name that the role had; they stay its own.
RESET ROLE;
ALTER ROLE job_alice RENAME TO job_alicia;
CREATE ROLE job_alice;
SET ROLE job_alicia;
SELECT job_name, owner, outcome FROM tsext.job_runs;
SET ROLE job_alice;
SELECT job_name, owner, outcome FROM tsext.job_runs;
RESET ROLE;
DROP ROLE job_alice;
ALTER ROLE job_alicia RENAME TO job_alice;
SET ROLE job_alice;
SELECT alter_job(2000, scheduled => true);
SELECT delete_job(2000);
CALL run_job(2000);
INSERT INTO tsext.job SELECT * FROM tsext.job;
SELECT * FROM tsext.job_state;
RESET ROLE;
SET ROLE job_bob;
SELECT count(*) FROM tsext.jobs;
SELECT add_job('job_alices', '1 hour');
RESET ROLE;
GRANT job_alice TO job_bob;
SET ROLE job_bob;
SELECT job_name FROM tsext.jobs;
SELECT scheduled FROM alter_job(:alices_id, max_retries => 1);
RESET ROLE;
REVOKE job_alice FROM job_bob;

-- A role with jobs is not dropped; DROP OWNED and REASSIGN OWNED see to them.
REVOKE CREATE ON SCHEMA public FROM job_alice;
DROP PROCEDURE job_alices;
DROP ROLE job_alice;
REASSIGN OWNED BY job_alice TO job_bob;
SELECT owner FROM tsext.jobs WHERE job_id = :alices_id;
DROP ROLE job_alice;
DROP ROLE job_bob;
DROP OWNED BY job_bob;
SELECT count(*) FROM tsext.jobs WHERE job_id = :alices_id;
DROP ROLE job_bob;

-- A restored job holds its owner's role as well.
CREATE ROLE job_carol;
INSERT INTO tsext.job SELECT 5000, name, 'job_carol'::regrole, proc_schema, proc_name, relation, schedule_interval, max_runtime, max_retries,
  retry_period, scheduled, fixed_schedule, initial_start, timezone, config, check_schema, check_name FROM tsext.job WHERE id = 2000;
DROP ROLE job_carol;
SELECT delete_job(5000);
DROP ROLE job_carol;

-- delete_job() keeps what the job has done.
SELECT delete_job(2000);
SELECT count(*) FROM tsext.jobs WHERE job_id = 2000;
SELECT count(*) FROM tsext.job_state WHERE job = 2000;
SELECT count(*) FROM tsext.job_runs WHERE job_id = 2000;
SELECT delete_job(2000);
SELECT delete_job(job_id) FROM tsext.jobs WHERE job_id > 2000 ORDER BY job_id;
DROP TABLE job_log;
DROP PROCEDURE job_note, job_commits, job_recursive;
DROP FUNCTION job_set, job_function, job_next, job_check;
