"""What following the writes of a table costs its writers: CPU time of the backend that inserts into a table under a continuous
aggregate, beside one without.

    jobs_invalidation.py      needs the server of PGHOST and PGPORT; makes the database "bench" anew

Both tables are written to by one backend, a small portion at a time in turn; 11 runs over all portions give a ratio each, and their
median counts. CPU time is what the scheduler counts in nanoseconds. Appends are above the threshold, as those of a
live table; late rows, which are logged, are measured for information. Afterwards both tables must hold the same and appends must
have logged nothing. A commit of one row is measured as a server does it by default, flushed to disk; and for information, as late
rows are, with synchronous_commit off, where a look at the threshold is the largest part of what a statement can cost.
"""
import datetime, os, pathlib, statistics, sys

from common import WORK, fresh_database, require_equal, show

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "differential"))
from libpq import Connection  # noqa: E402

PAIRS = 11
GOAL = 1.02
TABLES = ["unheeded", "followed"]            # names of one length: statements are read letter by letter


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def values(first, count, start):
    """Rows of one second each, ten hosts."""
    return ", ".join(f"('{start}'::timestamptz + interval '{first + i} s', 'host_{i % 10}', {i % 100}.5, {i})" for i in range(count))


class Load:
    """Portions of statements for table %s: portions(run). Both tables get a portion in turn, so that what else the machine does meets both."""

    def __init__(self, name, portions, empties=False, counts=True, flushes=False):
        self.name, self.portions, self.empties, self.counts, self.flushes = name, portions, empties, counts, flushes


def single(start, portions=100):
    return lambda run: [[f"INSERT INTO %s VALUES {values(run * 4000 + k * 40 + i, 1, start)}" for i in range(40)] for k in range(portions)]


def hundreds(run):
    return [[f"INSERT INTO %s VALUES {values(((run * 100 + k) * 4 + i) * 100, 100, '2024-04-01')}" for i in range(4)] for k in range(100)]


def transactions(run):
    return [["BEGIN"] + [f"INSERT INTO %s VALUES {values(run * 5000 + k * 100 + i, 1, '2024-05-01')}" for i in range(100)] + ["COMMIT"] for k in range(50)]


def loads(csv):
    return [
        Load("INSERT of one row, autocommit, 1,000 times", single("2024-03-01", 25), flushes=True),
        Load("INSERT of 100 rows, 400 times", hundreds),
        Load("50 transactions of 100 INSERTs of one row", transactions),
        Load("COPY of 200,000 rows, 5 times", lambda run: [[f"COPY %s FROM '{csv}' (FORMAT csv)"]] * 5, empties=True),
        Load("INSERT of one row, autocommit, not flushed, 4,000 times (for information)", single("2024-03-02"), counts=False),
        Load("late rows: the same below the threshold (for information)", single("2024-01-01"), counts=False),
    ]


def set_up(connection):
    for table in TABLES:
        connection.get(f"CREATE TABLE {table} (time timestamptz NOT NULL, host text, usage double precision, n bigint) USING tsext")
        connection.get(f"INSERT INTO {table} VALUES ('2024-01-01', 'host_0', 1, 1)")
    connection.get("CREATE MATERIALIZED VIEW hourly WITH (tsext.continuous) AS SELECT time_bucket('1 hour', time) AS bucket, host, avg(usage), max(n) FROM followed "
                   "GROUP BY 1, 2 WITH NO DATA")
    connection.get("CALL refresh_continuous_aggregate('hourly', NULL, '2024-02-01')")
    csv = WORK / "invalidation.csv"
    first = datetime.datetime(2024, 6, 1)
    with csv.open("w") as file:             # by us: the server's account may only read there
        file.writelines(f"{first + datetime.timedelta(seconds=g // 10)}+00,host_{g % 10},{g % 100}.5,{g}\n" for g in range(200_000))
    return csv


def measure(connection, pid, load):
    """-> (median of the ratios, the least, the greatest, median CPU milliseconds of both)"""
    ratios, spent = [], {table: [] for table in TABLES}
    for run in range(PAIRS + 1):
        took = dict.fromkeys(TABLES, 0)
        for number, portion in enumerate(load.portions(run)):
            for table in TABLES if (run + number) % 2 == 0 else reversed(TABLES):
                statements = [statement.replace("%s", table) for statement in portion]
                if load.empties:
                    connection.get(f"TRUNCATE {table}")
                before = cpu_ns(pid)
                for statement in statements:
                    connection.get(statement)
                took[table] += cpu_ns(pid) - before
        if run == 0:
            continue                                                    # caches are filled
        ratios.append(took["followed"] / took["unheeded"])
        for table in TABLES:
            spent[table].append(took[table] / 1e6)
    return statistics.median(ratios), min(ratios), max(ratios), *(statistics.median(spent[table]) for table in TABLES)


def main():
    """-> whether the goal is reached"""
    fresh_database().close()
    connection = Connection("bench")
    for setting in ("timezone = 'UTC'", "client_min_messages = error"):
        connection.get(f"SET {setting}")
    pid = int(connection.value("SELECT pg_backend_pid()"))
    csv = set_up(connection)
    rows, good = [], True
    for load in loads(csv):
        connection.get("DELETE FROM tsext.cagg_log")
        connection.get(f"SET synchronous_commit = {'on' if load.flushes else 'off'}")
        median, least, greatest, unheeded, followed = measure(connection, pid, load)
        if load.counts:
            if not load.empties:
                require_equal(f"{load.name}: entries of the log", connection.value("SELECT count(*) FROM tsext.cagg_log"), "0")
            good = good and median <= GOAL
        rows.append([load.name, unheeded, followed, f"{median:.3f}", f"{least:.3f} to {greatest:.3f}", "" if not load.counts else "PASS" if median <= GOAL else "short"])
    content = "SELECT count(*), sum(n), min(time), max(time), sum(usage) FROM "
    require_equal("rows of both tables", *(connection.get(content + table) for table in TABLES))
    show(f"CPU time of the writing backend under an hourly aggregate, {PAIRS} interleaved pairs (goal: at most {GOAL})",
         ["load", "unheeded, ms", "followed, ms", "ratio", "pairs", ""], rows)
    csv.unlink()
    return good


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    sys.exit(0 if main() else 1)
