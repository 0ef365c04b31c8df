#!/usr/bin/env bash
# A full disk under jobs: a database in a small file system, catalogs, history and tables, is filled up before refreshes, retention,
# downsampling, compaction and columnstore policies run, before a worker is killed, and before a scheduler starts. Nothing is half done, the
# scheduler goes on, what cannot be recorded is recorded when there is space, then the next runs complete, the views are their queries.
#
#   test/by_hand/disk_full_jobs.sh       as root: it mounts a small tmpfs
#
# Prints TAP lines; exits with 1 when a case failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "run it as root: it mounts a small file system" >&2; exit 2; }
server=disk_full_jobs
account=${TSEXT_USER:-postgres}
small='' cases=0 failures=0

clean_up() {
  local status=$?
  if [ $failures = 0 ]; then test/server.sh wipe $server >/dev/null 2>&1 || true
  else test/server.sh stop $server; echo "# the server is left in $(test/server.sh root)/servers/$server" >&2; fi
  [ -z "$small" ] || { umount "$small" && rmdir "$small"; } || true
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

run() { PGDATABASE=${database:-small} test/server.sh psql $server -qAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "$@" 2>&1; }
is() {            # is NAME GOT WANTED
  cases=$((cases + 1))
  if [ "$2" = "$3" ]; then echo "ok $cases - $1"; return; fi
  failures=$((failures + 1))
  echo "not ok $cases - $1"
  echo "# got:    $2"
  echo "# wanted: $3"
}
like() {          # like NAME TEXT PATTERN
  cases=$((cases + 1))
  if grep -qE "$3" <<<"$2"; then echo "ok $cases - $1: $(grep -E "$3" <<<"$2" | head -n 1)"; return; fi
  failures=$((failures + 1))
  echo "not ok $cases - $1"
  echo "# got: $2"
}
wait_for() {      # wait_for NAME QUERY: until it answers t
  local answer=''
  for _ in $(seq 600); do
    answer=$(run -c "$2" || true)
    if [ "$answer" = t ]; then break; fi
    sleep 0.2
  done
  is "$1" "$answer" t
}
fill() { dd if=/dev/zero of="$small/filler" bs=4k status=none 2>/dev/null || true; }
free() { rm -f "$small/filler"; }
sound() {         # sound NAME: with space
  local view
  for view in lower higher; do
    is "$1: view $view is its query" "$(run -c "SELECT count(*) FROM ((TABLE $view EXCEPT ALL TABLE ${view}_query) UNION ALL (TABLE ${view}_query EXCEPT ALL TABLE $view)) d
      WHERE NOT EXISTS (SELECT FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) WHERE c.view = '$view'::regclass
        AND (extract(epoch FROM b) * 1000000 - 946684800000000)::bigint >= g.start AND (extract(epoch FROM b) * 1000000 - 946684800000000)::bigint < g.until)")" 0
  done
  is "$1: tsext.verify() finds nothing" "$(run -c "SELECT count(*) FROM unnest(ARRAY['t', 'lower_materialized', 'higher_materialized']) r, tsext.verify(r::regclass)")" 0
  is "$1: no run is lost" "$(run -c "SELECT count(*) FROM tsext.job_runs r WHERE outcome = 'running' AND NOT EXISTS (SELECT FROM tsext.jobs j WHERE j.job_id = r.job_id AND status = 'running')")" 0
  is "$1: one scheduler is there" "$(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = 'small'")" 1
}

