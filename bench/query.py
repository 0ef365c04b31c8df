"""Speed of reading: the queries of queries.py on heap, tsext and DuckDB in one run, answers compared before a time is taken.

    query.py [cpu100] [cpu1000] [rates] [growth] [planning] [grafana]

    cpu100, cpu1000   the 21 queries on 2,592,000 and 8,640,000 rows, with two workers and with one process
    rates             rows/s of one process by instruction set; two workers beside one process
    growth            the same one-day query on 1, 10 and 100 days
    planning          planning time, relation locks and cached metadata at 10 and 10,000 chunks
    grafana           the statements of test/differential/grafana.sql beside a heap copy

What is loaded is kept for the next run as long as the code that writes it is the same. TSEXT_BENCH_REPEATS (3): rounds; of their
medians the least counts. TSEXT_BENCH_TIMES (5): runs of a statement in a round. TSEXT_BENCH_BUDGET (2): seconds after
which no more runs of a query on one system are begun in a round, and no more rounds.
"""
import hashlib, os, sys, time

from common import TOP, WORK, DuckDB, cpu_columns, cpu_csv, median, show
from libpq import Connection
from queries import DATASETS, STEP, queries

ROUNDS = int(os.environ.get("TSEXT_BENCH_REPEATS", "3"))
TIMES = int(os.environ.get("TSEXT_BENCH_TIMES", "5"))
BUDGET = float(os.environ.get("TSEXT_BENCH_BUDGET", "2"))
DATABASE = "query"
COMPARED_WHOLE = 20_000         # answers with more rows are compared for the first variant only

# What tsext is to reach, in ms, as measured side by side with the peers on one machine: heap with btrees, DuckDB with two threads,
# tsext with two workers. Only the ratios count.
GOALS = {
    "single-groupby-1-1-1": (0.39, 0.88, 0.2), "single-groupby-1-1-12": (4.2, 1.6, 0.4), "single-groupby-1-8-1": (7.7, 1.1, 0.4),
    "single-groupby-5-1-1": (0.29, 1.2, 0.25), "single-groupby-5-1-12": (5.1, 2.9, 0.7), "single-groupby-5-8-1": (7.8, 1.6, 0.6),
    "cpu-max-all-1": (3.6, 3.1, 0.5), "cpu-max-all-8": (47, 4.9, 1.3), "double-groupby-1": (82, 6.5, 3), "double-groupby-5": (107, 8.4, 5.8),
    "double-groupby-all": (150, 10.5, 7.3), "high-cpu-1": (4.2, 3.3, 0.8), "high-cpu-all": (79, None, 32), "lastpoint": (1755, 929, 3),
    "groupby-orderby-limit": (274, 28, 0.7), "scan-count": (84, 0.12, 0.15), "scan-agg": (227, 14, 0.5), "scan-hourly": (310, 33, 6),
    "scan-filter": (206, 7.7, 2.5), "lastvalue": (2720, 10.5, 2), "point": (0.07, 0.55, 0.15)}
ONE_PROCESS = {"double-groupby-1": 0.42, "double-groupby-5": 0.7, "double-groupby-all": 0.7, "scan-hourly": 0.17, "scan-filter": 0.27}   # tsext / DuckDB
TOLERANCE = 1.1
POINT_TO_HEAP = 2.2
SCAN_COUNT_MS = 0.2
MEAN_TO_BETTER = 0.4
NOISE = 1.05                    # what two runs of the same differ by


def connect():
    c = Connection(DATABASE)
    c.get("SET timezone = 'UTC'; SET client_min_messages = error")
    return c


# ---- what is loaded, and kept

def digest(*paths):
    found = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*") if path.is_dir() else [path]):
            if file.is_file() and not file.name.endswith(("_test.cpp", "_fuzz.cpp", ".md")):
                found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


STORAGE = digest(*(TOP / p for p in ("src/core/codec", "src/core/segment", "src/pg/catalog", "src/pg/table", "bench/tsgen.cpp")), next((TOP / "build").glob("tsext--*.sql")))


