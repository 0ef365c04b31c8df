"""The benchmark's queries, as SQL over one wide table.

The first fifteen are the query types of the TSBS set "cpu-only" restated for a single denormalised table (tags are columns); the
rest are scans of the whole table, a selective count, the newest value of each host and a point lookup. Windows and hosts are drawn
from a fixed seed, so that every system is asked the same.
"""
import datetime, random

from common import METRICS

DATASETS = {"cpu100": (100, 3 * 86400), "cpu1000": (1000, 86400)}       # hosts, seconds
START = datetime.datetime(2016, 1, 1)
STEP = 10

# heap: with PostgreSQL's own functions, as its users would ask without an extension.
BUCKET = {"tsext": "time_bucket('{} seconds', time)", "heap": "date_bin('{} seconds', time, '2000-01-01 00:00:00+00')",
          "duckdb": "time_bucket(INTERVAL '{} seconds', time)"}
LAST = {"tsext": "last(usage_user, time)", "heap": "(array_agg(usage_user ORDER BY time DESC))[1]", "duckdb": "arg_max(usage_user, time)"}


def literal(at, dialect):
    return f"'{at:%Y-%m-%d %H:%M:%S}{'' if dialect == 'duckdb' else '+00'}'"


class Builder:
    """Draws windows, hosts and points of a dataset. The numbers of a query depend on its name and variant only."""

    def __init__(self, dataset, dialect, name, variant):
        self.hosts, self.seconds = DATASETS[dataset]
        self.dialect = dialect
        self.random = random.Random(f"{dataset}/{name}/{variant}")

    def window(self, hours):
        start = START + datetime.timedelta(seconds=self.random.randrange(0, self.seconds - hours * 3600 + 1))
        return start, start + datetime.timedelta(hours=hours)

    def time_range(self, hours):
        start, end = self.window(hours)
        return f"time >= {literal(start, self.dialect)} AND time < {literal(end, self.dialect)}"

    def where(self, hosts, hours):
        chosen = ", ".join(f"'host_{h}'" for h in self.random.sample(range(self.hosts), hosts))
        return f"hostname IN ({chosen}) AND {self.time_range(hours)}"

    def point(self):
        at = START + datetime.timedelta(seconds=STEP * self.random.randrange(self.seconds // STEP))
        return f"hostname = 'host_{self.random.randrange(self.hosts)}' AND time = {literal(at, self.dialect)}"


def aggregates(function, label, count):
    return ", ".join(f"{function}({c}) AS {label}_{c}" for c in METRICS[:count])


def queries(table, dataset, dialect, variants=3):
    """-> list of (name, [SQL of each variant])"""
    def bucket(seconds):
        return BUCKET[dialect].format(seconds)

    out = []

    def add(name, make):
        out.append((name, [make(Builder(dataset, dialect, name, i)) for i in range(variants)]))

    def once(name, query):
        out.append((name, [query]))

    for metrics, hosts, hours in ((1, 1, 1), (1, 1, 12), (1, 8, 1), (5, 1, 1), (5, 1, 12), (5, 8, 1)):
        add(f"single-groupby-{metrics}-{hosts}-{hours}",
            lambda b: f"SELECT {bucket(60)} AS minute, {aggregates('max', 'max', metrics)} FROM {table} WHERE {b.where(hosts, hours)} GROUP BY minute ORDER BY minute")
    for hosts in (1, 8):
        add(f"cpu-max-all-{hosts}",
            lambda b: f"SELECT {bucket(3600)} AS hour, {aggregates('max', 'max', 10)} FROM {table} WHERE {b.where(hosts, 8)} GROUP BY hour ORDER BY hour")
    for metrics, label in ((1, "1"), (5, "5"), (10, "all")):
        add(f"double-groupby-{label}",
            lambda b: f"SELECT {bucket(3600)} AS hour, hostname, {aggregates('avg', 'mean', metrics)} FROM {table} WHERE {b.time_range(12)} GROUP BY 1, 2 ORDER BY 1, 2")
    add("high-cpu-1", lambda b: f"SELECT * FROM {table} WHERE usage_user > 90.0 AND {b.where(1, 12)}")
    add("high-cpu-all", lambda b: f"SELECT * FROM {table} WHERE usage_user > 90.0 AND {b.time_range(12)}")
    once("lastpoint", f"SELECT DISTINCT ON (hostname) * FROM {table} ORDER BY hostname, time DESC")
    add("groupby-orderby-limit", lambda b: f"SELECT {bucket(60)} AS minute, max(usage_user) FROM {table} WHERE time < {literal(b.window(1)[1], dialect)} "
        "GROUP BY minute ORDER BY minute DESC LIMIT 5")
    once("scan-count", f"SELECT count(*) FROM {table}")
    once("scan-agg", f"SELECT avg(usage_user), min(usage_user), max(usage_user) FROM {table}")
    once("scan-hourly", f"SELECT {bucket(3600)} AS hour, avg(usage_user) FROM {table} GROUP BY 1 ORDER BY 1")
    once("scan-filter", f"SELECT count(*) FROM {table} WHERE usage_user > 90")
    once("lastvalue", f"SELECT hostname, {LAST[dialect]} FROM {table} GROUP BY 1 ORDER BY 1")
    add("point", lambda b: f"SELECT * FROM {table} WHERE {b.point()}")
    return out
