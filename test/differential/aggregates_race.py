"""Writers, refreshes and compactions that really run at the same time; every continuous aggregate must equal its query whenever
one looks.

    aggregates_race.py [--seed N] [--seconds N] [--database NAME]

Where aggregates.py gives out statements one at a time and knows what should come, here nobody waits for anybody: four sessions
insert, update and delete, new rows, of which many are the newest of all and pass the gate instead of taking a lock, and late ones,
one and thousands, alone, in blocks, with savepoints and in two phases; two refresh random windows of three views (fixed buckets
that do not nest, days of a time zone whose clocks go back over midnight), one compacts, and one compares each view with the view
of its query, under one snapshot. The server is the one of PGHOST and PGPORT; it needs max_prepared_transactions of 4. Prints TAP
lines; exits with 1 when a view differs or a statement fails in a way it must not.
"""
import argparse, collections, random, sys, threading, time

from libpq import FINE, Connection, fresh_database

WRITERS, REFRESHERS = 4, 2
VIEWS = {"minutes": "SELECT time_bucket('1 minute', time) AS b, h, count(*), sum(v) AS s FROM t GROUP BY 1, 2",
         "sevens": "SELECT time_bucket('7 minutes', time) AS b, count(*), sum(v) AS s FROM t GROUP BY 1",
         "days": "SELECT time_bucket('1 day', time, 'America/Havana') AS b, count(*), sum(v) AS s FROM t GROUP BY 1"}
# Lost races, rows that are compressed already, a window without a whole bucket.
REFUSED = ("40001", "40P01", "55P03", "0A000", "22023")


