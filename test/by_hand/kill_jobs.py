"""SIGKILL at every stop point of refresh, retention, downsampling and compaction, and at random moments; nothing may be lost, doubled
or half done, and the next run completes.

    test/by_hand/kill_jobs.py [--iterations N] [--seed N] [--first N] [--keep-going]

Starts a server of its own by test/server.sh and wipes it at the end; one that failed is stopped and left. An iteration makes a table t, its heap
twin h and two continuous aggregates, one over the other. Writers insert, insert late, update and delete in both at once, alone, in blocks and in
two phases. Then either a session, or a worker of the scheduler, dies at a stop point, or a random process (a backend, a worker, the scheduler, the
launcher, the checkpointer, the postmaster) is killed under load. After recovery: what was acknowledged is there; t is h but for what retention
or downsampling took; each view is its query over h, also where its source is gone (there but for rows that are marked as late, which may have come
too late); tsext.verify() finds nothing; no catalog row is an orphan. Then the job runs again and leaves nothing to be done.
What is done depends on the seed and the number of the iteration, the moment of a kill also on the machine. Prints TAP lines; exits with 1 when
an iteration failed.
"""
import argparse, collections, os, pathlib, random, re, signal, subprocess, sys, threading, time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test/differential"))
os.chdir(TOP)
from libpq import FINE, Connection
from psql import ServerGone

SERVER, DATABASE = "kill_jobs", "kill_jobs"
CONF = """fsync = off
autovacuum = off
jit = off
timezone = 'UTC'
tsext.compact_naptime = '1s'
tsext.compact_age = '2s'
"""
DAY, HOUR = 86400, 3600
REFRESH = ["refresh_before_threshold", "refresh_after_threshold", "refresh_between", "refresh_after_snapshot", "refresh_after_remove", "refresh_after_insert",
           "refresh_before_commit"]
REMOVE = ["remove_after_delete", "remove_after_write"]
JOB = ["job_before_run", "job_after_run", "job_recording", "job_after_record", "job_discard"]
WRITE = ["write_before_store", "write_after_store", "write_after_directory"]
POINTS = {
    "refresh": REFRESH + REMOVE + JOB,
    "retention": ["retention_after_refresh", "retention_after_aggregates", "drop_after_segments", "retention_after_drop", "retention_after_part",
                  "source_after_aggregate", "refresh_between", "refresh_after_insert", *JOB],
    "downsampling": ["downsample_after_read", "downsample_after_remove", "downsample_after_insert", "source_after_aggregate", *REMOVE, *WRITE, *JOB],
    "compaction": ["compact_after_delete", "compact_after_write", "merge_after_delete", "merge_after_write", "merge_after_free", *WRITE],
    "write": ["touch_before_threshold", "touch_after_threshold"],
}
COVERED = ("refresh_", "retention_", "source_", "drop_", "downsample_", "touch_", "job_", "compact_", "merge_", "remove_", "write_")
VICTIMS = ["writer", "writer in commit", "refresher", "runner", "tsext job worker", "tsext scheduler", "tsext launcher", "tsext compaction", "checkpointer", "postmaster"]
LOWER = "SELECT time_bucket('1 hour', time) AS b, tag, count(*) AS rows, sum(id) AS ids, sum(v) AS total, max(v) AS most FROM {} GROUP BY 1, 2"
HIGHER = "SELECT time_bucket('1 day', b) AS b, tag, sum(rows) AS rows, sum(ids) AS ids, sum(total) AS total, max(most) AS most FROM {} GROUP BY 1, 2"
VIEWS = {"lower": LOWER.format("h"), "higher": HIGHER.format(f"({LOWER.format('h')}) l")}
GONE = "EXISTS (SELECT FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) WHERE c.view = '{}'::regclass AND {} >= g.start AND {} < g.until)"
# Lost races, rows that are compressed already, a job that runs, a window without a whole bucket.
REFUSED = ("40001", "40P01", "55P03", "0A000", "55006", "22023")
DIES = ("57P01", "57P02", "57P03")


class Problem(Exception):
    """Something is not as it must be."""


def internal(column):
    """A time as the catalog writes it."""
    return f"(extract(epoch FROM {column}) * 1000000 - 946684800000000)::bigint"


def is_gone(view, column):
    return GONE.format(view, internal(column), internal(column))


