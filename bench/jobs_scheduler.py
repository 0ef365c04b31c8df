"""1,000 jobs that run once a minute: CPU time of the scheduler of their database, and how late they start.

    jobs_scheduler.py      needs the server of PGHOST and PGPORT; makes the database "bench" anew

The jobs do nothing, their starts are spread evenly over the minute. The first minute warms up, TSEXT_BENCH_MINUTES (2) count.
Each job must have run once in each of them, with success. TSEXT_BENCH_ROWS_SHARE (1) makes jobs and interval less: 0.1 is
100 jobs each 6 s.
"""
import os, pathlib, sys, time

from common import DATABASE, fresh_database, require_equal, show

from libpq import Connection

SHARE = float(os.environ.get("TSEXT_BENCH_ROWS_SHARE", "1"))
MINUTES = int(os.environ.get("TSEXT_BENCH_MINUTES", "2"))
JOBS = max(1, round(1000 * SHARE))
INTERVAL = max(1, round(60 * SHARE))    # seconds
CPU_SHARE = 0.05
LATE = 5                                # seconds


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def wait_for_scheduler(c):
    """-> its process"""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = c.get("SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = current_database()")
        if found:
            return int(found[0][0])
        time.sleep(0.2)
    sys.exit("the database has no scheduler")


def main():
    """-> whether the goals are reached"""
    fresh_database().close()
    c = Connection(DATABASE)
    c.get("SET timezone = 'UTC'")
    pid = wait_for_scheduler(c)
    c.get("CREATE PROCEDURE tick(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN NULL; END $$")
    c.get(f"SELECT add_job('tick', interval '{INTERVAL} s', initial_start => date_trunc('second', now()) + interval '2 s' + n * interval '{INTERVAL} s' / {JOBS}, job_name => 'tick ' || n) "
          f"FROM generate_series(0, {JOBS - 1}) n")
    start = float(c.value("SELECT extract(epoch FROM min(initial_start)) FROM tsext.jobs WHERE job_name LIKE 'tick %'"))
    begin, end = start + INTERVAL, start + (1 + MINUTES) * INTERVAL
    time.sleep(max(0.0, begin - time.time()))
    spent, since = cpu_ns(pid), time.monotonic()
    time.sleep(max(0.0, end - time.time()))
    spent, took = cpu_ns(pid) - spent, time.monotonic() - since
    require_equal("the scheduler's process", wait_for_scheduler(c), pid)
    time.sleep(LATE + 1)
    # When a run was due: the last point of the job's grid before its start. Of runs later than a whole interval the number is less.
    c.get(f"CREATE TEMP TABLE runs AS SELECT j.job_id, r.outcome, r.started - due AS late, due FROM tsext.jobs j JOIN tsext.job_runs r USING (job_id), "
          f"date_bin(interval '{INTERVAL} s', r.started, j.initial_start) due WHERE j.job_name LIKE 'tick %' AND due >= to_timestamp({begin}) AND due < to_timestamp({end})")
    require_equal("jobs that did not run as often as they had to",
                  c.value(f"SELECT count(*) FROM tsext.jobs j WHERE job_name LIKE 'tick %' AND (SELECT count(*) FROM runs r WHERE r.job_id = j.job_id AND outcome = 'succeeded') <> {MINUTES}"), "0")
    runs, middle, p99, most = (float(x) for x in c.get("SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.99) WITHIN GROUP (ORDER BY s), max(s) "
                                                       "FROM (SELECT extract(epoch FROM late)::float8 AS s FROM runs) l")[0])
    c.get("SELECT delete_job(job_id) FROM tsext.jobs WHERE job_name LIKE 'tick %'")
    c.close()
    share = spent / 1e9 / took
    good = share < CPU_SHARE and most <= LATE
    show(f"{JOBS} jobs each {INTERVAL} s, {runs:.0f} runs (goals: the scheduler takes less than {CPU_SHARE:.0%} of a core, no start is late by more than {LATE} s)",
         ["the scheduler's CPU, s", "of a core", "late, median, s", "p99, s", "the most, s", ""],
         [[f"{spent / 1e9:.3f}", f"{share:.2%}", f"{middle:.3f}", f"{p99:.3f}", f"{most:.3f}", "PASS" if good else "short"]])
    return good


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
