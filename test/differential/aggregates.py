"""Random writes, refreshes and drops from several sessions under continuous aggregates; every view must equal its query.

    aggregates.py [--seed N] [--rounds N] [--seconds N] [--steps N] [--database NAME] [--keep-going]

A round is one seed: a table t, its heap twin h, some continuous aggregates over t (one over another), three sessions that
insert, insert late, update, delete, truncate, roll back, prepare, compact, refresh and drop chunks in a random order, in and
out of transactions. After every step a view is compared, in one statement and so under one snapshot, with the query over h:
by a session that sees only what is committed, or by one in the middle of its own transaction. Buckets whose source was
dropped must stay what they were; they are left out of the comparison with h. Statements come one at a time; what would wait
for another session gives up after 50 ms. Without --seconds and --rounds it goes on until it is interrupted. The server is
the one of PGHOST and PGPORT. A failed round leaves build/test/aggregates-SEED.sql, all it ran. Prints TAP lines; exits with 1
when a round failed.
"""
import random, sys, time

import rounds
from libpq import FINE, Connection, fresh_database

START = 1704067200          # 2024-01-01 UTC
DAY, HOUR = 86400, 3600
SESSIONS = 3
REFUSED = ("0A000",)
# Lost races: lock timeout, serialization, deadlock. The statement has done nothing.
RACES = ("55P03", "40001", "40P01", "57014")


class Difference(RuntimeError):
    """A view is not what its query gives."""


class Session:
    """One connection; `block` while it is in a transaction block."""

    def __init__(self, number, database, log):
        self.number, self.log = number, log
        self.connection = Connection(database)
        self.block = None               # None, "READ COMMITTED" or "REPEATABLE READ"
        for setting in ("timezone = 'UTC'", "lock_timeout = '50ms'", "statement_timeout = '300s'", "client_min_messages = error", "extra_float_digits = 1"):
            self.get(f"SET {setting}")

    def run(self, text):
        self.log.write(f"/* {self.number} */ {text};\n")
        self.log.flush()
        state, rows, _ = self.connection.run(text)
        if state != FINE:
            self.log.write(f"-- {state} {rows}")
        return state, rows

    def get(self, text):
        state, rows = self.run(text)
        if state != FINE:
            raise Difference(f"{text}\n{state} {rows}")
        return rows


# Aggregates whose results do not depend on the order of rows.
VALUES = ["count(*) AS {}", "sum(v) AS {}", "min(v) AS {}", "max(f) AS {}", "avg(v) AS {}", "sum(f) AS {}", "avg(f) AS {}", "count(DISTINCT tag) AS {}",
          "max(time) AS {}", "last(v, id) AS {}", "first(f, id) AS {}", "histogram(f, 0, 80, 4) AS {}", "bool_or(v > 40) AS {}",
          "count(*) FILTER (WHERE v > 50) AS {}", "sum(n) AS {}", "max(v) - min(v) AS {}", "percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS {}",
          "string_agg(tag, ',' ORDER BY id) AS {}"]
# Over another aggregate, whose columns are g, count, total, least.
HIGHER = ["sum(count) AS {}", "sum(total) AS {}", "min(least) AS {}", "count(*) AS {}", "max(total) AS {}"]