class Client(Connection):
    """A connection that no stop point meets, unless it is asked for."""

    def __init__(self, stop_point=""):
        super().__init__(f"{DATABASE} connect_timeout=10 options='-c tsext.stop_point={stop_point} -c client_min_messages=error -c statement_timeout=60s'")
        self.pid = int(self.value("SELECT pg_backend_pid()"))

    def run(self, text):
        state, rows, types = super().run(text)
        if state in DIES:
            raise ServerGone(f"{text}\n{rows}")
        return state, rows, types


class Server:
    def __init__(self):
        conf = pathlib.Path("build/kill_jobs.conf")
        conf.parent.mkdir(exist_ok=True)
        conf.write_text(CONF)
        self.env = {**os.environ, "TSEXT_CONF": str(conf.resolve())}
        self.script("wipe")
        self.script("start")
        for name, value in re.findall(r"(PG\w+)=(\S+)", self.script("env")):
            os.environ[name] = value
        self.folder = pathlib.Path(self.script("root", name=False).strip()) / "servers" / SERVER
        self.data = self.folder / "data"
        config = os.environ.get("PG_CONFIG", "/usr/lib/postgresql/15/bin/pg_config")
        self.bin = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        admin = Connection("postgres")
        admin.get(f"CREATE DATABASE {DATABASE}")
        admin.close()
        Client().get("CREATE EXTENSION tsext")

    def script(self, command, name=True):
        return subprocess.run(["test/server.sh", command, *([SERVER] if name else [])], env=self.env, capture_output=True, text=True, check=True, timeout=200).stdout

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def processes(self):
        """A server's processes work in its data directory. A zombie has none."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd") == str(self.data.resolve()):
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def kill_postmaster(self):
        os.kill(self.postmaster(), signal.SIGKILL)

    def start_again(self):
        """After the postmaster was killed: who waits to be reaped still answers signals, so the lock files must go."""
        wait_until(lambda: not self.processes(), 60, "the killed server's processes are still there")
        for lock in (self.data / "postmaster.pid", pathlib.Path(os.environ["PGHOST"]) / f".s.PGSQL.{os.environ['PGPORT']}.lock"):
            lock.unlink(missing_ok=True)
        subprocess.run(["test/server.sh", "as", f"{self.bin}/pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", "60", "start"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=100)


def wait_until(condition, seconds, problem):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Problem(problem)
        time.sleep(0.02)


class Iteration:
    def __init__(self, server, seed, number):
        self.server, self.chance = server, random.Random(f"{seed} {number}")
        self.lock, self.problems = threading.Lock(), []
        self.next_id, self.next_batch, self.acknowledged = 0, 0, []
        self.stop = threading.Event()
        self.now = int(time.time())
        self.start = self.now // DAY * DAY - 10 * DAY
        self.head = self.now - 6 * HOUR
        self.frozen, self.frozen_ranges = {}, {}
        self.job = self.point = None
        self.pids, self.writers = {}, []

    # ---- what is there

    def create(self):
        c, r = Client(), self.chance
        c.get("DROP TABLE IF EXISTS t, h, batch CASCADE")
        c.get("CREATE TABLE t (id bigint, time timestamptz NOT NULL, tag text, v bigint, n bigint) USING tsext")
        c.get("CREATE TABLE h (id bigint, time timestamptz NOT NULL, tag text, v bigint)")
        c.get("CREATE TABLE batch (n int PRIMARY KEY)")
        self.is_auto = r.random() < 0.4
        c.get("SELECT tsext.set_options('t', time_column => 'time', segment_by => '{tag}'" + ("" if self.is_auto else ", chunk_interval => interval '1 day'") + ")")
        if r.random() < 0.5:
            c.get("CREATE INDEX ON t (id)")
        # Cold rows, then hot ones.
        for count, chance in ((r.choice([1000, 5000]), 0.8), (600, 0)):
            self.insert_plain(c, count, self.start, (self.head - self.start) / count)
            if r.random() < chance:
                c.get("SELECT tsext.compact('t')")
        for view, query in (("lower", LOWER.format("t")), ("higher", HIGHER.format("lower"))):
            c.get(f"CREATE MATERIALIZED VIEW {view} WITH (tsext.continuous) AS {query} WITH NO DATA")
            if r.random() < 0.85:
                c.get(f"CALL refresh_continuous_aggregate('{view}', NULL, {r.choice([repr('2040-01-01'), self.time(self.now - r.randrange(5 * DAY))])})")
            if r.random() < 0.7:
                c.get(f"SELECT tsext.compact('{view}_materialized')")
        self.policy(c)
        chance = random.Random(r.random())
        for _ in range(5):
            self.write(c, chance)
        c.close()

    def policy(self, c):
        """Its job, which nobody starts by himself."""
        self.days = self.chance.randrange(4, 9)
        self.width = self.chance.choice(["10 minutes", "1 hour"])
        add = {"retention": f"add_retention_policy('t', interval '{self.days} days')",
               "downsampling": f"add_downsampling_policy('t', '{self.days} days', '{self.width}', '{{\"id\": \"sum\", \"v\": \"sum\"}}', 'n')",
               "refresh": f"add_continuous_aggregate_policy('{self.chance.choice(list(VIEWS))}', NULL::interval, NULL::interval, interval '1 day')"}
        if self.kind in add:
            c.get("BEGIN")
            self.job = int(c.value(f"SELECT {add[self.kind]}"))
            c.get(f"SELECT alter_job({self.job}, scheduled => false)")
            c.get("COMMIT")

    # ---- writers

    def time(self, at):
        return f"'{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(at))}+00'::timestamptz"

    def take_ids(self, count):
        with self.lock:
            self.next_id += count
            return self.next_id - count

    def insert_plain(self, c, count, low, step):
        first = self.take_ids(count)
        rows = (f"SELECT {first} + g, {self.time(low)} + g * interval '{step:.3f} s' + interval '0.5 s', substr('abc', 1 + g % 3, 1), g % 50::bigint "
                f"FROM generate_series(0, {count - 1}) g")
        c.get("BEGIN")
        c.get(f"INSERT INTO t (id, time, tag, v) {rows}")
        c.get(f"INSERT INTO h {rows}")
        c.get("COMMIT")

    def statement(self, chance):
        """A write of t and, with it, of h."""
        what = chance.random()
        if what < 0.7:
            count = chance.choice([1, 1, 3, 30, 300])
            first, step = self.take_ids(count), chance.choice([1, 60, 600])
            if what < 0.3:
                with self.lock:
                    at = self.head
                    self.head = min(self.head + count * step // 10, self.now - 60)
                step, tag = step / 10, "substr('abc', 1 + g % 3, 1)"
                step = min(step, (self.now - at) / count)
            else:
                at, tag = chance.randrange(self.start, self.now - HOUR), "'late'"
                step = min(step, (self.now - at) / count)
            change = (f"INSERT INTO t (id, time, tag, v) SELECT {first} + g, {self.time(at)} + g * interval '{step:.3f} s' + interval '0.5 s', {tag}, g % 50::bigint "
                      f"FROM generate_series(0, {count - 1}) g RETURNING id, time, tag, v")
            return f"WITH c AS ({change}) INSERT INTO h SELECT * FROM c"
        low = chance.randrange(max(self.next_id, 1))
        where = f"id BETWEEN {low} AND {low + chance.choice([0, 3, 20])} AND n IS NULL"
        if what < 0.85:
            # Where a row comes to another time it may come too late.
            change = chance.choice(["v = v + 1", "v = v + 1", f"time = {self.time(chance.randrange(self.start, self.now))} + interval '0.5 s', tag = 'late'"])
            return (f"WITH c AS (UPDATE t SET {change} WHERE {where} RETURNING id, time, tag, v) "
                    "UPDATE h SET time = c.time, tag = c.tag, v = c.v FROM c WHERE h.id = c.id")
        return f"WITH c AS (DELETE FROM t WHERE {where} RETURNING id) DELETE FROM h USING c WHERE h.id = c.id"

    def execute(self, c, text):
        """-> whether it was done"""
        state, rows, _ = c.run(text)
        if state != FINE and state not in REFUSED:
            raise Problem(f"{text}\n{state} {rows}")
        return state == FINE

    def write(self, c, chance):
        with self.lock:
            self.next_batch += 1
            batch = self.next_batch
        note = f"INSERT INTO batch VALUES ({batch})"
        if chance.random() < 0.5:
            text = self.statement(chance)
            if self.execute(c, text.replace("WITH c AS", f"WITH b AS ({note}), c AS", 1)):
                self.acknowledged.append(batch)
            return
        c.get("BEGIN")
        for i in range(chance.randrange(1, 4)):
            if not self.execute(c, self.statement(chance)):
                c.get("ROLLBACK")
                return
            if i == 1 and chance.random() < 0.3:
                c.get("SAVEPOINT s")
                self.execute(c, self.statement(chance))
                c.get("ROLLBACK TO s")
        c.get(note)
        end = chance.choice(["COMMIT"] * 7 + ["ROLLBACK", "PREPARE TRANSACTION"])
        if end == "PREPARE TRANSACTION":
            if self.execute(c, f"PREPARE TRANSACTION 'batch {batch}'") and self.execute(c, f"COMMIT PREPARED 'batch {batch}'"):
                self.acknowledged.append(batch)
        elif self.execute(c, end) and end == "COMMIT":
            self.acknowledged.append(batch)

    def keep(self, name, body, stop_point=""):
        """A thread; it ends with its server."""
        chance = random.Random(self.chance.random())

        def run():
            try:
                c = Client(stop_point)
                self.pids[name] = c.pid
                while not self.stop.is_set():
                    body(c, chance)
                c.close()
            except ServerGone:
                pass
            except Exception as problem:
                self.problems.append(f"{name}: {problem!r}")
        thread = threading.Thread(target=run)
        thread.start()
        self.writers.append(thread)

    def refresh_some(self, c, chance):
        window = chance.choice(["NULL", self.time(chance.randrange(self.start, self.now))]), chance.choice(["'2040-01-01'", self.time(self.now)])
        self.execute(c, f"CALL refresh_continuous_aggregate('{chance.choice(list(VIEWS))}', {', '.join(window)})")

    def run_once(self, c, chance):
        if self.job:
            self.execute(c, f"CALL run_job({self.job})")
        else:
            self.execute(c, f"SELECT tsext.compact('{chance.choice(['t', 'lower_materialized'])}', level => {chance.choice(['NULL', repr('hot'), repr('cold')])})")
        time.sleep(chance.random() * 0.1)

    # ---- killing

    def schedule(self, c):
        c.get(f"SELECT alter_job({self.job}, scheduled => true, next_start => now())")

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def run_by_scheduler(self, c):
        """-> outcome and message of a run"""
        last = c.value("SELECT coalesce(max(id), 0) FROM tsext.job_run WHERE outcome <> 'running'")
        self.schedule(c)
        done = f"SELECT outcome, message FROM tsext.job_run WHERE job = {self.job} AND id > {last} AND outcome <> 'running' ORDER BY id DESC LIMIT 1"
        wait_until(lambda: c.get(done), 40, "the scheduler does not run the job")
        return c.get(done)[0]

    def stop_at_point(self, point, by_worker):
        """-> whether the point was reached; when not, who should have reached it is killed"""
        r, watch = self.chance, Client()
        self.keep("writer", self.write)
        time.sleep(r.random() * 0.2)
        if by_worker:
            # One that waits for work does not hear of the setting.
            idle = "FROM pg_stat_activity WHERE backend_type = 'tsext job worker'"
            watch.get(f"SELECT pg_terminate_backend(pid) {idle}")
            wait_until(lambda: not watch.get(f"SELECT 1 {idle}"), 10, "an idle worker does not end")
            watch.get(f"ALTER DATABASE {DATABASE} SET tsext.stop_point = '{point}:crash'")
            try:
                for attempt in range(5):
                    if self.run_by_scheduler(watch)[0] == "succeeded":
                        break
                pid = int(watch.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'tsext scheduler' AND datname = current_database()"))
            except ServerGone:
                return True
            self.kill(pid)
            return False
        statements = {"compaction": [f"SELECT tsext.compact('{table}', level => '{level}')" for level in ("hot", "cold") for table in ("t", "lower_materialized", "higher_materialized")],
                      "refresh": [f"CALL refresh_continuous_aggregate('{view}', NULL, '2040-01-01')" for view in r.choice([("lower", "higher"), ("higher", "lower")])],
                      "write": [None] * 100}.get(self.kind, [])
        if point.startswith("job_") or not statements:
            statements = [f"CALL run_job({self.job})"] * 5
        try:
            victim = Client(f"{point}:crash")
            for text in statements:
                if text is None:
                    self.write(victim, r)
                elif self.execute(victim, text) and self.kind in ("retention", "downsampling"):
                    break
        except ServerGone:
            return True
        self.kill(victim.pid)
        return False

    def kill_under_load(self, victim):
        """-> whether the one that was asked for was there; when not, a writer is killed"""
        r, watch = self.chance, Client()
        for name in ("writer", "writer 2"):
            self.keep(name, self.write)
        self.keep("refresher", self.refresh_some)
        if victim == "tsext job worker" and self.job:
            self.schedule(watch)
        else:
            self.keep("runner", self.run_once)
        time.sleep(0.1 + r.random())
        if victim == "postmaster":
            self.server.kill_postmaster()
            return True
        if victim == "writer in commit":
            end = time.monotonic() + 2
            while time.monotonic() < end:
                rows = watch.get(f"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid IN ({self.pids['writer']}, {self.pids['writer 2']}) AND query ~ '^(COMMIT|PREPARE)'")
                if rows:
                    return self.kill(int(rows[0][0]))
        elif victim in self.pids:
            return self.kill(self.pids[victim])
        else:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                rows = watch.get(f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{victim}'")
                if rows:
                    return self.kill(int(rows[0][0]))
        self.kill(self.pids["writer"])
        return False

    def recover(self, watch, is_postmaster):
        def is_dead():
            try:
                watch.value("SELECT 1")
                return False
            except ServerGone:
                return True
        wait_until(is_dead, 30, "the server survived the kill")
        self.stop.set()
        if is_postmaster:
            self.server.start_again()
        for thread in self.writers:
            thread.join(60)
            if thread.is_alive():
                raise Problem("a session hangs after the crash")
        end = time.monotonic() + 60
        while True:
            try:
                c = Client()
                c.get(f"ALTER DATABASE {DATABASE} RESET tsext.stop_point")
                return c
            except ServerGone as problem:
                if time.monotonic() > end:
                    raise Problem(f"no recovery: {problem}") from None
                time.sleep(0.02)

    # ---- what must be

    def nothing(self, c, what, query):
        rows = c.get(f"SELECT * FROM ({query}) q LIMIT 5")
        if rows:
            raise Problem(f"{what}:\n" + "\n".join(map(str, rows)))

    def check(self, c, when):
        plain = "SELECT id, time, tag, v FROM t WHERE n IS NULL"
        self.nothing(c, f"{when}: rows that nobody wrote", f"({plain}) EXCEPT ALL TABLE h")
        if self.kind != "downsampling":
            self.nothing(c, f"{when}: rows are lost", f"SELECT * FROM (TABLE h EXCEPT ALL ({plain})) m WHERE NOT {is_gone('lower', 'm.time')}")
        if self.kind != "retention":
            bucket = f"time_bucket('{self.width}', time), tag"
            one = f"SELECT {bucket}, sum(coalesce(n, 1)) AS rows, sum(id), sum(v) FROM t GROUP BY 1, 2"
            two = f"SELECT {bucket}, count(*)::numeric, sum(id), sum(v) FROM h GROUP BY 1, 2"
            self.nothing(c, f"{when}: sums are not preserved", f"(SELECT 't', * FROM ({one} EXCEPT ALL {two}) a) UNION ALL (SELECT 'h', * FROM ({two} EXCEPT ALL {one}) b)")
        missing = set(self.acknowledged) - {int(row[0]) for row in c.get("TABLE batch")}
        if missing:
            raise Problem(f"{when}: acknowledged transactions are lost: {sorted(missing)}")
        for view, query in VIEWS.items():
            side = f"SELECT * FROM {{}} q WHERE tag <> 'late' OR NOT {is_gone(view, 'q.b')}"
            one, two = side.format(view), side.format(f"({query})")
            self.nothing(c, f"{when}: {view} is not its query", f"(SELECT 'view', * FROM ({one} EXCEPT ALL {two}) a) UNION ALL (SELECT 'query', * FROM ({two} EXCEPT ALL {one}) b)")
            self.check_frozen(c, view, when)
        for table in ("t", "lower_materialized", "higher_materialized"):
            self.nothing(c, f"{when}: tsext.verify('{table}')", f"SELECT * FROM tsext.verify('{table}')")
            self.nothing(c, f"{when}: the total of {table} is wrong",
                         f"SELECT * FROM (SELECT (SELECT coalesce(sum(rows), 0) FROM tsext.store_total s WHERE s.store = k.reltoastrelid) AS total, "
                         f"(SELECT coalesce(sum(nrows), 0) FROM tsext.segment s WHERE s.store = k.reltoastrelid) AS rows FROM pg_class k WHERE oid = '{table}'::regclass) s WHERE total <> rows")
        for table in ("cagg_threshold", "cagg_log", "cagg_gone"):
            self.nothing(c, f"{when}: orphans in tsext.{table}", f"SELECT * FROM tsext.{table} x WHERE NOT EXISTS (SELECT FROM tsext.cagg c WHERE c.materialization = x.materialization)")
        for table in ("downsample_range", "store_total", "segment"):
            self.nothing(c, f"{when}: orphans in tsext.{table}", f"SELECT store, count(*) FROM tsext.{table} x WHERE NOT EXISTS (SELECT FROM pg_class k WHERE k.oid = x.store) GROUP BY 1")
        self.nothing(c, f"{when}: orphans in tsext.job_state", "SELECT * FROM tsext.job_state s WHERE NOT EXISTS (SELECT FROM tsext.job j WHERE j.id = s.job)")

    def check_frozen(self, c, view, when):
        """Buckets whose source was gone at the last look are what they were."""
        rows = [(int(at), text) for at, text in c.get(f"SELECT {internal('a.b')}, a::text FROM {view} a WHERE {is_gone(view, 'a.b')} ORDER BY 2")]
        ranges = [(int(low), int(high)) for low, high in c.get(f"SELECT start, until FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) WHERE c.view = '{view}'::regclass")]
        for low, high in self.frozen_ranges.get(view, ()):
            if not any(a <= low and high <= b for a, b in ranges):
                raise Problem(f"{when}: of {view} the range [{low}, {high}) is gone no more")
        same = [row for row in rows if any(low <= row[0] < high for low, high in self.frozen_ranges.get(view, ()))]
        if same != self.frozen.get(view, []):
            raise Problem(f"{when}: buckets of {view} whose source is gone have changed: {sorted(set(same) ^ set(self.frozen[view]))[:5]}")
        self.frozen[view], self.frozen_ranges[view] = rows, ranges

    def no_dead_runs(self, c):
        wait_until(lambda: c.value("SELECT count(*) FROM tsext.job_run r WHERE outcome = 'running' AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = r.pid)") == "0", 30,
                   "a run of a dead worker is still running, says tsext.job_run")

    def run_again(self, c, by_worker):
        """The same job, once more, to its end."""
        if self.job and by_worker:
            end = self.run_by_scheduler(c)
            if end[0] != "succeeded":
                raise Problem(f"the next run by the scheduler: {end}")
            c.get(f"SELECT alter_job({self.job}, scheduled => false)")
        elif self.job:
            c.get(f"SELECT alter_job({self.job}, scheduled => false)")
            # A run that the scheduler has started already may take this one's place for a moment.
            wait_until(lambda: self.execute(c, f"CALL run_job({self.job})"), 30, "the next run does not get its turn")
        else:
            for table in ("t", "lower_materialized", "higher_materialized"):
                wait_until(lambda: self.execute(c, f"SELECT tsext.compact('{table}')"), 30, f"{table} cannot be compacted")

    def check_done(self, c):
        if self.kind == "downsampling":
            # The day that the border lies in is left alone: it is a bucket of the higher view.
            self.nothing(c, "after the next run: a bucket with several rows", f"SELECT tag, time_bucket('{self.width}', time), count(*) FROM t "
                         f"WHERE time < date_trunc('day', {self.time(self.now)} - interval '{self.days} days') GROUP BY 1, 2 HAVING count(*) > 1")
        if self.kind == "retention" and not self.is_auto:
            self.nothing(c, "after the next run: old rows", f"SELECT * FROM t WHERE time < date_trunc('day', {self.time(self.now)} - interval '{self.days} days')")
        for view in VIEWS:
            c.get(f"CALL refresh_continuous_aggregate('{view}', NULL, '2040-01-01')")
        self.nothing(c, "after the next refresh: the log is not empty", "TABLE tsext.cagg_log")
        c.get("VACUUM t")
        c.get("VACUUM tsext.segment")
        toast = c.value("SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass")
        self.nothing(c, "after VACUUM: pieces without a segment", f"SELECT DISTINCT chunk_id FROM {toast} p WHERE NOT EXISTS (SELECT FROM tsext.segment s "
                     f"WHERE s.store = '{toast}'::regclass AND s.valueid = p.chunk_id)")

    def play(self, number):
        """-> what was done"""
        r = self.chance
        if number % 10 < 7:
            points = [(kind, point) for kind, names in POINTS.items() for point in names]
            self.kind, point = points[(number // 10 * 7 + number % 10) * 37 % len(points)]
            by_worker = self.kind in ("refresh", "retention", "downsampling") and r.random() < 0.4
            self.create()
            watch = Client()
            reached = self.stop_at_point(point, by_worker)
            self.point = point if reached else None
            what = f"{self.kind} at {point}{' in a worker' if by_worker else ''}{'' if reached else ', not reached, killed there'}"
            is_postmaster = False
        else:
            victim = VICTIMS[(number // 10 * 3 + number % 10 - 7) % len(VICTIMS)]
            self.kind, by_worker = r.choice(["retention", "downsampling", "refresh", "compaction"]), False
            if victim == "tsext job worker":
                self.kind, by_worker = r.choice(["retention", "downsampling", "refresh"]), True
            self.create()
            watch = Client()
            reached = self.kill_under_load(victim)
            what = f"{self.kind}, kill of {victim}{'' if reached else ' (a writer: there was none)'}"
            is_postmaster = victim == "postmaster"
        c = self.recover(watch, is_postmaster)
        # Until its stop point is taken back the scheduler's next worker may die as well.
        for attempt in range(5):
            try:
                self.check(c, "after the crash")
                for (gid,) in c.get("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
                    c.get(f"{r.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{gid}'")
                self.check(c, "with what was prepared")
                break
            except ServerGone:
                if attempt == 4 or not by_worker:
                    raise Problem("the server went down while it was looked at") from None
                c = self.recover(c, False)
        self.no_dead_runs(c)
        for _ in range(3):
            self.write(c, r)
        self.run_again(c, by_worker)
        self.check(c, "after the next run")
        self.check_done(c)
        self.check(c, "after the next refresh")
        c.close()
        if self.problems:
            raise Problem("\n".join(self.problems))
        return what, reached


def check_points():
    """Every stop point of the sources is in the lists above."""
    names = {name for path in TOP.glob("src/pg/**/*.cpp") for name in re.findall(r'\bStopPoint\("(\w+)"\)', path.read_text())}
    known = {name for names in POINTS.values() for name in names}
    new, old = {name for name in names if name.startswith(COVERED)} - known, known - names
    if new or old:
        sys.exit(f"stop points that this program does not know: {sorted(new)}, that are gone: {sorted(old)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first iteration")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failed iteration")
    arguments = parser.parse_args()
    check_points()
    server, started, failures, done, counts, points = Server(), time.monotonic(), 0, 0, collections.Counter(), collections.Counter()
    for number in range(arguments.first, arguments.first + arguments.iterations):
        iteration, began = Iteration(server, arguments.seed, number), time.monotonic()
        done += 1
        try:
            what, reached = iteration.play(number)
            points[iteration.kind, iteration.point] += 1
            counts[re.sub(r" at .*", " at a stop point", what) if reached else "point or process not there: other kill"] += 1
            print(f"ok {number + 1} - {what}: {len(iteration.acknowledged)} transactions, {time.monotonic() - began:.1f} s", flush=True)
        except Exception as problem:
            failures += 1
            iteration.stop.set()
            print(f"not ok {number + 1} - {getattr(iteration, 'kind', '')} seed {arguments.seed}\n# " + f"{type(problem).__name__}: {problem}".replace("\n", "\n# "), flush=True)
            if not isinstance(problem, (Problem, ServerGone, RuntimeError)):
                raise
            if not arguments.keep_going:
                break
    print(f"1..{done}")
    for what, count in sorted(counts.items()):
        print(f"# {count} {what}")
    missed = [f"{kind} at {point}" for kind, names in POINTS.items() for point in names if not points[kind, point]]
    print(f"# stop points that nobody came to: {', '.join(missed) or 'none'}")
    print(f"# {failures} failures, {time.monotonic() - started:.0f} s")
    server.script("stop" if failures else "wipe")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