cat >build/disk_full_jobs.conf <<CONF
tsext.compact_naptime = 1
tsext.compact_age = 1
tsext.compact_background = off
autovacuum = off
timezone = 'UTC'
log_min_messages = warning
CONF
test/server.sh wipe $server
TSEXT_CONF=$PWD/build/disk_full_jobs.conf test/server.sh start $server
log=$(test/server.sh root)/servers/$server/log
small=$(mktemp -d /tmp/tsext-small-XXXXXX)
mount -t tmpfs -o "size=64m,mode=700,uid=$(id -u "$account"),gid=$(id -g "$account")" tsext-small "$small"
mkdir "$small/space"
chown "$account" "$small/space"
database=postgres run -c "CREATE TABLESPACE small LOCATION '$small/space'" -c 'CREATE DATABASE small TABLESPACE small'
lower="SELECT time_bucket('1 hour', time) AS b, host, count(*) AS n, sum(v) AS total FROM t GROUP BY 1, 2"
higher="SELECT time_bucket('1 day', b) AS b, host, sum(n) AS n, sum(total) AS total FROM lower GROUP BY 1, 2"
run -c 'CREATE EXTENSION tsext' -c "
  CREATE TABLE t (time timestamptz NOT NULL, host text, v bigint, note text) USING tsext WITH (tsext.chunk_interval = '1 day', tsext.segment_by = 'host');
  CREATE FUNCTION fill(a int, b int, day int) RETURNS void LANGUAGE sql AS \$\$
    INSERT INTO t SELECT date_trunc('day', now()) - day * interval '1 day' + g * interval '20 s', 'host_' || g % 20, g, md5(g::text) FROM generate_series(a, b) g \$\$;
  SELECT fill(1, 4000, d) FROM generate_series(3, 20) d;
  CREATE VIEW lower_query AS $lower;
  CREATE MATERIALIZED VIEW lower WITH (tsext.continuous) AS $lower WITH NO DATA;
  CREATE MATERIALIZED VIEW higher WITH (tsext.continuous) AS $higher WITH NO DATA;
  CREATE VIEW higher_query AS ${higher/FROM lower/FROM lower_query};
  CREATE TABLE note (n bigserial, job int, at timestamptz DEFAULT clock_timestamp());
  CREATE PROCEDURE nothing(job_id int, config jsonb) LANGUAGE plpgsql AS 'BEGIN END';
  CREATE PROCEDURE waits(job_id int, config jsonb) LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep((config->>''s'')::float8); END';" >/dev/null
wait_for "the scheduler comes" "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = 'small'"

policy() {        # policy NAME SQL: adds a policy that will not run by itself, sets $job
  job=$(run -c "$2") || { echo "# $1: $job"; return 1; }
  job=$(tail -n 1 <<<"$job")
}
far="initial_start => '2100-01-01'"
policy refresh "SELECT add_continuous_aggregate_policy('lower', NULL, '1 hour', '1 day', $far)"; refresh_lower=$job
policy refresh "SELECT add_continuous_aggregate_policy('higher', NULL, '1 hour', '1 day', $far)"; refresh_higher=$job
policy columnstore "SELECT add_columnstore_policy('t', '5 days', $far)"; columnstore=$job
policy downsampling "SELECT job_id FROM alter_job(add_downsampling_policy('t', '12 days', '1 minute', '{\"v\": \"sum\"}'), next_start => '2100-01-01')"; downsampling=$job
policy retention "SELECT add_retention_policy('t', '18 days', $far)"; retention=$job
# History has a page, so that runs on a full disk are recorded.
job=$(run -c "SELECT add_job('nothing', '1 hour', scheduled => false)")
run -c "CALL run_job($job)"
state() { run -c "SELECT count(*), sum(v), sum(hashtext(r::text)::bigint) FROM t r"; }
wake() { run -c "SELECT FROM alter_job($1, next_start => now())"; }

# ---- Each policy finds the disk full, then has space
run -c "CREATE VIEW last_runs AS SELECT DISTINCT ON (job_id) * FROM tsext.job_runs WHERE outcome <> 'running' ORDER BY job_id, run_id DESC" >/dev/null
for name in refresh_lower refresh_higher columnstore downsampling retention; do
  job=${!name}
  run -c "SELECT fill(4001, 4300, d) FROM generate_series(3, 17) d" >/dev/null     # something to do
  before=$(state)
  last=$(run -c "SELECT coalesce(max(run_id), 0) FROM tsext.job_runs WHERE job_id = $job")
  run -c "SELECT FROM alter_job($job, retry_period => '1 s')"
  fill
  is "$name: a next start is written on a full disk" "$(wake "$job")" ''
  wait_for "$name: it ends on a full disk" "SELECT run_id > $last FROM last_runs WHERE job_id = $job"
  like "$name: it fails for that, or needs no space" "$(run -c "SELECT outcome, sqlstate, message FROM tsext.job_runs WHERE job_id = $job AND run_id > $last ORDER BY run_id LIMIT 1")" '^(failed\|53100\|.*No space left on device|succeeded)'
  if [ $name != retention ] && [ $name != downsampling ]; then is "$name: no row is lost or doubled meanwhile" "$(state)" "$before"; fi
  free
  wait_for "$name: with space it completes" "SELECT outcome = 'succeeded' FROM last_runs WHERE job_id = $job"
  run -c "SELECT FROM alter_job($job, next_start => '2100-01-01')"
  sound "$name"
