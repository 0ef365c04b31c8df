"""Eight clients insert, update counters and read, once alone and once with tsext.compact() and COLD merges in an endless loop.

The sum of the counters must equal the acknowledged updates, and each acknowledged insert must be there once. Not acknowledged
are 40001 (repeat the statement) and 0A000 (the row is already compressed). Prints the readers' p99 and the server's lock waits.

    concurrent.py [SECONDS]      default 60
"""
import collections, datetime, os, pathlib, random, re, sys, threading, time

from common import Session, fresh_database, show

COUNTERS = 50
KINDS = ["insert", "insert", "update", "update", "update", "read", "read", "read"]
NOT_ACKNOWLEDGED = ("40001", "0A000")


class Worker(threading.Thread):
    """A session that repeats statements until a time. A problem is kept, not lost with the thread."""

    def __init__(self, number, until):
        super().__init__()
        self.random = random.Random(number)
        self.until = until
        self.milliseconds = []
        self.refused = 0
        self.problem = None

    def run(self):
        try:
            self.session = Session("bench")
            self.session.get("SET statement_timeout = '60s'")
            self.session.get("\\timing on")
            while time.monotonic() < self.until:
                self.step()
            self.session.close()
        except Exception as problem:
            self.problem = problem

    def statement(self, text):
        """-> the rows of an acknowledged statement, or None."""
        state, output = self.session.run(text)
        if state in NOT_ACKNOWLEDGED:
            self.refused += 1
            return None
        if state != "00000":
            raise RuntimeError(f"{text}\n{state} {output}")
        rows, _, took = output.rpartition("Time: ")
        self.milliseconds.append(float(took.split()[0]))
        return rows


class Inserter(Worker):
    inserted = 0

    def step(self):
        values = ", ".join(f"(clock_timestamp(), 'host_{self.random.randrange(50)}', {self.random.random():.3f}, 0)" for _ in range(20))
        if self.statement(f"INSERT INTO readings VALUES {values}") is not None:
            self.inserted += 20


class Updater(Worker):
    """Counts up the newest row of a counter, and makes a new row when that one is compressed: compaction keeps meeting updates."""
    inserted = counted = 0
    newest = {}                               # counter -> time of its newest row, shared by all updaters

    def step(self):
        counter = f"counter_{self.random.randrange(COUNTERS)}"
        at = self.newest.get(counter, "-infinity")
        rows = self.statement(f"UPDATE readings SET n = n + 1 WHERE host = '{counter}' AND time = '{at}' RETURNING 1")
        if rows:
            self.counted += rows.count("1")
            return
        at = datetime.datetime.now(datetime.timezone.utc).isoformat()
        if self.statement(f"INSERT INTO readings VALUES ('{at}', '{counter}', 0, 0)") is not None:
            self.inserted += 1
            self.newest[counter] = at


class Reader(Worker):
    def step(self):
        host = self.random.randrange(50)
        self.statement(f"SELECT count(*), sum(n), max(value) FROM readings WHERE time > now() - interval '{self.random.choice([1, 2, 5])} s' AND host = 'host_{host}'")


class Compactor(Worker):
    runs = 0

    def step(self):
        self.statement("SELECT tsext.compact('readings'" + (", level => 'cold')" if self.runs % 5 == 4 else ")"))
        self.runs += 1


def percentile(numbers, p):
    return sorted(numbers)[min(len(numbers) - 1, int(len(numbers) * p))] if numbers else float("nan")


def play(s, seconds, compacting):
    Updater.newest.clear()
    s.get("DROP TABLE IF EXISTS readings")
    s.get("CREATE TABLE readings (time timestamptz NOT NULL, host text NOT NULL, value float8, n bigint) USING tsext")
    log = pathlib.Path(os.environ["TSEXT_SERVER_LOG"])
    log_begin = len(log.read_bytes())
    until = time.monotonic() + seconds
    classes = {"insert": Inserter, "update": Updater, "read": Reader}
    workers = [classes[kind](number, until) for number, kind in enumerate(KINDS)]
    compactor = Compactor(99, until)
    everyone = workers + ([compactor] if compacting else [])
    for w in everyone:
        w.start()
    for w in everyone:
        w.join()
    problems = [str(w.problem) for w in everyone if w.problem]
    inserted = sum(getattr(w, "inserted", 0) for w in workers)
    counted = sum(getattr(w, "counted", 0) for w in workers)
    refused = sum(w.refused for w in everyone)
    rows, total = (int(x) for x in s.get("SELECT count(*), sum(n) FROM readings").split("|"))
    if rows != inserted:
        problems.append(f"{inserted} rows were acknowledged, {rows} are there")
    if total != counted:
        problems.append(f"{counted} updates were acknowledged, the sum is {total}")
    waits = [line.split("still waiting for ")[1] for line in log.read_bytes()[log_begin:].decode(errors="replace").splitlines() if "still waiting for" in line]
    kinds = collections.Counter(re.sub(r"\d+(\.\d+)?", "N", line) for line in waits)
    for kind, count in kinds.most_common():
        print(f"{'compacting' if compacting else 'alone'}: {count} × waited for {kind}")
    took = [float(m[1]) for line in log.read_bytes()[log_begin:].decode(errors="replace").splitlines() if (m := re.search(r"acquired .* after ([\d.]+) ms", line))]
    if took:
        print(f"{'compacting' if compacting else 'alone'}: such waits took {percentile(took, 0.5):.0f} ms (median), {max(took):.0f} ms (longest)")
    cold = s.get("SELECT coalesce(sum(nrows), 0) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'readings'::regclass)")
    readers = [ms for w in workers if isinstance(w, Reader) for ms in w.milliseconds]
    writers = [ms for w in workers if isinstance(w, (Inserter, Updater)) for ms in w.milliseconds]
    return problems, ["compacting" if compacting else "alone", inserted, counted, refused, compactor.runs, int(cold), len(readers), percentile(readers, 0.5),
                      percentile(readers, 0.99), percentile(writers, 0.99), len(waits)]


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    s = fresh_database()
    alone_problems, alone = play(s, seconds, compacting=False)
    problems, busy = play(s, seconds, compacting=True)
    show(f"Eight clients for {seconds:g} s", ["", "rows inserted", "updates acknowledged", "refused (40001, 0A000)", "compactions", "rows in segments", "reads", "read p50 ms",
                                              "read p99 ms", "write p99 ms", "lock waits > 20 ms"], [alone, busy])
    print(f"\nreaders' p99 with compaction / alone: {busy[8] / alone[8]:.2f}")
    for problem in alone_problems + problems:
        print("WRONG:", problem)
    return 1 if alone_problems or problems else 0


sys.exit(main())
