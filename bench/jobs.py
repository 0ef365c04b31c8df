"""What jobs cost, and what they spare: continuous aggregates, retention, the scheduler.

    jobs.py [refresh] [invalidation] [view [DAYS]] [drop] [scheduler]      default: all of them

    refresh        a refresh after 1 % of late rows in 10 % of the buckets, beside computing all buckets anew
    invalidation   CPU time of a backend that writes to a table under a continuous aggregate (jobs_invalidation.py)
    view           the real-time view over DAYS (30) of a reading of 100 hosts every 10 s, beside the query over the table
    drop           30 of 60 chunks are dropped while four clients query: waits for locks, latencies, space used again
    scheduler      1,000 jobs a minute: CPU time of the scheduler, how late they start (jobs_scheduler.py)

Answers are compared before a time is taken; ratios are of one run; medians of TSEXT_BENCH_REPEATS (3). TSEXT_BENCH_ROWS_SHARE (1)
makes everything smaller, for a look at whether the benchmark works. Ends with 1 when a goal was missed.
"""
import os, pathlib, random, re, sys, threading, time

import common
from common import WORK, cpu_columns, fresh_database, median, require_equal, show

from libpq import Connection

REPEATS = int(os.environ.get("TSEXT_BENCH_REPEATS", "3"))
SHARE = float(os.environ.get("TSEXT_BENCH_ROWS_SHARE", "1"))
START = 1704067200              # 2024-01-01 00:00 UTC, where tsgen starts
HOUR = 3600

REFRESH_GOAL = 0.15
VIEW_TO_RAW_OFF = 0.05
VIEW_TO_RAW_ON = 1.0
LOCK_WAIT_MS = 10
SPACE = 1.02                    # of before: free space maps and the like

OURS_OFF = ["tsext.enable_scan", "tsext.enable_aggregate", "tsext.enable_last"]


def connect(*settings):
    c = Connection(common.DATABASE)
    for setting in ("timezone = 'UTC'", "client_min_messages = error", *settings):
        c.get(f"SET {setting}")
    return c


def verdict(good):
    return "PASS" if good else "short"


def moment(second):
    return f"'{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(second))}+00'"


def load_cpu(c, table, seconds, hosts=100, step=10, start=START, options="", seed=1):
    """Host metrics straight from the generator, without a file. -> rows/s"""
    c.get(f"CREATE TABLE IF NOT EXISTS {table} ({cpu_columns('timestamptz')}) USING tsext {options}")
    began = time.monotonic()
    program = f"{WORK / 'tsgen'} --hosts {hosts} --seconds {seconds} --step {step} --start {start} --seed {seed} --values int --csv /dev/stdout"
    c.get(f"COPY {table} FROM PROGRAM '{program}' WITH (FORMAT csv)")
    return hosts * seconds / step / (time.monotonic() - began)


def differences(c, left, right):
    return c.get(f"SELECT count(*) FROM ((TABLE {left} EXCEPT ALL TABLE {right}) UNION ALL (TABLE {right} EXCEPT ALL TABLE {left})) d")[0][0]


# ---- refresh