done

# ---- The outcome of a run cannot be recorded until there is space
for n in $(seq 30); do run -c "SELECT add_job('nothing', '1 s')" ; done >/dev/null
run -c "SELECT add_job('waits', '1 hour', config => '{\"s\": 6}')" >/dev/null
wait_for "many jobs run" "SELECT count(*) > 100 FROM tsext.job_runs WHERE outcome = 'succeeded'"
fill
# History grows until it finds no page any more.
lines=$(($(wc -l <"$log") + 1))
for _ in $(seq 300); do
  if tail -n +"$lines" "$log" | grep -q 'could not extend file'; then break; fi
  sleep 0.2
done
like "runs cannot be recorded" "$(tail -n +"$lines" "$log")" 'could not extend file'
sleep 8
free
wait_for "with space all are" "SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running' AND started < now() - interval '5 s'"
is "no run has crashed for that" "$(run -c "SELECT count(*) FROM tsext.job_runs WHERE outcome = 'crashed'")" 0
is "each job has one run at a time" "$(run -c "SELECT count(*) FROM tsext.job_runs a JOIN tsext.job_runs b ON a.job_id = b.job_id AND a.run_id < b.run_id AND coalesce(a.finished, now()) > b.started")" 0
is "counts agree with history" "$(run -c "SELECT count(*) FROM tsext.jobs j WHERE proc_name = 'nothing' AND runs <> (SELECT count(*) FROM tsext.job_runs r WHERE r.job_id = j.job_id AND outcome <> 'running')")" 0
sound "bookkeeping"

# ---- A worker and the scheduler die on a full disk
run -c "SELECT delete_job(job_id) FROM tsext.jobs WHERE proc_name = 'nothing'" >/dev/null
victim=$(run -c "SELECT add_job('waits', '1 hour', config => '{\"s\": 1000}')")
wait_for "a job runs" "SELECT status = 'running' FROM tsext.jobs WHERE job_id = $victim"
run -c 'VACUUM tsext.job_state' -c "VACUUM tsext.job_run" >/dev/null
fill
run -c "SELECT pg_terminate_backend(pid) FROM tsext.job_runs WHERE job_id = $victim AND outcome = 'running'" >/dev/null
run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = 'small'" >/dev/null
sleep 12
free
wait_for "the death of a worker on a full disk is recorded" "SELECT count(*) = 1 FROM tsext.job_runs WHERE job_id = $victim AND outcome = 'crashed'"
wait_for "and the job runs again" "SELECT status = 'running' FROM tsext.jobs WHERE job_id = $victim"
run -c "SELECT delete_job($victim)" >/dev/null
run -c "SELECT pg_cancel_backend(pid) FROM tsext.job_runs WHERE job_id = $victim AND outcome = 'running'" >/dev/null
wait_for "it ends" "SELECT count(*) = 0 FROM tsext.job_runs WHERE outcome = 'running'"

# ---- Compaction in the background
cold=$(run -c 'SELECT sum(nrows) FROM tsext.segment')
run -c 'SET tsext.enable_bulk = off' -c "SELECT fill(1, 4000, d) FROM generate_series(0, 2) d" >/dev/null
fill
database=postgres run -c 'ALTER SYSTEM SET tsext.compact_background = on' -c 'SELECT pg_reload_conf()' >/dev/null
lines=$(($(wc -l <"$log") + 1))
for _ in $(seq 300); do
  if tail -n +"$lines" "$log" | grep -q 'compaction failed'; then break; fi
  sleep 0.1
done
like "compaction fails on a full disk" "$(tail -n +"$lines" "$log")" 'compaction failed: .*No space left'
free
wait_for "with space it goes on after a minute" "SELECT sum(nrows) > $cold FROM tsext.segment"
run -c "CALL run_job($refresh_lower)" -c "CALL run_job($refresh_higher)"
sound "compaction"
echo "1..$cases"
[ $failures = 0 ]
