-- Alert rules: definitions, which pg_dump keeps, and beside them their state and history, which it does not. How often an alert
-- is evaluated and whether it is enabled says its job. Written by the functions below only; the definitions are readable by
-- everybody as pg_dump needs it for whoever dumps the database.
CREATE TABLE tsext.alert (
  name text COLLATE "C" NOT NULL,
  owner regrole NOT NULL,                -- while there is a job, its owner counts
  job_id int4 NOT NULL,
  query text NOT NULL,
  condition text NOT NULL,
  for_duration interval NOT NULL,
  notify_channel name NOT NULL,
  no_data text NOT NULL,
  search_path text NOT NULL,             -- of the session that wrote the query, as is the time zone
  timezone text NOT NULL,
  version int4 NOT NULL,                 -- counts the changes, so that an evaluation notices one
  created timestamptz NOT NULL,
  CONSTRAINT alert_pkey PRIMARY KEY (name)
) USING heap;
COMMENT ON TABLE tsext.alert IS 'definitions of alert rules (internal; see the view tsext.alerts)';

CREATE TABLE tsext.alert_status (
  alert text COLLATE "C" NOT NULL,
  evaluated_at timestamptz NOT NULL,
  error_since timestamptz,               -- NULL: the last evaluation went well
  sqlstate text,
  message text,
  CONSTRAINT alert_status_pkey PRIMARY KEY (alert)
) USING heap WITH (fillfactor = 20);
COMMENT ON TABLE tsext.alert_status IS 'how the last evaluation of each alert went (internal; see the view tsext.alerts)';

CREATE TABLE tsext.alert_instance (
  alert text COLLATE "C" NOT NULL,
  id int4 NOT NULL,
  labels jsonb NOT NULL,
  state text NOT NULL,                   -- inactive, pending, firing, resolved
  since timestamptz NOT NULL,            -- when this state began
  value numeric,                         -- the last one
  missing_since timestamptz,             -- NULL: the last evaluation had data for it
  CONSTRAINT alert_instance_pkey PRIMARY KEY (alert, id)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE tsext.alert_instance IS 'state of each label set of the alerts (internal; see the view tsext.alerts)';

CREATE TABLE tsext.alert_event (
  alert text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL,
  labels jsonb,                          -- NULL: of the alert as a whole: error, ok
  state text NOT NULL,
  previous text NOT NULL,
  value numeric,
  sqlstate text,
  message text
) USING heap;
CREATE INDEX alert_event_at ON tsext.alert_event (alert, at);
COMMENT ON TABLE tsext.alert_event IS 'changes of state of the last 30 days (internal; see the view tsext.alert_history)';

REVOKE ALL ON tsext.alert, tsext.alert_status, tsext.alert_instance, tsext.alert_event FROM PUBLIC;
GRANT SELECT ON tsext.alert TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('tsext.alert', '');

CREATE OR REPLACE FUNCTION tsext.create_alert(
  name text, query text, condition text, for_duration interval DEFAULT '0', every interval DEFAULT '1 min',
  notify_channel name DEFAULT 'tsext_alert', no_data text DEFAULT 'keep')
RETURNS int LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_create_alert';
COMMENT ON FUNCTION tsext.create_alert(text, text, text, interval, interval, name, text) IS
  'evaluates a query on a schedule and tells when the condition holds for a label set; returns the id of the job';

CREATE OR REPLACE FUNCTION tsext.alter_alert(
  name text, query text DEFAULT NULL, condition text DEFAULT NULL, for_duration interval DEFAULT NULL,
  every interval DEFAULT NULL, notify_channel name DEFAULT NULL, no_data text DEFAULT NULL, enabled bool DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_alter_alert';
COMMENT ON FUNCTION tsext.alter_alert(text, text, text, interval, interval, name, text, bool) IS
  'changes an alert; what is NULL stays as it is; another query, or enabled => false, resolves and forgets its instances';

CREATE OR REPLACE FUNCTION tsext.drop_alert(name text, if_exists bool DEFAULT false)
RETURNS void LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'tsext_drop_alert';
COMMENT ON FUNCTION tsext.drop_alert(text, bool) IS 'drops an alert with its job, its instances and its history';

-- For everybody, as the job of any alert calls it: it asks whose alert it is, and the query has the rights of that role.
CREATE OR REPLACE PROCEDURE tsext.evaluate_alert(job_id int, config jsonb)
LANGUAGE c AS 'MODULE_PATHNAME', 'tsext_evaluate_alert';
COMMENT ON PROCEDURE tsext.evaluate_alert(int, jsonb) IS 'evaluates the alert that config names; what the job of an alert runs';

CREATE OR REPLACE VIEW tsext.alerts WITH (security_barrier) AS
SELECT a.name, coalesce(j.owner, a.owner)::text AS owner, i.labels, coalesce(i.state, 'inactive') AS state, i.since, i.value, i.missing_since,
  s.evaluated_at, s.error_since, s.sqlstate AS error_sqlstate, s.message AS last_error,
  a.query, a.condition, a.for_duration, j.schedule_interval AS every, a.notify_channel, a.no_data,
  coalesce(j.scheduled, false) AS enabled, j.id AS job_id
FROM tsext.alert a
LEFT JOIN tsext.job j ON j.id = a.job_id AND j.proc_schema = 'tsext' AND j.proc_name = 'evaluate_alert' AND j.config ->> 'alert' = a.name
LEFT JOIN tsext.alert_status s ON s.alert = a.name
LEFT JOIN tsext.alert_instance i ON i.alert = a.name
WHERE pg_catalog.pg_has_role(coalesce(j.owner, a.owner), 'MEMBER');
COMMENT ON VIEW tsext.alerts IS
  'alerts of the roles one is a member of: a row for each label set, one without labels when there is none yet';
GRANT SELECT ON tsext.alerts TO PUBLIC;

CREATE OR REPLACE VIEW tsext.alert_history WITH (security_barrier) AS
SELECT e.alert AS name, e.at, e.labels, e.previous, e.state, e.value, e.sqlstate, e.message
FROM tsext.alert_event e
JOIN tsext.alert a ON a.name = e.alert
LEFT JOIN tsext.job j ON j.id = a.job_id AND j.proc_schema = 'tsext' AND j.proc_name = 'evaluate_alert' AND j.config ->> 'alert' = a.name
WHERE pg_catalog.pg_has_role(coalesce(j.owner, a.owner), 'MEMBER');
COMMENT ON VIEW tsext.alert_history IS
  'changes of state in the last 30 days of alerts of the roles one is a member of; error and ok concern the alert as a whole';
GRANT SELECT ON tsext.alert_history TO PUBLIC;