def refresh_after_late_rows(c, width, days, hosts):
    """-> rows of a table for one width of buckets, in hours. Late rows lie between the readings."""
    c.get("TRUNCATE cpu")
    load_cpu(c, "cpu", days * 24 * HOUR, hosts)
    c.get("SELECT tsext.compact('cpu', level => 'hot')")
    c.get("VACUUM (ANALYZE) cpu")
    c.get(f"CREATE MATERIALIZED VIEW rollup WITH (tsext.continuous) AS SELECT time_bucket('{width} hours', time) AS bucket, hostname, avg(usage_user), max(usage_user), min(usage_idle), "
          "count(*) FROM cpu GROUP BY 1, 2 WITH NO DATA")
    c.get("CALL refresh_continuous_aggregate('rollup', NULL, NULL)")
    require_equal("the first refresh: rows that differ", differences(c, "rollup_materialized", "rollup_direct"), "0")
    r, found = random.Random(1), []
    buckets = days * 24 // width
    dirty = max(1, round(buckets / 10))
    each = hosts * days * 24 * HOUR // 10 // 100 // dirty
    for repeat in range(REPEATS):
        for bucket in r.sample(range(buckets), dirty):
            c.get(f"INSERT INTO cpu (time, hostname, usage_user, usage_idle) SELECT {moment(START + bucket * width * HOUR)}::timestamptz + n % {360 * width} * interval '10 s' "
                  f"+ interval '{repeat + 1} s', 'host_' || n % {hosts}, n % 101, n % 97 FROM generate_series(1, {each}) n")
        require_equal("the view before the refresh: rows that differ", differences(c, "rollup", "rollup_direct"), "0")
        changed = c.milliseconds("CALL refresh_continuous_aggregate('rollup', NULL, NULL)")
        require_equal("after the refresh: rows that differ", differences(c, "rollup_materialized", "rollup_direct"), "0")
        whole = c.milliseconds("CALL refresh_continuous_aggregate('rollup', NULL, NULL, true)")
        require_equal("after computing all: rows that differ", differences(c, "rollup_materialized", "rollup_direct"), "0")
        found.append((changed, whole, changed / whole))
    c.get("DROP MATERIALIZED VIEW rollup")
    changed, whole, ratio = (median(column) for column in zip(*found))
    least, greatest = min(x[2] for x in found), max(x[2] for x in found)
    return [f"{width} h", f"{dirty} of {buckets}", changed, whole, f"{ratio:.3f}", f"{least:.3f} to {greatest:.3f}", verdict(ratio <= REFRESH_GOAL)]


def measure_refresh():
    """-> whether the goal is reached. Usages are whole numbers: sums of them are exact in any order."""
    fresh_database().close()
    c = connect()
    days, hosts = 10, max(10, round(100 * SHARE))
    load_cpu(c, "cpu", HOUR, hosts)             # makes the table
    rows = hosts * days * 24 * HOUR // 10
    lines = [refresh_after_late_rows(c, width, days, hosts) for width in (1, 6, 24)]
    show(f"Refresh of an aggregate by host and bucket, {rows:,} rows of {days} days, after {rows // 100:,} late rows in 10 % of the buckets (goal: at most {REFRESH_GOAL:.2f})",
         ["buckets", "written to", "what changed, ms", "all buckets, ms", "ratio", "least to greatest", ""], lines)
    c.close()
    return all(line[-1] == verdict(True) for line in lines)


# ---- view

