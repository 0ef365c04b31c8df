-- Jobs: definitions, which pg_dump keeps, and beside them what has happened, which it does not. Written by the functions below
-- and by the workers, beneath privileges and triggers. Readable by everybody as pg_dump needs it for whoever dumps the database.
-- Procedures are kept by name and looked up at each run: a job whose procedure is gone fails, and says so.
CREATE SEQUENCE tsext.job_id AS int4 MINVALUE 1000 START 1000;
CREATE TABLE tsext.job (
  id int4 NOT NULL,                      -- below 1000: built in, made with the extension, not dumped
  name text NOT NULL,
  owner regrole NOT NULL,
  proc_schema name NOT NULL,
  proc_name name NOT NULL,
  relation regclass,                     -- what a policy is for; the job goes when the relation goes
  schedule_interval interval NOT NULL,
  max_runtime interval NOT NULL,         -- 0: no limit
  max_retries int4 NOT NULL,             -- -1: for ever
  retry_period interval NOT NULL,
  scheduled bool NOT NULL,
  fixed_schedule bool NOT NULL,
  initial_start timestamptz,             -- a fixed schedule counts from here
  timezone text,                         -- of steps of days and months; NULL: UTC
  config jsonb,
  check_schema name,
  check_name name,
  CONSTRAINT job_pkey PRIMARY KEY (id)
) USING heap;
CREATE INDEX job_relation ON tsext.job (relation);
COMMENT ON TABLE tsext.job IS 'definitions of jobs (internal; see the view tsext.jobs)';

CREATE TABLE tsext.job_state (
  job int4 NOT NULL,
  next_start timestamptz,                -- NULL: as the schedule says
  last_start timestamptz,
  last_finish timestamptz,
  last_success timestamptz,              -- the finish of the last run that succeeded
  last_outcome text,
  runs int8 NOT NULL,
  failures int8 NOT NULL,                -- runs that failed, timed out, were cancelled or crashed
  crashes int8 NOT NULL,
  consecutive_failures int4 NOT NULL,
  CONSTRAINT job_state_pkey PRIMARY KEY (job)
) USING heap WITH (fillfactor = 20);
COMMENT ON TABLE tsext.job_state IS 'what the scheduler knows of each job (internal; see the view tsext.jobs)';

CREATE SEQUENCE tsext.job_run_id AS int8;
CREATE TABLE tsext.job_run (
  id int8 NOT NULL,
  job int4 NOT NULL,
  job_name text NOT NULL,
  owner name NOT NULL,                   -- by name: it may be dropped meanwhile
  pid int4,
  started timestamptz NOT NULL,
  finished timestamptz,                  -- NULL: runs
  outcome text NOT NULL,                 -- running, succeeded, failed, cancelled, timed out, crashed
  sqlstate text,
  message text,
  rows int8,                             -- as the job told it
  CONSTRAINT job_run_pkey PRIMARY KEY (id)
) USING heap WITH (fillfactor = 70);
CREATE INDEX job_run_job ON tsext.job_run (job, started);
CREATE INDEX job_run_finished ON tsext.job_run (finished);
COMMENT ON TABLE tsext.job_run IS 'runs of jobs in the last 30 days (internal; see the view tsext.job_runs)';

SELECT pg_catalog.pg_extension_config_dump('tsext.job', 'WHERE id >= 1000');
SELECT pg_catalog.pg_extension_config_dump('tsext.job_id', '');
REVOKE ALL ON tsext.job, tsext.job_state, tsext.job_run FROM PUBLIC;
GRANT SELECT ON tsext.job, tsext.job_id TO PUBLIC;

-- Jobs that come by COPY, as a restore brings them, must hold their owner's role too.
CREATE FUNCTION tsext.job_row_written() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_job_row_written';
COMMENT ON FUNCTION tsext.job_row_written() IS 'keeps the roles that own jobs from being dropped (internal)';
REVOKE ALL ON FUNCTION tsext.job_row_written() FROM PUBLIC;
CREATE TRIGGER job_row_written AFTER INSERT OR UPDATE OR DELETE ON tsext.job
  FOR EACH ROW EXECUTE FUNCTION tsext.job_row_written();

CREATE OR REPLACE FUNCTION add_job(
  proc regproc, schedule_interval interval, config jsonb DEFAULT NULL, initial_start timestamptz DEFAULT NULL,
  scheduled bool DEFAULT true, check_config regproc DEFAULT NULL, fixed_schedule bool DEFAULT true,
  timezone text DEFAULT NULL, job_name text DEFAULT NULL)
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_add_job';
COMMENT ON FUNCTION add_job(regproc, interval, jsonb, timestamptz, bool, regproc, bool, text, text) IS
  'runs a procedure (job_id int, config jsonb) on a schedule, as its owner; returns the id of the job';

CREATE OR REPLACE FUNCTION alter_job(
  job_id int, schedule_interval interval DEFAULT NULL, max_runtime interval DEFAULT NULL, max_retries int DEFAULT NULL,
  retry_period interval DEFAULT NULL, scheduled bool DEFAULT NULL, config jsonb DEFAULT NULL,
  next_start timestamptz DEFAULT NULL, if_exists bool DEFAULT false, check_config regproc DEFAULT NULL,
  fixed_schedule bool DEFAULT NULL, initial_start timestamptz DEFAULT NULL, timezone text DEFAULT NULL,
  job_name text DEFAULT NULL)