def open_database():
    """The database of the last run if the storage code has not changed since."""
    admin = Connection("postgres")
    if admin.get(f"SELECT FROM pg_database WHERE datname = '{DATABASE}' AND shobj_description(oid, 'pg_database') = '{STORAGE}'"):
        return connect()
    admin.get(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    admin.get(f"CREATE DATABASE {DATABASE}")
    c = connect()
    c.get("CREATE EXTENSION tsext; CREATE TABLE loaded (part text PRIMARY KEY, steps text)")
    admin.get(f"COMMENT ON DATABASE {DATABASE} IS '{STORAGE}'")
    return c


def load(c, part, steps, file=None):
    """Runs the statements once, then again only when they or the code that stores have changed. file: must be there, too."""
    told = str(steps).replace("'", "''")
    if c.get(f"SELECT FROM loaded WHERE part = '{part}' AND steps = '{told}'") and (file is None or file.exists()):
        return False
    started = time.monotonic()
    for step in steps:
        c.get(step)
    print(f"loaded {part} in {time.monotonic() - started:.0f} s", flush=True)
    return True


def loaded(c, part, steps):
    told = str(steps).replace("'", "''")
    c.get(f"INSERT INTO loaded VALUES ('{part}', '{told}') ON CONFLICT (part) DO UPDATE SET steps = excluded.steps")


def load_cpu(c, name):
    """-> a session of DuckDB on the same rows."""
    hosts, seconds = DATASETS[name]
    csv, heap = cpu_csv("int", hosts, seconds), f"{name}_heap"
    steps = [f"DROP TABLE IF EXISTS {name}, {heap}",
             f"CREATE TABLE {heap} ({cpu_columns('timestamptz')}) USING heap", f"COPY {heap} FROM '{csv}' WITH (FORMAT csv)",
             f"CREATE INDEX ON {heap} (time)", f"CREATE INDEX ON {heap} (hostname, time)", f"VACUUM (ANALYZE, FREEZE) {heap}",
             f"CREATE TABLE {name} ({cpu_columns('timestamptz')}) USING tsext", f"COPY {name} FROM '{csv}' WITH (FORMAT csv)",
             f"SELECT tsext.compact('{name}', level => 'hot')", f"VACUUM (ANALYZE) {name}", "CHECKPOINT"]
    file = WORK / f"query-{name}.duckdb"
    fresh = load(c, name, steps, file)
    duck = DuckDB(file.name, threads=2, keep=not fresh)
    if fresh:
        duck.get(f"CREATE TABLE {name} ({cpu_columns('timestamp')})")
        duck.get(f"COPY {name} FROM '{csv}' (FORMAT csv, HEADER false)")
        duck.get("CHECKPOINT")
        loaded(c, name, steps)
    return duck


# ---- answers

def number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def canonical(value):
    """A value of PostgreSQL's text or DuckDB's JSON, so that both sort alike."""
    if value is None:
        return (0, "")
    value = str(value).removesuffix("+00")
    x = number(value)
    return (1, f"{x:.9g}") if x is not None else (2, value)


def same(a, b, ordered):
    """Whether two answers hold the same rows. Floats may differ by 1e-11 of their value, the order only when there is no ORDER BY."""
    if len(a) != len(b):
        return False
    if not ordered:
        a, b = (sorted(rows, key=lambda row: [canonical(v) for v in row]) for rows in (a, b))
    for left, right in zip(a, b):
        for x, y in zip(left, right):
            if canonical(x) == canonical(y):
                continue
            p, q = number(x), number(y)
            if p is None or q is None or abs(p - q) > 1e-11 * max(abs(p), abs(q)):
                return False
        if len(left) != len(right):
            return False
    return True


def compare(c, duck, name, statements):
    for i, (heap, tsext, duckdb) in enumerate(statements):
        ordered = "ORDER BY" in tsext
        answer = c.get(tsext)
        if i == 0 or len(answer) <= COMPARED_WHOLE:
            for system, other in (("heap", c.get(heap)), ("DuckDB", duck.get(duckdb)[1])):
                if not same(answer, other, ordered):
                    sys.exit(f"{name}: tsext and {system} answer differently:\n{tsext}\n{answer[:5]}\n{other[:5]}")


# ---- times

def round_median(run, statements):
    """-> (median over the statements and their repeats in ms, whether that took the whole budget)"""
    took, until = [], time.monotonic() + BUDGET
    for statement in statements * TIMES:
        took.append(run(statement))
        if time.monotonic() > until:
            return median(took), True
    return median(took), False


def least_medians(runs):
    """runs: list of (run, statements), measured in turns; a slow one in the first round only. -> the least of each one's medians"""
    found = [[] for _ in runs]
    slow = [False] * len(runs)
    for _ in range(ROUNDS):
        for i, (run, statements) in enumerate(runs):
            if not slow[i]:
                took, slow[i] = round_median(run, statements)
                found[i].append(took)
    return [min(medians) for medians in found]


def set_workers(c, duck, workers):
    c.get(f"SET max_parallel_workers_per_gather = {0 if workers == 1 else workers}")
    if duck:
        duck.get(f"SET threads = {workers}")


def measure(c, duck, name, checked):
    """checked: the answers are known to agree. -> {query: (heap, tsext, DuckDB) in ms}"""
    sets = [queries(table, name, dialect) for table, dialect in ((f"{name}_heap", "heap"), (name, "tsext"), (name, "duckdb"))]
    found = {}
    for (query, heap), (_, tsext), (_, duckdb) in zip(*sets):
        if not checked:
            compare(c, duck, query, list(zip(heap, tsext, duckdb)))
        found[query] = least_medians([(c.milliseconds, heap), (c.milliseconds, tsext), (duck.milliseconds, duckdb)])
    return found


def short(good):
    return "PASS" if good else "short"


def goal_ratios(query):
    """The ratios to heap and to DuckDB that the query is to reach; None where there is none."""
    heap, duckdb, tsext = GOALS[query]
    if query == "point":
        return POINT_TO_HEAP, TOLERANCE * tsext / duckdb
    to_heap, to_duckdb = (None if peer is None else TOLERANCE * tsext / peer for peer in (heap, duckdb))
    return (to_heap and min(to_heap, 1), None if query == "high-cpu-all" else min(to_duckdb, 1))


def ms(x):
    return f"{x:,.2f}" if x < 100 else f"{x:,.0f}"


def ratio(x):
    return "–" if x is None else f"{x:.2g}" if x < 0.1 else f"{x:.2f}"


def geometric_mean(found):
    """Of tsext / the better of heap and DuckDB; high-cpu-all beside heap, as DuckDB's driver does not put rows out as text."""
    product = 1
    for query, (heap, tsext, duckdb) in found.items():
        product *= tsext / (heap if query == "high-cpu-all" else min(heap, duckdb))
    return product ** (1 / len(found))


def show_two_workers(title, found):
    rows = []
    for query, (heap, tsext, duckdb) in found.items():
        goal_heap, goal_duckdb = goal_ratios(query)
        if query == "scan-count":
            good, goal_heap, goal_duckdb = tsext <= SCAN_COUNT_MS, None, None
        else:
            good = tsext <= goal_heap * heap and (goal_duckdb is None or tsext <= goal_duckdb * duckdb)
        rows.append([query, ms(heap), ms(tsext), ms(duckdb), ratio(tsext / heap), ratio(goal_heap), ratio(tsext / duckdb), ratio(goal_duckdb), short(good)])
    show(title, ["query", "heap ms", "tsext ms", "DuckDB ms", "tsext/heap", "at most", "tsext/DuckDB", "at most", ""], rows)
    mean = geometric_mean(found)
    print(f"\n{sum(row[-1] == 'PASS' for row in rows)} of {len(rows)} pass; geometric mean of tsext / better of the two: {mean:.2f} (at most {MEAN_TO_BETTER}: {short(mean <= MEAN_TO_BETTER)})")


def show_one_process(title, found):
    rows = []
    for query, (heap, tsext, duckdb) in found.items():
        goal = ONE_PROCESS[query] * TOLERANCE if query in ONE_PROCESS else goal_ratios(query)[1]
        good = tsext <= SCAN_COUNT_MS if query == "scan-count" else goal is None or tsext <= goal * duckdb
        rows.append([query, ms(heap), ms(tsext), ms(duckdb), ratio(tsext / heap), ratio(tsext / duckdb), ratio(None if query == "scan-count" else goal),
                     short(good) if goal else "–"])
    show(title, ["query", "heap ms", "tsext ms", "DuckDB ms", "tsext/heap", "tsext/DuckDB", "at most", ""], rows)
    print(f"\n{sum(row[-1] == 'PASS' for row in rows)} of {sum(row[-1] != '–' for row in rows)} pass; geometric mean of tsext / better of the two: {geometric_mean(found):.2f}")


def show_growth_of_rows(found, smaller):
    """tsext/DuckDB at 8.6 M rows beside the same at 2.6 M, of this run or else the goal."""
    rows = []
    for query, (_, tsext, duckdb) in found.items():
        if query == "high-cpu-all":
            continue
        base = smaller[query][1] / smaller[query][2] if smaller else GOALS[query][2] / GOALS[query][1]
        now = tsext / duckdb
        good = now <= base * TOLERANCE or query == "scan-count" and tsext <= SCAN_COUNT_MS
        rows.append([query, ms(tsext), ms(duckdb), ratio(now), ratio(base), short(good)])
    show(f"8.6 M rows: tsext/DuckDB beside the {'ratio at 2.6 M' if smaller else 'goal'}, two workers", ["query", "tsext ms", "DuckDB ms", "ratio", "2.6 M" if smaller else "goal", ""], rows)


def cpu(c, name, smaller=None):
    """-> the times with two workers"""
    duck = load_cpu(c, name)
    hosts, seconds = DATASETS[name]
    size = f"{name}, {hosts * seconds // STEP:,} rows"
    set_workers(c, duck, 2)
    two = measure(c, duck, name, checked=False)
    show_two_workers(f"{size}, two workers or threads", two)
    set_workers(c, duck, 1)
    show_one_process(f"{size}, one process, one thread", measure(c, duck, name, checked=True))
    if name == "cpu1000":
        show_growth_of_rows(two, smaller)
    duck.close()
    return two


# ---- rows/s

def simd_levels(c):
    return [level for level in ("auto", "v4", "v3", "v1") if c.run(f"SET tsext.simd = '{level}'")[0] == "00000"]


def rates(c):
    """Scans of one column by one process; the slope of two workers."""
    duck = load_cpu(c, "cpu1000")
    hosts, seconds = DATASETS["cpu1000"]
    count = hosts * seconds // STEP
    set_workers(c, duck, 1)
    passing = float(c.value("SELECT 100.0 * count(*) FILTER (WHERE usage_user > 90) / count(*) FROM cpu1000"))
    levels = simd_levels(c)
    wanted = {"sum(v)": 1.5, f"count(*) WHERE v > 90 ({passing:.0f} % pass)": 4, "sum(v) WHERE v > 0 (decoded, not from footers)": None}
    rows = []
    for (title, goal), query in zip(wanted.items(), ("SELECT sum(usage_user) FROM cpu1000", "SELECT count(*) FROM cpu1000 WHERE usage_user > 90",
                                                     "SELECT sum(usage_user) FROM cpu1000 WHERE usage_user > 0")):
        speed = {}
        for level in levels:
            c.get(f"SET tsext.simd = '{level}'")
            if not same(c.get(query), duck.get(query)[1], True):
                sys.exit(f"{query}: the answers differ at tsext.simd = {level}")
            speed[level] = count / least_medians([(c.milliseconds, [query])])[0] / 1e3
        c.get("RESET tsext.simd")
        duckdb = count / least_medians([(duck.milliseconds, [query])])[0] / 1e3
        best = speed.get("v3", speed["auto"])
        good = goal is None or (best >= 1000 or best >= goal * duckdb) and speed["v1"] >= 0.4 * best
        rows.append([title, *(speed[level] for level in levels), duckdb, best / duckdb, speed["v1"] / best, "–" if goal is None else short(good)])
    show(f"One process, {count:,} rows, M rows/s (wanted: 1,000 at v3, or sum 1.5 × and count 4 × DuckDB; v1 at 0.4 × v3)",
         ["", *(f"tsext, simd {level}" for level in levels), "DuckDB, one thread", "v3 / DuckDB", "v1 / v3", ""], rows)
    windows = dict(queries("cpu1000", "cpu1000", "tsext"))["double-groupby-all"]
    whole = [windows[0][:windows[0].index(" WHERE ")] + " GROUP BY 1, 2 ORDER BY 1, 2"]
    found = []
    for title, statements in (("double-groupby-all, 12 of 24 hours", windows), ("the same over all rows", whole)):
        took = []
        for workers in (1, 2):
            set_workers(c, duck, workers)
            took += least_medians([(c.milliseconds, statements)])
        found.append([title, ms(took[0]), ms(took[1]), took[0] / took[1], short(took[0] >= 1.7 * took[1])])
    show(f"Two workers beside one process, {count:,} rows (wanted: 1.7)", ["", "one process ms", "two workers ms", "×", ""], found)
    duck.close()


# ---- growth

def growth(c):
    """10 hosts, a reading every 30 s; the last day of 1, 10 and 100 days."""
    set_workers(c, None, 2)
    sizes = (1, 10, 100)
    end = "timestamptz '2024-06-01 00:00+00'"
    for days in sizes:
        name = f"days_{days}"
        steps = [f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} (time timestamptz NOT NULL, hostname text, usage_user float8, usage_system float8) USING tsext",
                 f"""INSERT INTO {name} SELECT t, 'host_' || h, (extract(epoch FROM t)::bigint / 30 * (h + 7) % 1009) / 10.0, (extract(epoch FROM t)::bigint / 300 + h) % 101
                   FROM generate_series({end} - interval '{days} days', {end} - interval '30 s', '30 s') t, generate_series(0, 9) h""",
                 f"SELECT tsext.compact('{name}', level => 'hot')", f"VACUUM (ANALYZE) {name}"]
        if load(c, name, steps):
            loaded(c, name, steps)
    last_day = f"time >= {end} - interval '1 day' AND time < {end}"
    rows = []
    for title, query in (("hourly averages by host", f"SELECT time_bucket('1 hour', time), hostname, avg(usage_user), max(usage_system) FROM {{}} WHERE {last_day} GROUP BY 1, 2 ORDER BY 1, 2"),
                         ("one host by minute", f"SELECT time_bucket('1 min', time), max(usage_user) FROM {{}} WHERE hostname = 'host_3' AND {last_day} GROUP BY 1 ORDER BY 1"),
                         ("rows over a threshold", f"SELECT * FROM {{}} WHERE usage_user > 95 AND {last_day} ORDER BY time, hostname")):
        answers = [c.get(query.format(f"days_{days}")) for days in sizes]
        if not all(same(answers[0], a, True) for a in answers):
            sys.exit(f"{title}: the answers differ")
        took = least_medians([(c.milliseconds, [query.format(f"days_{days}")]) for days in sizes])
        rows.append([title, *map(ms, took), took[2] / took[0], short(took[2] <= 1.1 * took[0])])
    show("The last day of 1, 10 and 100 days, 28,800 rows a day (wanted: at most 1.1 ×)", ["", "1 day, ms", "10 days, ms", "100 days, ms", "100 / 1", ""], rows)