class Race:
    def __init__(self, seed, seconds, database):
        self.seed, self.seconds, self.database = seed, seconds, database
        self.problems, self.counts, self.lock = [], collections.Counter(), threading.Lock()
        self.newest = 100_000

    def goes_on(self):
        """As long as was asked for; on a busy machine until everything has been done once."""
        now = time.monotonic()
        return not self.problems and (now < self.end or (self.undone() and now < self.end + 180))

    def undone(self):
        """Something must have happened: nothing is shown by writers that were refused, or by views that were never refreshed."""
        return [kind for kind in ("write", "block", "refresh", "compact", "vacuum", "compare") if not self.counts[kind, "done"]]

    def run(self, connection, kind, text):
        """-> whether it was done"""
        state, rows, _ = connection.run(text)
        with self.lock:
            self.counts[kind, "done" if state == FINE else "refused"] += 1
        if state != FINE and state not in REFUSED:
            self.problems.append(f"{text}\n{state} {rows}")
        return state == FINE

    def time(self, chance):
        """One that comes again and again, one that is later than most, or the newest."""
        late = chance.randrange(100_000)
        if chance.randrange(3) == 0:
            with self.lock:
                self.newest += chance.choice([1, 30, 600, 20_000])
                late = self.newest
        return f"'2024-11-02 12:00+00'::timestamptz + interval '{chance.choice([late, int((time.monotonic() - self.start) * 600)])} s'"

    def write(self, connection, chance):
        kind = chance.randrange(10)
        some = f"(SELECT ctid FROM t WHERE h = {chance.randrange(5)} AND v = {chance.randrange(100)} LIMIT 3)"
        if kind < 5:
            return self.run(connection, "write", f"INSERT INTO t VALUES ({self.time(chance)}, {chance.randrange(5)}, {chance.randrange(100)})")
        if kind < 7:
            return self.run(connection, "write", f"INSERT INTO t SELECT {self.time(chance)} + g * interval '7 s', g % 5, g FROM generate_series(1, {chance.choice([3, 50, 2000])}) g")
        if kind < 9:
            return self.run(connection, "write", f"UPDATE t SET time = {self.time(chance)}, v = v + 1 WHERE ctid IN {some}")
        return self.run(connection, "write", f"DELETE FROM t WHERE ctid IN {some}")

    def write_block(self, connection, chance, name):
        connection.get("BEGIN")
        for _ in range(chance.randrange(1, 5)):
            if chance.random() < 0.2:
                connection.get("SAVEPOINT s")
                self.write(connection, chance)
                connection.get("ROLLBACK TO s")
            elif not self.write(connection, chance):
                connection.get("ROLLBACK")
                return
        end = chance.choice(["COMMIT", "COMMIT", "ROLLBACK", f"PREPARE TRANSACTION '{name}'"])
        if self.run(connection, "block", end) and end.startswith("PREPARE"):
            time.sleep(chance.random() * 0.05)
            connection.get(f"COMMIT PREPARED '{name}'")

    def writer(self, number):
        chance, connection = random.Random(f"{self.seed} {number}"), Connection(self.database)
        if number < 2:                                  # long between the look at the threshold and the commit
            connection.get("SET tsext.stop_point = 'touch_after_threshold:wait:1'")
        while self.goes_on():
            if chance.randrange(3):
                self.write(connection, chance)
            else:
                self.write_block(connection, chance, f"aggregates_race {number}")

    def refresher(self, number):
        chance, connection = random.Random(f"{self.seed} refresh {number}"), Connection(self.database)
        while self.goes_on():
            start = chance.choice(["NULL", self.time(chance)])
            end = chance.choice(["NULL", f"{self.time(chance)} + interval '1 day'"])
            self.run(connection, "refresh", f"CALL refresh_continuous_aggregate('{chance.choice(list(VIEWS))}', {start}, {end})")

    def holder(self):
        """Keeps writers at their stop point for a while, again and again."""
        connection = Connection(self.database)
        while self.goes_on():
            connection.get("SELECT pg_advisory_lock(1), pg_sleep(0.2), pg_advisory_unlock(1)")
            time.sleep(0.02)

    def compactor(self):
        connection = Connection(self.database)
        while self.goes_on():
            time.sleep(2)
            self.run(connection, "compact", "SELECT tsext.compact('t')")
            self.run(connection, "vacuum", "VACUUM ANALYZE t")

    def comparer(self):
        connection = Connection(self.database)
        while self.goes_on():
            for view in VIEWS:
                self.compare(connection, view)

    def compare(self, connection, view):
        rows = connection.get(f"(SELECT 'view', * FROM (TABLE {view} EXCEPT ALL TABLE {view}_direct) a) UNION ALL "
                              f"(SELECT 'query', * FROM (TABLE {view}_direct EXCEPT ALL TABLE {view}) b) LIMIT 5")
        self.counts["compare", "done"] += 1
        if rows:
            self.problems.append(f"{view} is not what its query gives: {rows}")

    def keep(self, body, *arguments):
        """A problem must not be lost with its thread."""
        try:
            body(*arguments)
        except Exception as problem:
            self.problems.append(repr(problem))

    def race(self):
        fresh_database(self.database)
        owner = Connection(self.database)
        owner.get("SET client_min_messages = error")
        owner.get("CREATE TABLE t (time timestamptz NOT NULL, h int, v int) USING tsext")
        for view, query in VIEWS.items():
            owner.get(f"CREATE MATERIALIZED VIEW {view} WITH (tsext.continuous) AS {query} WITH NO DATA")
        self.start = time.monotonic()
        self.end = self.start + self.seconds
        bodies = [(self.writer, n) for n in range(WRITERS)] + [(self.refresher, n) for n in range(REFRESHERS)] + [(self.holder,), (self.compactor,), (self.comparer,)]
        threads = [threading.Thread(target=self.keep, args=body) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # At rest, before and after all has been computed.
        for refresh in (False, True):
            for view in VIEWS if not self.problems else ():
                if refresh:
                    owner.get(f"CALL refresh_continuous_aggregate('{view}', NULL, '2030-01-01')")
                self.compare(owner, view)
        if not self.problems:
            self.problems += [f"no {kind} was done" for kind in self.undone()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--database", default="aggregates_race")
    arguments = parser.parse_args()
    race = Race(arguments.seed, arguments.seconds, arguments.database)
    race.race()
    for problem in race.problems:
        print(problem)
    done = ", ".join(f"{kind} {end} {count}" for (kind, end), count in sorted(race.counts.items()))
    print(f"{'not ok' if race.problems else 'ok'} 1 - seed {arguments.seed}: {done}\n1..1", flush=True)
    return 1 if race.problems else 0


if __name__ == "__main__":
    sys.exit(main())