def measure_view(days):
    """-> whether the goals are reached. The last hour is never materialized: its bucket is open."""
    fresh_database().close()
    c = connect()
    hours = max(3, round(days * 24 * SHARE))
    rate = load_cpu(c, "cpu", hours * HOUR)
    print(f"loaded {100 * hours * 360:,} rows at {rate:,.0f} rows/s", flush=True)
    c.get("SELECT tsext.compact('cpu', level => 'hot')")
    c.get("VACUUM (ANALYZE) cpu")
    query = "SELECT time_bucket('1 hour', time) AS bucket, avg(usage_user), max(usage_user) FROM cpu GROUP BY 1"
    c.get(f"CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS {query} WITH NO DATA")
    c.get(f"CALL refresh_continuous_aggregate('hourly', NULL, {moment(START + (hours - 1) * HOUR)})")
    c.get("VACUUM (ANALYZE) hourly_materialized")
    require_equal("buckets materialized", c.value("SELECT count(*) FROM hourly_materialized"), str(hours - 1))
    off, on = connect(*(f"{name} = off" for name in OURS_OFF)), connect()
    ordered = {"view": (on, "SELECT * FROM hourly ORDER BY bucket"), "on": (on, query + " ORDER BY 1"), "off": (off, query + " ORDER BY 1")}
    answers = {name: session.get(text) for name, (session, text) in ordered.items()}
    require_equal("buckets of the view", len(answers["view"]), hours)
    for name in ("on", "off"):
        require_equal(f"view and query with nodes {name}", answers["view"], answers[name])
    times = {name: [] for name in ordered}
    for _ in range(REPEATS):
        for name, (session, text) in ordered.items():
            times[name].append(median(session.milliseconds(text) for _ in range(1 if name == "off" else 5)))
    view, raw_on, raw_off = (median(times[name]) for name in ("view", "on", "off"))
    good = view / raw_off <= VIEW_TO_RAW_OFF and view / raw_on <= VIEW_TO_RAW_ON
    show(f"Real-time view over {hours / 24:g} days, {100 * hours * 360:,} rows, {hours} buckets, the last one open "
         f"(goals: {VIEW_TO_RAW_OFF} of the query without our nodes, {VIEW_TO_RAW_ON} of it with them)",
         ["view, ms", "query, nodes off, ms", "query, nodes on, ms", "view / off", "view / on", ""],
         [[view, raw_off, raw_on, f"{view / raw_off:.4f}", f"{view / raw_on:.3f}", verdict(good)]])
    for session in (off, on, c):
        session.close()
    return good


# ---- drop

class Client(threading.Thread):
    """Queries the table until it is told to stop. A problem is kept, not lost with the thread."""

    def __init__(self, number, first, hours):
        super().__init__()
        self.random = random.Random(number)
        self.first, self.hours, self.milliseconds, self.problem, self.going = first, hours, [], None, True
        self.session = connect("deadlock_timeout = '1ms'", "log_lock_waits = on")       # each wait of 1 ms and more is logged
        self.pid = int(self.session.value("SELECT pg_backend_pid()"))

    def run(self):
        try:
            while self.going:
                first = self.first + self.random.randrange(self.hours) * HOUR
                self.milliseconds.append((time.monotonic(), self.session.milliseconds(self.random.choice([
                    f"SELECT max(usage_user) FROM metrics WHERE hostname = 'host_{self.random.randrange(100)}' AND time >= {moment(first)} AND time < {moment(first + HOUR)}",
                    f"SELECT time_bucket('1 min', time), avg(usage_user) FROM metrics WHERE time >= {moment(first)} AND time < {moment(first + HOUR)} GROUP BY 1",
                    "SELECT count(*) FROM metrics"]))))
            self.session.close()
        except Exception as problem:
            self.problem = problem


def lock_waits(text, pids):
    """Milliseconds that these backends waited for a heavyweight lock, from the server's log."""
    found = re.findall(r"process (\d+) (?:acquired|still waiting for) .* after ([\d.]+) ms", text)
    return [float(ms) for pid, ms in found if int(pid) in pids]


def percentile(numbers, p):
    return sorted(numbers)[min(len(numbers) - 1, int(len(numbers) * p))] if numbers else float("nan")