class Round:
    def __init__(self, seed, database, steps, log):
        self.random, self.steps, self.log = random.Random(seed), steps, log
        self.sessions = [Session(i, database, log) for i in range(SESSIONS)]
        self.next_id, self.head = 1, START + 2 * DAY
        self.frozen = {}                # view -> rows of buckets whose source is gone
        self.prepared = []
        self.compared = self.races = self.refused = self.done = 0

    # ---- time

    def time(self, at):
        if self.kind in ("bigint", "int"):
            return str(at - START)
        if self.kind == "date":
            return "'" + time.strftime("%Y-%m-%d", time.gmtime(at)) + "'"
        return "'" + time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + ("+00'" if self.kind == "timestamptz" else "'")

    def internal(self, column):
        """A time as the catalog writes it."""
        if self.kind in ("bigint", "int"):
            return f"{column}::bigint"
        if self.kind == "date":
            return f"({column} - date '2000-01-01')::bigint"
        return f"(extract(epoch FROM {column}) * 1000000 - 946684800000000)::bigint"

    # ---- objects

    def create(self):
        r, s = self.random, self.sessions[0]
        self.kind = r.choice(["timestamptz", "timestamptz", "timestamptz", "timestamp", "date", "bigint", "int"])
        s.get("DROP TABLE IF EXISTS t, h, d CASCADE")
        body = f"id bigint, time {self.kind} NOT NULL, tag text, dev int, v int, f float8, n numeric"
        s.get(f"CREATE TABLE t ({body}) USING tsext")
        s.get(f"CREATE TABLE h ({body}) USING heap")
        s.get("CREATE TABLE d (dev int, room text)")
        s.get("INSERT INTO d SELECT i, 'room ' || i % 3 FROM generate_series(0, 5) i")
        chunk = r.choice([DAY, DAY, 12 * HOUR, 7 * DAY]) if self.kind != "date" else r.choice([DAY, 7 * DAY])
        interval = f"{chunk}::bigint" if self.kind in ("bigint", "int") else f"interval '{chunk // HOUR} hours'"
        s.get(f"SELECT tsext.set_options('t', time_column => 'time', chunk_interval => {interval}" + (", segment_by => '{tag}'" if r.random() < 0.6 else "") + ")")
        if r.random() < 0.3:
            s.get("CREATE INDEX ON t (id)")
        self.insert_rows(s, "t", self.rows(r.choice([50, 500, 6000]), START, self.head), both=True)
        self.views = {}
        for i in range(r.randint(1, 3)):
            self.create_view(s, f"a{i}")
        if r.random() < 0.5:
            self.create_higher(s)

    def bucket(self, column, width):
        if self.kind in ("bigint", "int"):
            return f"time_bucket({width}::{self.kind}, {column})"
        if width == "month":
            return f"time_bucket('1 month', {column})"
        if isinstance(width, str):
            return f"time_bucket('1 day', {column}, '{width}')"
        return f"time_bucket('{width} seconds', {column})"

    def width(self):
        r = self.random
        if self.kind == "date":
            return r.choice([DAY, 2 * DAY, 7 * DAY, "month"])
        if self.kind in ("bigint", "int"):
            return r.choice([HOUR, 6 * HOUR, DAY])
        return r.choice([HOUR, HOUR, 6 * HOUR, DAY, "month", *(["Europe/Berlin", "Asia/Kolkata"] if self.kind == "timestamptz" else [])])

    def create_view(self, s, name):
        r, width = self.random, self.width()
        group = r.choice([[], ["tag"], ["tag", "dev"], ["room"]])
        table = "{t} x JOIN d ON d.dev = x.dev" if group == ["room"] else "{t} x"
        columns = [f"{self.bucket('time', width)} AS b", *(["x.dev" if g == "dev" else g for g in group])]
        columns += [value.format(f"c{i}") for i, value in enumerate(r.sample(VALUES, r.randint(1, 5)))]
        if r.random() < 0.5:
            columns.insert(0, columns.pop(0))
        where = r.choice(["", "", " WHERE v % 7 <> 3", " WHERE f > 20 OR tag = 'a'"])
        having = r.choice(["", "", "", " HAVING count(*) > 2"])
        positions = ", ".join(str(i + 1) for i in range(1 + len(group)))
        query = f"SELECT {', '.join(columns)} FROM {table}{where} GROUP BY {positions}{having}"
        s.get(f"CREATE MATERIALIZED VIEW {name} WITH (tsext.continuous) AS {query.format(t='t')}" + (" WITH NO DATA" if r.random() < 0.5 else ""))
        self.views[name] = query.format(t="h")

    def create_higher(self, s):
        r = self.random
        low, high = (DAY, 7 * DAY) if self.kind == "date" else (HOUR, r.choice([6 * HOUR, DAY]))
        lower = f"SELECT {self.bucket('time', low)} AS b, tag AS g, count(*) AS count, sum(v) AS total, min(v) AS least FROM {{}} GROUP BY 1, 2"
        s.get(f"CREATE MATERIALIZED VIEW lower WITH (tsext.continuous) AS {lower.format('t')} WITH NO DATA")
        self.views["lower"] = lower.format("h")
        values = [value.format(f"c{i}") for i, value in enumerate(r.sample(HIGHER, 3))]
        higher = f"SELECT {self.bucket('b', high)} AS b, {', '.join(values)} FROM {{}} GROUP BY 1"
        s.get(f"CREATE MATERIALIZED VIEW higher WITH (tsext.continuous) AS {higher.format('lower')}" + (" WITH NO DATA" if r.random() < 0.5 else ""))
        self.views["higher"] = higher.format(f"({self.views['lower']}) l")

    # ---- steps

    def rows(self, count, low, high):
        r = self.random
        out = []
        for _ in range(count):
            at = r.randrange(low, max(high, low + 1))
            out.append(f"({self.next_id}, {self.time(at)}, {r.choice(['NULL', *(repr(c) for c in 'abcd')])}, {r.randrange(6)}, "
                       f"{r.choice(['NULL::int', *map(str, range(0, 100, 3))])}, {r.randrange(100)}, {r.randrange(1000)}.{r.randrange(10)})")
            self.next_id += 1
        return ", ".join(out)

    def insert_rows(self, s, table, rows, both=False):
        for name in (table, "h") if both else (table,):
            source = f"SELECT * FROM (VALUES {rows}) x (id, time, tag, dev, v, f, n)"
            if self.kind not in ("bigint", "int"):
                source = source.replace("SELECT *", f"SELECT id, time::{self.kind}, tag, dev, v, f, n")
            s.get(f"INSERT INTO {name} {source}")

    def write(self, s, statement, heap_only=""):
        """On t, then on h; in a block inside a savepoint, so that both happen or neither."""
        if s.block is None:
            s.get("BEGIN")
        s.get("SAVEPOINT one")
        state = FINE
        for table, more in (("t", ""), ("h", heap_only)):
            state, text = s.run(statement.format(table) + more)
            if state != FINE:
                break
        if state != FINE:
            s.get("ROLLBACK TO one")
            if state in REFUSED:
                self.refused += 1
            elif state in RACES:
                self.races += 1
            else:
                raise Difference(f"{statement}\n{state} {text}")
        elif self.random.random() < 0.1:
            s.get("ROLLBACK TO one")
        if s.block is None:
            s.get("COMMIT")

    def insert(self, s):
        r = self.random
        count = r.choice([1, 1, 3, 30, 300])
        what = r.random()
        if what < 0.45:                 # appended
            low, high = self.head, self.head + r.choice([60, HOUR, 6 * HOUR])
            self.head = high
        elif what < 0.9:                # late
            low = r.randrange(START - DAY, self.head)
            high = low + r.choice([1, HOUR, DAY])
        else:                           # all over
            low, high = START - 2 * DAY, self.head + HOUR
        rows = self.rows(count, low, high)
        if s.block is None and r.random() < 0.7:    # no transaction block: both succeed, as nothing can be in the way
            self.insert_rows(s, "t", rows, both=True)
        else:
            self.write(s, f"INSERT INTO {{}} VALUES {rows}")

    def bulk(self, s):
        """Enough rows for segments at once."""
        low = self.random.randrange(START, self.head)
        rows = self.rows(4200, low, low + HOUR * 3)
        self.write(s, "INSERT INTO {} SELECT id, time::" + self.kind + f", tag, dev, v, f, n FROM (VALUES {rows}) x (id, time, tag, dev, v, f, n)")

    def some_ids(self):
        first = self.random.randrange(1, self.next_id)
        return f"id BETWEEN {first} AND {first + self.random.choice([0, 3, 20])}"

    def update(self, s):
        r = self.random
        change = r.choice(["v = v + 1", f"time = {self.time(r.randrange(START, self.head))}", "tag = 'a', f = f + 1", "n = NULL"])
        # h still has the rows of dropped chunks: they must not come back by another time.
        self.write(s, f"UPDATE {{}} SET {change} WHERE {self.some_ids()}", heap_only=" AND id IN (SELECT id FROM t)")

    def delete(self, s):
        self.write(s, f"DELETE FROM {{}} WHERE {self.some_ids()}")

    def truncate(self, s):
        # Snapshots from before see an emptied table: of any kind, and so a view that differs from it.
        if not self.frozen and not self.prepared and all(x.block is None for x in self.sessions):
            self.write(s, "TRUNCATE {}")

    def begin(self, s):
        if s.block is None:
            s.block = self.random.choice(["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"])
            s.get(f"BEGIN ISOLATION LEVEL {s.block}")

    def end(self, s):
        if s.block is None:
            return
        how = self.random.random()
        s.block = None
        if how < 0.15 and len(self.prepared) < 2:
            gid = f"p{self.done}_{s.number}"
            s.get(f"PREPARE TRANSACTION '{gid}'")
            self.prepared.append(gid)
        else:
            s.get("COMMIT" if how < 0.8 else "ROLLBACK")

    def finish_prepared(self, s):
        if s.block is None and self.prepared:
            s.get(f"{self.random.choice(['COMMIT', 'COMMIT', 'ROLLBACK'])} PREPARED '{self.prepared.pop(0)}'")

    def try_alone(self, s, statement):
        """What changes no row of t, outside of a transaction."""
        if s.block is not None:
            return
        state, text = s.run(statement)
        if state in RACES:
            self.races += 1
        elif state not in (FINE, *REFUSED):
            raise Difference(f"{statement}\n{state} {text}")

    def compact(self, s):
        r = self.random
        table = "t"
        if r.random() < 0.4:
            table = s.get(f"SELECT materialization FROM tsext.cagg WHERE view = '{r.choice(list(self.views))}'::regclass")[0][0]
        self.try_alone(s, f"SELECT * FROM tsext.compact('{table}', level => {r.choice(['NULL', repr('hot'), repr('cold')])})")

    def vacuum(self, s):
        self.try_alone(s, f"VACUUM {self.random.choice(['t', ''])}" if self.random.random() < 0.5 else "ANALYZE t")

    def refresh(self, s):
        if s.block is not None:
            return
        r = self.random
        window = ["NULL", "NULL"]
        if r.random() < 0.4:
            ends = sorted(r.randrange(START - DAY, self.head + DAY) for _ in range(2))
            window = [self.time(ends[0]) if r.random() < 0.7 else "NULL", self.time(ends[1] + 8 * DAY * r.randrange(2))]
        view = r.choice(list(self.views))
        state, text = s.run(f"CALL refresh_continuous_aggregate('{view}', {', '.join(window)}" + (", force => true" if r.random() < 0.1 else "") + ")")
        if state in RACES:
            self.races += 1
        elif state == "22023":          # the window holds no whole bucket
            self.refused += 1
        elif state != FINE:
            raise Difference(f"refresh: {state} {text}")

    def gone_rows(self, s, view):
        return s.get(f"SELECT a::text FROM {view} a WHERE EXISTS (SELECT FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) "
                     f"WHERE c.view = '{view}'::regclass AND {self.internal('a.b')} >= g.start AND {self.internal('a.b')} < g.until) ORDER BY 1")

    def drop(self, s):
        """The views are the same before and after; from then on the buckets above what went must not change."""
        if any(x.block is not None and x is not s for x in self.sessions) and self.random.random() < 0.5:
            return
        if s.block is not None:
            return
        before = {view: s.get(f"SELECT a::text FROM {view} a ORDER BY 1") for view in self.views}
        until = self.time(self.random.randrange(START, self.head - 6 * HOUR if self.head > START + 6 * HOUR else self.head))
        cast = {"bigint": "::bigint", "int": "::int"}.get(self.kind, f"::{self.kind}")
        state, text = s.run(f"SELECT count(*) FROM drop_chunks('t', older_than => {until}{cast})")
        if state in RACES:
            self.races += 1
            return
        if state != FINE:
            raise Difference(f"drop_chunks: {state} {text}")
        for view in self.views:
            after = s.get(f"SELECT a::text FROM {view} a ORDER BY 1")
            if after != before[view]:
                raise Difference(f"drop_chunks changed {view}: {len(before[view])} rows, now {len(after)}\n"
                                 f"gone: {[x for x in before[view] if x not in after][:5]}\nnew: {[x for x in after if x not in before[view]][:5]}")
            self.frozen[view] = self.gone_rows(s, view)

    # ---- comparing

    def compare(self, s, view):
        gone = (f"NOT EXISTS (SELECT FROM tsext.cagg_gone g JOIN tsext.cagg c USING (materialization) WHERE c.view = '{view}'::regclass "
                f"AND {self.internal('q.b')} >= g.start AND {self.internal('q.b')} < g.until)") if self.frozen else "true"
        left = f"SELECT q::text FROM {view} q WHERE {gone}"
        right = f"SELECT q::text FROM ({self.views[view]}) q WHERE {gone}"
        rows = s.get(f"(SELECT 'view', * FROM ({left} EXCEPT ALL {right}) a LIMIT 3) UNION ALL (SELECT 'query', * FROM ({right} EXCEPT ALL {left}) a LIMIT 3)")
        if rows:
            raise Difference(f"{view} is not its query, seen by session {s.number} ({s.block or 'no transaction'}):\n" + "\n".join(map(str, rows)))
        # Conditions reach into the parts of the view.
        if self.random.random() < 0.2:
            at = self.time(self.random.randrange(START, self.head))
            one, two = (s.get(f"SELECT count(*) FROM ({x}) q WHERE b >= {at} AND {gone}") for x in (f"SELECT * FROM {view}", self.views[view]))
            if one != two:
                raise Difference(f"{view} with b >= {at}: {one}, its query {two}")
        self.compared += 1

    def compare_frozen(self, s):
        for view, rows in self.frozen.items():
            now = self.gone_rows(s, view)
            if now != rows:
                raise Difference(f"buckets of {view} whose source is gone have changed\nwere {[x for x in rows if x not in now][:5]}\nare {[x for x in now if x not in rows][:5]}")

    def play(self):
        self.create()
        menu = [(self.insert, 12), (self.bulk, 0.5), (self.update, 5), (self.delete, 4), (self.truncate, 0.05), (self.begin, 4), (self.end, 5), (self.finish_prepared, 1.5),
                (self.compact, 2), (self.vacuum, 0.5), (self.refresh, 6), (self.drop, 0.5)]
        choices, weights = zip(*menu)
        for self.done in range(1, self.steps + 1):
            self.random.choices(choices, weights)[0](self.random.choice(self.sessions))
            view = self.random.choice(list(self.views))
            self.compare(self.random.choice(self.sessions), view)
            idle = [x for x in self.sessions if x.block is None]
            if idle and self.frozen and self.done % 10 == 0:
                self.compare_frozen(idle[0])
        for s in self.sessions:
            self.end(s)
        while self.prepared:
            self.finish_prepared(self.sessions[0])
        for view in sorted(self.views, key=lambda name: name == "higher"):
            self.compare(self.sessions[0], view)
            self.sessions[0].get(f"CALL refresh_continuous_aggregate('{view}', NULL, NULL)")
            self.compare(self.sessions[0], view)
            pending = self.sessions[0].get(f"SELECT tsext.dirty(materialization, NULL::{self.multirange()}) FROM tsext.cagg WHERE view = '{view}'::regclass")
            if pending != [(None,)]:
                raise Difference(f"{view} is dirty after a refresh of everything: {pending}")
        self.compare_frozen(self.sessions[0])
        self.sessions[0].get("SELECT * FROM tsext.verify('t')")

    def multirange(self):
        return {"timestamptz": "tstzmultirange", "timestamp": "tsmultirange", "date": "datemultirange", "bigint": "int8multirange", "int": "int4multirange"}[self.kind]

    def told(self):
        return (f"{self.kind}, {len(self.views)} views, {self.done} steps, {self.compared} comparisons, "
                f"{self.races} races lost, {self.refused} refused")

    def close(self):
        for gid in self.prepared:
            self.sessions[0].run("ROLLBACK")
            self.sessions[0].run(f"ROLLBACK PREPARED '{gid}'")
        for s in self.sessions:
            s.connection.close()


def main():
    options = rounds.parser("aggregates")
    options.add_argument("--steps", type=int, default=120, help="of a round")
    options = options.parse_args()
    fresh_database(options.database)
    games = []

    def start(seed, log):
        games.append(Round(seed, options.database, options.steps, log))
        return games[-1]

    _, failures = rounds.play(options, "aggregates", start)
    print(f"# {sum(game.done for game in games)} steps, {sum(game.compared for game in games)} comparisons")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
