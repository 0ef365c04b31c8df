CREATE OR REPLACE FUNCTION tsext.listener_counters(OUT listener text, OUT metric text, OUT reason text, OUT value bigint, OUT meaning text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_listener_counters';
COMMENT ON FUNCTION tsext.listener_counters() IS 'what the listeners have counted since the server started (see the view tsext.stats)';

CREATE OR REPLACE FUNCTION tsext.listener_states(OUT listener text, OUT address text, OUT pid int, OUT started_at timestamptz, OUT state text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_listener_states';
COMMENT ON FUNCTION tsext.listener_states() IS 'what the listeners do now (see the view tsext.listener_stats)';

CREATE OR REPLACE FUNCTION tsext.listener_rejected_lines(OUT "time" timestamptz, OUT listener text, OUT peer text, OUT reason text, OUT message text, OUT line text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tsext_listener_rejected_lines';
COMMENT ON FUNCTION tsext.listener_rejected_lines() IS 'the last lines that listeners rejected (see the view tsext.rejected_lines)';

CREATE OR REPLACE VIEW tsext.stats AS
SELECT 'listener_' || c.metric AS metric, 'counter'::text AS kind, c.listener, c.reason, c.value, c.meaning
FROM tsext.listener_counters() c
UNION ALL
SELECT 'listener_up', 'gauge', s.listener, NULL, (s.address IS NOT NULL)::int::bigint, 'whether the listener listens'
FROM tsext.listener_states() s;
COMMENT ON VIEW tsext.stats IS 'every figure of /metrics and /stats, one row each';
GRANT SELECT ON tsext.stats TO PUBLIC;

CREATE OR REPLACE VIEW tsext.listener_stats AS
SELECT s.listener, s.address, s.pid, s.started_at, s.state, c.lines, c.stored, c.rejected,
       c.rejected_by_reason, c.bytes, c.datagrams, c.datagrams_dropped, c.datagrams_truncated, c.connections, c.requests,
       c.batches, c.failed_batches, c.tables_created, c.columns_added, c.widened, c.merged
FROM tsext.listener_states() s
JOIN (SELECT listener,
             max(value) FILTER (WHERE metric = 'lines') AS lines,
             max(value) FILTER (WHERE metric = 'stored') AS stored,
             (sum(value) FILTER (WHERE metric = 'rejected'))::bigint AS rejected,
             coalesce(jsonb_object_agg(reason, value) FILTER (WHERE metric = 'rejected' AND value > 0), '{}') AS rejected_by_reason,
             max(value) FILTER (WHERE metric = 'bytes') AS bytes,
             max(value) FILTER (WHERE metric = 'datagrams') AS datagrams,
             max(value) FILTER (WHERE metric = 'datagrams_dropped') AS datagrams_dropped,
             max(value) FILTER (WHERE metric = 'datagrams_truncated') AS datagrams_truncated,
             max(value) FILTER (WHERE metric = 'connections') AS connections,
             max(value) FILTER (WHERE metric = 'requests') AS requests,
             max(value) FILTER (WHERE metric = 'batches') AS batches,
             max(value) FILTER (WHERE metric = 'failed_batches') AS failed_batches,
             max(value) FILTER (WHERE metric = 'tables_created') AS tables_created,
             max(value) FILTER (WHERE metric = 'columns_added') AS columns_added,
             max(value) FILTER (WHERE metric = 'widened') AS widened,
             max(value) FILTER (WHERE metric = 'merged') AS merged
      FROM tsext.listener_counters()
      GROUP BY listener) c USING (listener);
COMMENT ON VIEW tsext.listener_stats IS 'one row a listener: where it listens and what it has counted; lines = stored + rejected';
GRANT SELECT ON tsext.listener_stats TO PUBLIC;

CREATE OR REPLACE VIEW tsext.rejected_lines AS
SELECT r."time", r.listener, r.peer, r.reason, r.message, r.line FROM tsext.listener_rejected_lines() r;
COMMENT ON VIEW tsext.rejected_lines IS 'the last lines that listeners rejected, their first 1 kB; for members of pg_read_all_stats';
GRANT SELECT ON tsext.rejected_lines TO PUBLIC;