# ---- planning

def planning(c):
    """A table of hours with a chunk a day: what a dashboard query costs before it runs, and what it leaves behind."""
    start, names = "timestamptz '2000-01-03 00:00+00'", {}
    for chunks in (10, 10_000):
        name = names[chunks] = f"chunks_{chunks}"
        steps = [f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} (time timestamptz NOT NULL, hostname text, value float8) USING tsext WITH (tsext.chunk_interval = '1 day')",
                 f"INSERT INTO {name} SELECT {start} + g * interval '1 hour', 'host_' || h, g % 100 FROM generate_series(0, {chunks} * 24 - 1) g, generate_series(0, 1) h",
                 f"SELECT tsext.compact('{name}')", f"VACUUM (ANALYZE) {name}"]
        if load(c, name, steps):
            loaded(c, name, steps)
    rows, taken = [], set()
    for chunks, name in names.items():
        session = connect()
        query = f"SELECT time_bucket('1 hour', time), max(value) FROM {name} WHERE hostname = 'host_1' AND time >= {start} + interval '5 days' AND time < {start} + interval '6 days' GROUP BY 1"
        times = []
        for _ in range(201):
            lines = session.get("EXPLAIN (SUMMARY, COSTS off) " + query)
            times.append(next(float(line.split()[2]) for line, in lines if "Planning Time" in line))
        took = least_medians([(session.milliseconds, [query] * 20)])[0]
        session.get("BEGIN")
        session.get(query)
        locks = int(session.value("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation <> 'pg_locks'::regclass AND relation NOT IN "
                                  f"(SELECT indexrelid FROM pg_index WHERE indrelid = '{name}'::regclass)"))
        session.get("COMMIT")
        taken.add(locks)
        stored = int(session.value(f"SELECT count(DISTINCT chunk_start) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = '{name}'::regclass)"))
        cached = []
        for size in ("1MB", "16MB"):
            other = connect()
            other.get(f"SET tsext.footer_cache_size = '{size}'")
            other.get(f"SELECT hostname, max(value), min(time) FROM {name} WHERE value > 1 GROUP BY 1")
            cached.append(int(other.value("SELECT coalesce(sum(total_bytes), 0) FROM pg_backend_memory_contexts WHERE name ILIKE 'tsext%'")) / 2**20)
            other.close()
        rows.append([stored, f"{median(times):.3f}", f"{took:.3f}", locks, *cached, short(median(times) <= 0.3 and locks <= 8)])
        session.close()
    show("Before a query runs: 201 EXPLAINs in one session; relation locks in its transaction; memory of tsext's contexts after the whole table was read",
         ["chunks", "planning ms", "whole query ms", "locks", "MB at footer_cache_size 1 MB", "… 16 MB", ""], rows)
    print(f"\nthe same number of locks at both: {short(len(taken) == 1)}")


# ---- Grafana

def grafana(c):
    sys.path.insert(0, str(TOP / "test" / "differential"))
    import grafana as statements
    c.close()
    rows = []
    with statements.twins() as (heap, tsext):
        for number, text in statements.statements():
            tsext_ms, heap_ms = least_medians([(tsext.milliseconds, [text] * 20), (heap.milliseconds, [text] * 20)])
            rows.append([number, ms(heap_ms), ms(tsext_ms), ratio(tsext_ms / heap_ms), short(tsext_ms <= NOISE * heap_ms)])
    show("Grafana's statements, 21,600 rows (wanted: none slower than heap)", ["statement", "heap ms", "tsext ms", "tsext/heap", ""], rows)


def main():
    parts = sys.argv[1:] or ["cpu100", "cpu1000", "rates", "growth", "planning", "grafana"]
    smaller = None
    for part in parts:
        c = open_database()
        if part == "cpu100":
            smaller = cpu(c, part)
        elif part == "cpu1000":
            cpu(c, part, smaller)
        elif part in ("rates", "growth", "planning", "grafana"):
            {"rates": rates, "growth": growth, "planning": planning, "grafana": grafana}[part](c)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
