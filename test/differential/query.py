"""Random queries on a heap table h and its tsext twin t: both must answer alike, or fail with the same SQLSTATE.

    query.py [--seed N] [--seconds N] [--queries N] [--database NAME] [--keep-going] [--large] [--errors] [--nodes]

A round is one seed: tables as query_data.py makes them, then QUERIES_A_ROUND queries of query_text.py. The heap is read with plain
settings, t with random ones: our nodes on and off, forced parallel plans, prepared statements with generic plans, cursors, every
instruction set. Without --seconds and --queries it goes on until it is interrupted. A difference is cut down and left as a script in
build/test/query-SEED.sql. The server is the one of PGHOST and PGPORT. Prints TAP lines; exits with 1 when a round failed.
"""
import argparse, collections, decimal, pathlib, random, re, sys, time

from libpq import FINE, Connection, fresh_database
from psql import ServerGone
from query_data import Tables
from query_text import Writer, plain, prepared

QUERIES_A_ROUND = 200
QUERIES_A_SETTING = 10
MINIMIZING_SECONDS = 40
NODE = re.compile(r"^(?: *->  )?(?:Parallel )?(?:Custom Scan \((\w+)\)|((?:[A-Z][a-z]+ ?)+?)(?: using| on|$))")
EXACT = decimal.Context(prec=2000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
PARALLEL = {"max_parallel_workers_per_gather": "2", "parallel_setup_cost": "0", "parallel_tuple_cost": "0", "min_parallel_table_scan_size": "0"}
OURS = {"enable_hashagg": "off", "enable_sort": "off", "enable_indexscan": "off"}       # makes the planner prefer our nodes
OTHER = {"enable_hashagg": "off", "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "enable_nestloop": "off", "enable_memoize": "off", "enable_material": "off",
         "enable_partitionwise_aggregate": "on", "enable_incremental_sort": "off", "enable_seqscan": "off", "enable_indexscan": "off", "enable_bitmapscan": "off", "random_page_cost": "0.01",
         "parallel_leader_participation": "off"}


# ---- comparing answers

def canonical(value, how):
    """A value that is equal for equal values."""
    if value is None or how == "exact":
        return (value is None, value or "")
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:
        return (False, value)
    if not number.is_finite():
        return (False, value)
    return (False, "0" if number == 0 else str(number.normalize(EXACT)))


def is_close(a, b, item, tables):
    """Floats that were summed in another order. A variance may be off by a part of the square of the values."""
    if a == b:
        return True
    if a is None or b is None:
        return False
    try:
        x, y = float(a), float(b)
    except ValueError:
        return False
    if not abs(x) < float("inf") or not abs(y) < float("inf"):
        return False
    name = item.text.split("(")[0]
    off = 1e-9 * item.scale ** 2 if name.startswith("var") else 1e-7 * item.scale if name.startswith("std") else 1e-12 * len(tables.rows) * item.scale
    return abs(x - y) <= 1e-9 * max(abs(x), abs(y)) + off


def apart(a, b):
    """-> what is in one of two lists of rows only, duplicates counted"""
    left, right = collections.Counter(a), collections.Counter(b)
    return list((left - right).elements()), list((right - left).elements())


def same_answer(a, b, query, tables):
    """a, b: rows of text. The order counts where ORDER BY leaves no ties."""
    if a == b:
        return True
    if len(a) != len(b):
        return False

    def is_same_row(left, right):
        return all(is_close(x, y, item, tables) if item.how == "close" else canonical(x, item.how) == canonical(y, item.how) for x, y, item in zip(left, right, query.items))

    if query.total and query.order:
        return all(map(is_same_row, a, b))
    # Rows that agree in what must be equal are matched one by one.
    def exact_part(row):
        return tuple(canonical(value, item.how) for value, item in zip(row, query.items) if item.how != "close")

    a, b = apart(a, b)
    waiting = collections.defaultdict(list)
    for row in b:
        waiting[exact_part(row)].append(row)
    for row in a:
        alike = waiting[exact_part(row)]
        match = next((i for i, other in enumerate(alike) if is_same_row(row, other)), None)
        if match is None:
            return False
        del alike[match]
    return True


# ---- running a query

class Settings:
    """How a query is run on t: settings of the session, and simple, prepared or by a cursor."""

    def __init__(self, r, switches, levels, indexed):
        self.values = {name: "off" for name in switches if r.random() < 0.15}
        if r.random() < 0.3:
            self.values["tsext.simd"] = r.choice(levels)
        if r.random() < 0.25:
            self.values |= PARALLEL
        if r.random() < 0.3:
            self.values |= OURS
        if r.random() < 0.15:
            self.values["work_mem"] = "64kB"
        if indexed and r.random() < 0.5:
            self.values["enable_seqscan"] = "off"
        for name in r.sample(sorted(OTHER), r.choice([0, 0, 0, 1, 2])):
            self.values[name] = OTHER[name]
        self.mode = r.choices(["simple", "generic", "custom", "cursor"], [12, 4, 1, 1])[0]
        if self.mode == "generic":
            self.values["plan_cache_mode"] = "force_generic_plan"

    def statements(self):
        return [f"SET {name} = '{value}'" for name, value in self.values.items()]

    def smaller(self):
        for name in self.values:
            other = self.copy()
            del other.values[name]
            yield other
        if self.mode != "simple":
            other = self.copy()
            other.mode = "simple"
            yield other

    def copy(self):
        other = object.__new__(Settings)
        other.values, other.mode = dict(self.values), self.mode
        return other

    def query_statements(self, text, table):
        """The statements that run a query; the last ones' rows are the answer, each of them the same."""
        if self.mode in ("generic", "custom"):
            statement, types, given = prepared(text, table)
            execute = "EXECUTE q" + (f" ({', '.join(given)})" if given else "")
            return [f"PREPARE q{f' ({chr(44).join(types)})' if types else ''} AS {statement}"], [execute, execute]
        return [], [plain(text, table)]


class Runner:
    """The two sessions of the server, made anew when it has crashed."""

    def __init__(self, database):
        self.database = database
        self.connect()
        self.switches = [name for name, in self.heap.get("SELECT name FROM pg_settings WHERE name LIKE 'tsext.enable%' AND name <> 'tsext.enable_bulk' ORDER BY 1")]
        self.levels = [level for level in ("v1", "v3", "v4") if self.heap.run(f"SET tsext.simd = '{level}'")[0] == FINE]

    def connect(self):
        until = time.monotonic() + 300
        while True:
            try:
                self.heap, self.tsext = Connection(self.database), Connection(self.database)
                break
            except ServerGone:
                if time.monotonic() > until:
                    raise
                time.sleep(0.3)
        for c in (self.heap, self.tsext):
            c.get("SET client_min_messages = error; SET datestyle = 'ISO, YMD'; SET jit = off; SET max_parallel_workers_per_gather = 0; SET statement_timeout = '300s'")

    def build(self, statements, tables):
        """Makes the tables."""
        self.tsext.get("RESET ROLE")
        self.heap.get(f"RESET ROLE; SET timezone = '{tables.zone}'")
        for statement in statements:
            self.tsext.get(statement)
        if tables.secured:
            for c in (self.heap, self.tsext):
                c.get("SET ROLE query_reader")

    def use(self, settings, tables):
        self.tsext.get("; ".join(["DISCARD PLANS", "RESET ALL", "SET client_min_messages = error", "SET datestyle = 'ISO, YMD'", "SET jit = off", f"SET timezone = '{tables.zone}'",
                                  "SET statement_timeout = '300s'", "SET max_parallel_workers_per_gather = 0"]))
        for statement in settings.statements():
            self.tsext.get(statement)

    def answer(self, settings, text):
        """-> (SQLSTATE, rows) of t"""
        if settings.mode == "cursor":
            self.tsext.get("BEGIN")
            state, rows, _ = self.tsext.run(f"DECLARE c CURSOR FOR {plain(text, 't')}")
            fetched = []
            for count in ("1", "7", "ALL"):
                if state == FINE:
                    state, rows, _ = self.tsext.run(f"FETCH {count} FROM c")
                    fetched += rows if state == FINE else []
            self.tsext.get("ROLLBACK")
            return state, fetched if state == FINE else rows
        before, statements = settings.query_statements(text, "t")
        state, rows = FINE, []
        for statement in before:
            state, rows, _ = self.tsext.run(statement)
        if state == FINE:
            state, rows, _ = self.tsext.run(statements[0])
            for statement in statements[1:]:
                again, more, _ = self.tsext.run(statement)
                if again != state or state == FINE and sorted(map(str, more)) != sorted(map(str, rows)):
                    state, rows = again, more
        if before:
            self.tsext.run("DEALLOCATE q")
        return state, rows

    def difference(self, query, settings, tables):
        """-> (what differs or None, SQLSTATE)"""
        text = query.text()
        heap_state, expected, _ = self.heap.run(plain(text, "h"))
        try:
            state, rows = self.answer(settings, text)
        except ServerGone as problem:
            self.connect()
            return f"the server crashed: {problem}", None
        # Without rows nothing but the planner evaluates a clause, to estimate it; whether it does is its own affair.
        if not tables.rows and state == FINE and heap_state.startswith("22") and not rows:
            return None, heap_state
        if state != heap_state:
            return f"t: {state} {str(rows)[:500]}\nh: {heap_state} {str(expected)[:500]}", state
        if state == FINE and not same_answer(rows, expected, query, tables):
            return show_rows(rows, expected), state
        return None, state


    def nodes(self, query):
        """The kinds of plan node of t's plan."""
        state, rows, _ = self.tsext.run("EXPLAIN (COSTS off) " + plain(query.text(), "t"))
        return {m[1] or m[2] for line, in rows for m in [NODE.match(line)] if m} if state == FINE else set()


def show_rows(rows, expected):
    """What is in one answer only, or where their order parts."""
    only, missing = apart(rows, expected)
    if not only and not missing:
        i = next(i for i, (a, b) in enumerate(zip(rows, expected)) if a != b)
        return f"row {i} in t: {rows[i]}\nrow {i} in h: {expected[i]}"
    return f"{len(rows)} rows of t, {len(expected)} of h\nonly in t: {only[:4]}\nonly in h: {missing[:4]}"


# ---- cutting down a difference

def minimize(runner, tables, query, settings):
    """-> (rows, query, settings) that still differ, each as small as the time allows"""
    until = time.monotonic() + MINIMIZING_SECONDS

    def fails(query, settings):
        runner.use(settings, tables)
        return runner.difference(query, settings, tables)[0] is not None

    def shrink(thing, test):
        going = True
        while going and time.monotonic() < until:
            going = False
            for smaller in thing.smaller():
                if time.monotonic() > until:
                    break
                if test(smaller):
                    thing, going = smaller, True
                    break
        return thing

    settings = shrink(settings, lambda s: fails(query, s))
    query = shrink(query, lambda q: fails(q, settings))
    rows, part = list(tables.rows), 2
    until += MINIMIZING_SECONDS / 2
    while len(rows) > 1 and part <= 2 * len(rows) and time.monotonic() < until:
        size = -(-len(rows) // part)
        for at in range(0, len(rows), size):
            fewer = rows[:at] + rows[at + size:]
            runner.build(tables.statements(fewer), tables)
            if time.monotonic() < until and fails(query, settings):
                rows, part = fewer, max(2, part - 1)
                break
        else:
            part *= 2
    return rows, query, settings


def script(tables, rows, query, settings):
    lines = [s + ";" for s in tables.statements(rows)] + ["SET jit = off;", "SET max_parallel_workers_per_gather = 0;"]
    if tables.secured:
        lines.append("SET ROLE query_reader;")
    lines += [plain(query.text(), "h") + ";"] + [s + ";" for s in settings.statements()]
    before, statements = settings.query_statements(query.text(), "t")
    if settings.mode == "cursor":
        before, statements = ["BEGIN", "DECLARE c CURSOR FOR " + plain(query.text(), "t")], ["FETCH 1 FROM c", "FETCH 7 FROM c", "FETCH ALL FROM c"]
    return "\n".join(lines + [s + ";" for s in before + statements]) + "\n"


# ---- rounds

def play(runner, seed, count, errors, nodes, large):
    """One seed. errors, nodes: counters; nodes may be None. -> (queries run, failures, tables)"""
    tables = Tables(seed, large)
    runner.build(tables.statements(tables.rows), tables)
    r = random.Random(seed * 7919 + 1)
    writer, failed, done = Writer(tables, r), [], 0
    while done < count and not failed:
        settings = Settings(r, runner.switches, runner.levels, bool(tables.indexes))
        runner.use(settings, tables)
        for _ in range(min(QUERIES_A_SETTING, count - done)):
            query = writer.query()
            done += 1
            if nodes is not None:
                nodes.update(runner.nodes(query))
            found, state = runner.difference(query, settings, tables)
            if state != FINE and not found:
                errors[state, plain(query.text(), "t")[:300] if state.startswith("42") else ""] += 1
            if found:
                failed.append((found, query, settings))
                break
    return done, failed, tables


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--database", default="differential_query")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failed round")
    parser.add_argument("--large", action="store_true", help="twenty times the rows: several segments a chunk")
    parser.add_argument("--errors", action="store_true", help="tell at the end which errors both sides raised")
    parser.add_argument("--nodes", action="store_true", help="tell at the end in how many of t's plans each kind of node was")
    arguments = parser.parse_args()
    logs = pathlib.Path("build/test")
    logs.mkdir(parents=True, exist_ok=True)
    fresh_database(arguments.database)
    admin = Connection("postgres")
    admin.run("CREATE ROLE query_reader")           # may be there from another database
    admin.close()
    runner = Runner(arguments.database)
    started = time.monotonic()
    errors, nodes = collections.Counter(), collections.Counter() if arguments.nodes else None
    total = number = failures = 0
    seed = arguments.seed
    while (arguments.queries is None or total < arguments.queries) and (arguments.seconds is None or time.monotonic() - started < arguments.seconds):
        number += 1
        count = QUERIES_A_ROUND if arguments.queries is None else min(QUERIES_A_ROUND, arguments.queries - total)
        before = sum(errors.values())
        done, failed, tables = play(runner, seed, count, errors, nodes, arguments.large)
        total += done
        told = f"seed {seed}: {done} queries on {len(tables.rows)} rows ({tables.state}), {sum(errors.values()) - before} of them errors"
        print(f"{'not ' if failed else ''}ok {number} - {told}", flush=True)
        for found, query, settings in failed:
            failures += 1
            print(f"{plain(query.text(), 't')}\n{found}", flush=True)
            rows, query, settings = minimize(runner, tables, query, settings)
            path = logs / f"query-{seed}.sql"
            path.write_text(script(tables, rows, query, settings), encoding="utf-8")
            print(f"cut down to {len(rows)} rows, {path}:\n{'; '.join(settings.statements() + [settings.mode])}\n{plain(query.text(), 't')}", flush=True)
        if failed and not arguments.keep_going:
            break
        seed += 1
    print(f"1..{number}\n# {total} queries in {time.monotonic() - started:.0f} s, {sum(errors.values())} of them errors on both sides")
    if arguments.errors:
        for (state, text), count in errors.most_common(40):
            print(f"# {state} × {count} {text}")
    for name, count in (nodes or collections.Counter()).most_common():
        print(f"# {count} plans with {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