def drop_beside_clients(c, first, chunks):
    """Drops the older half of the chunks, which begin at `first`, while clients query. -> milliseconds of the drop, waits, latencies beside it and before"""
    rows = int(c.value("SELECT count(*) FROM metrics"))
    log = pathlib.Path(os.environ["TSEXT_SERVER_LOG"])
    log_begin = log.stat().st_size
    clients = [Client(number, first, chunks) for number in range(4)]
    for client in clients:
        client.start()
    time.sleep(1)
    middle = first + chunks // 2 * HOUR
    began = time.monotonic()
    dropped = len(c.get(f"SELECT drop_chunks('metrics', older_than => {moment(middle)}::timestamptz)"))
    ended = time.monotonic()
    time.sleep(1)
    for client in clients:
        client.going = False
    for client in clients:
        client.join()
    require_equal("problems of clients", [str(client.problem) for client in clients if client.problem], [])
    require_equal("chunks dropped", dropped, chunks // 2)
    left = c.get("SELECT count(*), min(time) FROM metrics")[0]
    require_equal("what is left", left, (str(rows // 2), time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(middle))))
    waits = lock_waits(log.read_bytes()[log_begin:].decode(errors="replace"), {client.pid for client in clients})
    before = [ms for client in clients for at, ms in client.milliseconds if at + ms / 1000 < began]
    beside = [ms for client in clients for at, ms in client.milliseconds if at <= ended and at + ms / 1000 >= began]
    return (ended - began) * 1000, waits, beside, before


def measure_drop():
    """-> whether the goals are reached"""
    fresh_database().close()
    c = connect()
    chunks, hosts, step = 60, 100, max(1, round(10 / SHARE))
    options = "WITH (tsext.segment_by = 'hostname', tsext.chunk_interval = '1 hour')"

    def load(first, count):
        load_cpu(c, "metrics", count * HOUR, hosts, step, first, options, seed=first)
        c.get("SELECT tsext.compact('metrics', level => 'hot')")
        c.get("VACUUM (ANALYZE) metrics")

    def size():
        return int(c.value("SELECT pg_total_relation_size('metrics')"))

    load(START, chunks)
    require_equal("chunks", c.value("SELECT count(*) FROM show_chunks('metrics')"), str(chunks))
    rows, before = int(c.value("SELECT count(*) FROM metrics")), size()
    drops, waits, beside, calm, emptied = [], [], [], [], 0
    for repeat in range(REPEATS):
        first = START + repeat * chunks // 2 * HOUR
        ms, *found = drop_beside_clients(c, first, chunks)
        drops.append(ms)
        for kept, more in zip((waits, beside, calm), found):
            kept += more
        c.get("VACUUM metrics")
        emptied = size()
        load(first + chunks * HOUR, chunks // 2)                # as much again, from where the data ends
        require_equal("rows afterwards", c.value("SELECT count(*) FROM metrics"), str(rows))
    after, longest = size(), max(waits, default=0.0)
    show(f"drop_chunks() of {chunks // 2} of {chunks} chunks of {rows // chunks:,} rows beside four clients, {REPEATS} times (goal: no wait for a lock beyond {LOCK_WAIT_MS} ms)",
         ["drop, ms", "waits for locks of 1 ms and more", "the longest, ms", "", "queries beside it", "latency p50 / p99 / max, ms", "before it"],
         [[median(drops), len(waits), longest, verdict(longest <= LOCK_WAIT_MS), len(beside), *(" / ".join(f"{percentile(x, p):.1f}" for p in (0.5, 0.99, 1)) for x in (beside, calm))]])
    show(f"Space used again, {REPEATS} times (goal: at most {SPACE} of before)", ["before, MB", "dropped and vacuumed, MB", "as much loaded again, MB", "ratio", ""],
         [[before / 1e6, emptied / 1e6, after / 1e6, f"{after / before:.3f}", verdict(after <= SPACE * before)]])
    c.close()
    return longest <= LOCK_WAIT_MS and after <= SPACE * before


# ---- which

def measure_module(name):
    """Parts with files of their own; each has main() -> whether its goals are reached."""
    return __import__(name).main()


def main(arguments):
    parts = {"refresh": measure_refresh, "invalidation": lambda: measure_module("jobs_invalidation"), "view": measure_view, "drop": measure_drop,
             "scheduler": lambda: measure_module("jobs_scheduler")}
    days = 30
    chosen = []
    for argument in arguments:
        if chosen[-1:] == ["view"] and argument.replace(".", "", 1).isdigit():
            days = float(argument)
        elif argument in parts:
            chosen.append(argument)
        else:
            sys.exit(__doc__)
    good = True
    for name in chosen or parts:
        good = (measure_view(days) if name == "view" else parts[name]()) and good
    return good


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