RETURNS TABLE (
  job_id int, schedule_interval interval, max_runtime interval, max_retries int, retry_period interval, scheduled bool,
  config jsonb, next_start timestamptz, check_config text, fixed_schedule bool, initial_start timestamptz, timezone text,
  job_name text)
LANGUAGE c VOLATILE ROWS 1 PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_alter_job';
COMMENT ON FUNCTION alter_job(int, interval, interval, int, interval, bool, jsonb, timestamptz, bool, regproc, bool,
  timestamptz, text, text) IS 'changes a job; what is NULL stays as it is; returns the new settings';

CREATE OR REPLACE FUNCTION delete_job(job_id int)
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_delete_job';
COMMENT ON FUNCTION delete_job(int) IS 'deletes a job; a run under way goes on to its end';

CREATE OR REPLACE PROCEDURE run_job(job_id int) LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_run_job';
COMMENT ON PROCEDURE run_job(int) IS 'runs a job now, in this session and with its rights';

CREATE OR REPLACE FUNCTION tsext.job_next_start(
  schedule_interval interval, initial_start timestamptz, timezone text, after timestamptz, fixed_schedule bool DEFAULT true)
RETURNS timestamptz LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tsext_job_next_start';
COMMENT ON FUNCTION tsext.job_next_start(interval, timestamptz, text, timestamptz, bool) IS
  'when a job with this schedule starts after a run that ended then';

-- The built-in jobs.
INSERT INTO tsext.job (id, name, owner, proc_schema, proc_name, schedule_interval, max_runtime, max_retries, retry_period,
  scheduled, fixed_schedule)
VALUES (1, 'compaction', CURRENT_USER::regrole, 'tsext', 'compact_tables', '10 s', '0', -1, '10 s', true, false);
CREATE OR REPLACE PROCEDURE tsext.compact_tables(job_id int, config jsonb) LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_compact_tables';
COMMENT ON PROCEDURE tsext.compact_tables(int, jsonb) IS
  'moves hot rows of all tables of the database to segments, as far as the settings ask for it (job 1 does)';
REVOKE ALL ON PROCEDURE tsext.compact_tables(int, jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tsext.job_activity(job_id int, is_due bool)
RETURNS text LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_job_activity';
COMMENT ON FUNCTION tsext.job_activity(int, bool) IS 'what the scheduler does with a job, what a due job waits for (internal)';

-- Every view here is a barrier: a condition of the user never sees a row that the view hides.
CREATE OR REPLACE VIEW tsext.jobs WITH (security_barrier) AS
SELECT j.id AS job_id, j.name AS job_name, pg_catalog.pg_get_userbyid(j.owner) AS owner, j.proc_schema, j.proc_name,
  j.relation,
  CASE WHEN j.id = 1 THEN coalesce(pg_catalog.current_setting('tsext.compact_naptime', true)::interval, j.schedule_interval)
    ELSE j.schedule_interval END AS schedule_interval,
  j.max_runtime, j.max_retries, j.retry_period, j.scheduled, j.fixed_schedule, j.initial_start, j.timezone, j.config,
  s.next_start, s.last_start, s.last_finish, s.last_success, s.last_outcome,
  coalesce(s.runs, 0) AS runs, coalesce(s.failures, 0) AS failures, coalesce(s.crashes, 0) AS crashes,
  coalesce(s.consecutive_failures, 0) AS consecutive_failures,
  coalesce(tsext.job_activity(j.id, j.id <> 1 AND j.scheduled AND coalesce(s.next_start <= pg_catalog.now(), false)),
    CASE WHEN j.scheduled AND (j.id <> 1 OR pg_catalog.current_setting('tsext.compact_background', true) IS DISTINCT FROM 'off')
      THEN 'scheduled' ELSE 'paused' END) AS status
FROM tsext.job j LEFT JOIN tsext.job_state s ON s.job = j.id
WHERE pg_catalog.pg_has_role(j.owner, 'MEMBER') OR pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER');
COMMENT ON VIEW tsext.jobs IS 'jobs of the roles one is a member of, for pg_read_all_stats of all roles';
GRANT SELECT ON tsext.jobs TO PUBLIC;

CREATE OR REPLACE VIEW tsext.job_runs WITH (security_barrier) AS
SELECT r.id AS run_id, r.job AS job_id, r.job_name, r.owner, r.pid, r.started, r.finished, r.outcome, r.sqlstate, r.message,
  r.rows
FROM tsext.job_run r
LEFT JOIN tsext.job j ON j.id = r.job
WHERE pg_catalog.pg_has_role('pg_read_all_stats', 'MEMBER')
  OR pg_catalog.pg_has_role(coalesce(j.owner, (SELECT a.oid FROM pg_catalog.pg_roles a WHERE a.rolname = r.owner)), 'MEMBER');
COMMENT ON VIEW tsext.job_runs IS 'runs of the last 30 days of jobs of the roles one is a member of, for pg_read_all_stats of all roles';
GRANT SELECT ON tsext.job_runs TO PUBLIC;
