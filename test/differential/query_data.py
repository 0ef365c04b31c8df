"""The tables of a round of query.py: random columns and rows, a heap h and its tsext twin t, a small dimension table d.

A column knows its SQL type, its family (what operators it has) and its nature (what may be done with it and still give the same
answer in any order): sums of "dyadic" floats are exact, those of "smooth" ones agree closely, those of "extreme" ones may overflow
in one order and not in another.
"""
import datetime, random, uuid

import values

EPOCH = datetime.datetime(1970, 1, 1)
SECOND = 10**6                        # times are microseconds since 1970, whatever the type of the time column
DAY = 86400 * SECOND
BASES = ["2024-01-01 00:00:00", "2024-03-30 18:00:00", "2024-10-26 18:00:00", "2024-11-02 20:00:00", "1999-12-31 12:00:00", "1969-12-31 12:00:00", "0044-03-15 00:00:00", "8000-06-01 00:00:00"]
WORDS = ["", "a", "A", "abc", "host_1", "ABC", "é", "日本語", "%", "under_score", "back\\slash", "it's", "x" * 130, "{}", "$1", "NULL"]
SMALL = 1000


def whole(low, high):
    return lambda r: str(r.randint(low, high))


def edges(low, high):
    return lambda r: str(r.choice([low, low + 1, -1, 0, 1, high - 1, high, r.randint(low, high)]))


def dyadic(r):
    """A multiple of 1/8: sums of a million of them are exact."""
    return repr(r.randint(-8000, 8000) / 8)


def special_dyadic(r):
    return r.choice(["NaN", "Infinity", "-Infinity", "-0", "0"]) if r.random() < 0.03 else dyadic(r)


def numeric_mixed(r):
    return r.choice(["NaN", "Infinity", "-Infinity", "0.000", "-0", "1.0", "1.00", "123456789012345678901234567890.5"]) if r.random() < 0.1 else f"{r.gauss(0, 50):.{r.randrange(4)}f}"


def jsonb(r):
    return r.choice(['{"host": "h%d", "n": %d}' % (r.randrange(4), r.randrange(5)), "null", "[]", "{}", '{"n": null}', '[1, 2]', '"text"', "1.50"])


def few_uuid(r):
    return str(uuid.UUID(int=r.choice([0, 2**128 - 1, r.randrange(8) << 96])))


def day_of(r):
    return r.choice(["infinity", "-infinity"]) if r.random() < 0.02 else str((EPOCH + datetime.timedelta(days=r.randrange(19000, 19800))).date())


def moment(zone):
    return lambda r: r.choice(["infinity", "-infinity"]) if r.random() < 0.02 else f"{EPOCH + datetime.timedelta(seconds=r.randrange(1704067200, 1714067200))}{zone}"


# SQL type, family, nature, generator of a value as text
KINDS = [
    ("float8", "float", "dyadic", dyadic), ("float8", "float", "dyadic", special_dyadic), ("float8", "float", "dyadic", lambda r: str(r.randint(0, 100))),
    ("float8", "float", "smooth", lambda r: repr(round(r.gauss(50, 10), 2))), ("float8", "float", "smooth", lambda r: repr(r.random())),
    ("float8", "float", "extreme", values.float8), ("float4", "float", "dyadic", lambda r: repr(r.randint(-400, 400) / 4)),
    ("float4", "float", "dyadic", lambda r: r.choice(["NaN", "-0", "Infinity"]) if r.random() < 0.02 else str(r.randint(0, 100))),
    ("float4", "float", "extreme", values.float4), ("int2", "int", "small", whole(-SMALL, SMALL)), ("int4", "int", "small", whole(-SMALL, SMALL)),
    ("int4", "int", "small", whole(0, 5)), ("int8", "int", "small", whole(-SMALL, SMALL)), ("int8", "int", "small", whole(7, 7)),
    ("int2", "int", "extreme", edges(-2**15, 2**15 - 1)), ("int4", "int", "extreme", edges(-2**31, 2**31 - 1)), ("int8", "int", "extreme", edges(-2**63, 2**63 - 1)),
    ("numeric", "numeric", "plain", lambda r: f"{r.gauss(20, 5):.1f}"), ("numeric", "numeric", "plain", numeric_mixed), ("numeric(12,3)", "numeric", "plain", lambda r: f"{r.gauss(0, 1e4):.3f}"),
    ("text", "text", "few", lambda r: f"host_{r.randrange(6)}"), ("text", "text", "many", lambda r: r.choice(WORDS)), ("text", "text", "many", lambda r: f"request {r.randrange(10**5)}"),
    ("text", "text", "many", lambda r: r.choice("pq") * r.choice([40, 64, 300]) + str(r.randrange(40))),      # alike for longer than a footer keeps
    ('text COLLATE "C"', "text", "many", lambda r: r.choice(WORDS)), ("varchar(20)", "text", "few", lambda r: r.choice(WORDS)[:20]),
    ("bool", "bool", "", lambda r: r.choice("tf")), ("bool", "bool", "", lambda r: "t"), ("uuid", "uuid", "", few_uuid), ("jsonb", "jsonb", "", jsonb),
    ("date", "moment", "", day_of), ("timestamp", "moment", "", moment("")), ("timestamptz", "moment", "", moment("+00")),
]


class Column:
    def __init__(self, name, kind, r):
        self.name = name
        self.type, self.family, self.nature, self.make = kind
        self.nulls = r.choice([0, 0, 0, 0, 0.05, 0.05, 0.5, 1])
        self.pattern = r.choice(["random", "random", "series", "sorted", "runs"])
        self.samples = []
        if r.random() < 0.3:
            # Few values, special ones among them: groups and vectors then hold nothing else.
            special = {"float": ["NaN", "Infinity", "-Infinity", "-0", "0"] if self.nature != "smooth" else [], "text": ["", "é"], "moment": ["infinity", "-infinity"]}.get(self.family, [])
            pool = [self.make(r) for _ in range(r.choice([1, 2, 3]))] + r.sample(special, min(len(special), r.choice([0, 1, 2])))
            self.make = lambda r: r.choice(pool)

    @property
    def cast(self):
        return self.type.split(" COLLATE")[0]

    def value(self, r):
        return None if r.random() < self.nulls else self.make(r)

    def values(self, r, count, series):
        """For rows of `series` series in turn. Patterns make columns that zone maps, footers and run-length codecs are good at."""
        if self.pattern == "series":
            of_series = [self.value(r) for _ in range(series)]
            return [of_series[i % series] for i in range(count)]
        out = [self.value(r) for _ in range(count)]
        if self.pattern == "sorted":
            known = sorted((v for v in out if v is not None), key=float if self.family in ("float", "int", "numeric") else str)
            return known + [None] * (count - len(known))
        if self.pattern == "runs":
            length = r.choice([3, 100, 1024, 1500])
            out = [out[i // length * length] for i in range(count)]
        return out

    def known(self, r):
        """A value to compare with: mostly one that the column holds."""
        return r.choice(self.samples) if self.samples and r.random() < 0.7 else self.make(r)


class Tables:
    """What a round's tables look like and how they are filled; build() makes them, of all rows or of some."""

    def __init__(self, seed, large=False):
        r = self.random = random.Random(seed)
        self.time_type = r.choice(["timestamptz"] * 4 + ["timestamp", "timestamp", "date", "bigint", "int4"])
        self.zone = r.choice(["UTC", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana", "America/St_Johns"])
        self.columns = [Column(f"c{i}", r.choice(KINDS), r) for i in range(r.randint(3, 7))]
        self.added = Column("added", r.choice(KINDS), r) if r.random() < 0.3 else None      # by ALTER TABLE, when there are segments
        self.dropped = r.random() < 0.3
        self.partitioned = r.random() < 0.1
        self.secured = r.random() < 0.1                                                       # row security hides a tag
        self.series = r.choice([1, 2, 3, 7, 20, 80])
        self.not_null = r.random() < 0.9
        self.make_times()
        self.make_rows((20 if large else 1) * r.choice([0, 1, 60, 1000, 1024, 1025, 2500, 2500, 2500, 2500, 5000, 5000, 9000, 20000]))
        self.plan_batches()
        self.scales = {}
        for column in self.columns:
            found = [row[3 + self.columns.index(column)] for row in r.sample(self.rows, min(30, len(self.rows)))]
            column.samples = [v for v in found if v is not None]
        if self.added:
            self.added_default = self.added.make(r)
            self.added.samples = [self.added_default]

    def scale(self, column):
        """A bound of what expressions over a column of floats are made of."""
        if column not in self.columns:
            return 1e6
        if column.name not in self.scales:
            at = 3 + self.columns.index(column)
            found = [abs(float(row[at])) for row in self.rows if row[at] is not None]
            self.scales[column.name] = 10 * max([x for x in found if x < float("inf")], default=1) + 10
        return self.scales[column.name]

    def all_columns(self):
        return self.columns + ([self.added] if self.added else [])

    # ---- rows: (id, time in microseconds or text, tag, values…)

    def make_times(self):
        r = self.random
        self.step = r.choice([1, 10, 60, 600, 3600, 86400]) * SECOND
        if self.time_type == "date":
            self.step = DAY
        self.start = (datetime.datetime.fromisoformat(r.choice(BASES[:4] * 3 + BASES)) - EPOCH) // datetime.timedelta(microseconds=1)
        if self.time_type in ("int4", "bigint"):
            self.start = r.choice([1704067200, 0, -100000]) * SECOND
        # Distinct times order everything: each series then has an offset of its own.
        self.distinct = self.time_type != "date" and self.step >= 1000 * SECOND if self.time_type in ("int4", "bigint") else self.time_type != "date" and r.random() < 0.5
        self.jitter = r.random() < 0.3 and not self.distinct and self.time_type != "date"
        self.by_series = not self.jitter                         # (tag, time) is unique

        self.unit = {"date": DAY, "bigint": SECOND, "int4": SECOND}.get(self.time_type, 1)

    def time_of(self, i):
        r = self.random
        at = self.start + i // self.series * self.step
        if self.distinct:
            at += i % self.series * (SECOND if self.time_type in ("int4", "bigint") else 1)
        if self.jitter:
            at += r.randrange(self.step)
        return at

    def time_text(self, at):
        if isinstance(at, str) or at is None:
            return at
        if self.time_type in ("int4", "bigint"):
            return str(at // SECOND)
        try:
            text = (EPOCH + datetime.timedelta(microseconds=at)).strftime("%Y-%m-%d %H:%M:%S.%f").zfill(26)
        except OverflowError:
            return "infinity" if at > 0 else "-infinity"
        return text[:10] if self.time_type == "date" else text + ("+00" if self.time_type == "timestamptz" else "")

    def make_rows(self, count):
        r = self.random
        tags = [f"host_{i}" for i in range(self.series)]
        if self.series > 2 and r.random() < 0.4:
            tags[0] = None
        if self.series > 2 and r.random() < 0.4:
            tags[1] = ""
        self.tags = tags
        infinite = r.random() < 0.1 and self.time_type not in ("int4", "bigint")
        columns = [c.values(r, count, self.series) for c in self.columns]
        self.rows = []
        for i in range(count):
            at = self.time_of(i)
            if not self.by_series and infinite and r.random() < 0.01:
                at = r.choice(["infinity", "-infinity"])
            if not self.by_series and not self.not_null and r.random() < 0.01:
                at = None
            self.rows.append([str(i), at, tags[i % self.series]] + [column[i] for column in columns])
        if r.random() < 0.2:
            r.shuffle(self.rows)

    def plan_batches(self):
        """Where rows go: the borders of what is loaded before each compaction, and how."""
        r, count = self.random, len(self.rows)
        self.state = r.choice(["hot", "cold", "cold", "mixed", "mixed", "mixed"])
        self.pieces = sorted(r.sample(range(count + 1), min(count, r.choice([1, 1, 2, 3])))) if self.state == "mixed" else [count] if self.state == "cold" else []
        self.calls = [r.choice(["", ", level => 'hot'", ", level => 'cold'"]) for _ in self.pieces]
        self.bulk = r.random() < 0.3
        days = count // self.series * self.step // DAY + 1
        self.interval = r.choice([None, None, None, 1, max(1, days // 2), max(1, days // 4), max(1, days // 4)])        # days
        self.segment_by = r.choice([None, None, "tag"])
        self.deleted = r.random() < 0.2 and self.state != "cold"
        made = ["(time)", "(time DESC)", "(tag, time)", "(tag, time DESC)", "(id)", "(tag)", "((id % 5))", "(time) WHERE id % 2 = 0", "USING brin (time)", "USING hash (tag)"]
        made += [f"({c.name})" for c in self.columns if c.family not in ("jsonb",)] + [f"USING gin ({c.name})" for c in self.columns if c.family == "jsonb"]
        edges_of = [self.rows[i][1] for border in [0, *self.pieces, count] for i in (border - 1, border) if 0 <= i < count]
        if self.rows and self.interval:         # the first and the last of some chunks
            by_time = sorted(row[1] for row in self.rows if isinstance(row[1], int))
            edges_of += [at for before, at in zip(by_time, by_time[1:]) if before // (self.interval * DAY) != at // (self.interval * DAY)][:20]
        self.borders = [at for at in edges_of if isinstance(at, int)]
        self.indexes = r.sample(made, r.choice([1, 1, 2, 3])) if r.random() < 0.35 else []       # of t alone: the heap's answers need none
        self.analyze = r.choice(["", "ANALYZE t", "VACUUM (ANALYZE) t"])
        if self.partitioned:
            self.secured = False

    # ---- statements

    def definition(self):
        body = [("id", "bigint"), ("time", self.time_type + (" NOT NULL" if self.not_null else "")), ("tag", "text")] + [(c.name, c.type) for c in self.columns]
        if self.dropped:
            body.insert(2, ("gone", "int DEFAULT 5"))
        return ", ".join(f"{name} {kind}" for name, kind in body)

    def options(self, table):
        given = []
        if self.interval:
            given.append(f"chunk_interval => {self.interval * 86400}::{self.time_type}" if self.time_type in ("int4", "bigint") else f"chunk_interval => interval '{self.interval} days'")
        if self.segment_by:
            given.append("segment_by => '{tag}'")
        return [f"SELECT tsext.set_options('{table}', time_column => 'time', {', '.join(given)})"] if given else []

    def creation(self):
        out = ["DROP VIEW IF EXISTS t_view, h_view, t_barrier, h_barrier", "DROP TABLE IF EXISTS t, h, d"]
        middle = self.time_text(self.start + len(self.rows) // self.series // 2 * self.step)
        for table, method in (("h", "heap"), ("t", "tsext")):
            if self.partitioned:
                out.append(f"CREATE TABLE {table} ({self.definition()}) PARTITION BY RANGE (time)")
                for part, low, high in (("low", "MINVALUE", f"'{middle}'"), ("high", f"'{middle}'", "MAXVALUE")):
                    out.append(f"CREATE TABLE {table}_{part} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high}) USING {method}")
                out.append(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT USING heap")
            else:
                out.append(f"CREATE TABLE {table} ({self.definition()}) USING {method}")
        for table in self.stores():
            out += self.options(table)
        return out + [f"CREATE INDEX ON t {index}" for index in self.indexes]

    def stores(self):
        return ["t_low", "t_high"] if self.partitioned else ["t"]

    def insertion(self, rows):
        names = ", ".join(["id", "time", "tag"] + [c.name for c in self.columns])
        types = ["bigint", self.time_type, "text"] + [c.cast for c in self.columns]
        out = []
        for at in range(0, len(rows), 1000):
            lines = ",\n".join("(" + ", ".join(quote(v) for v in [row[0], self.time_text(row[1]), *row[2:]]) + ")" for row in rows[at:at + 1000])
            cast = ", ".join(f"v.c{i}::{kind}" for i, kind in enumerate(types))
            out.append(f"INSERT INTO h ({names}) SELECT {cast} FROM (VALUES\n{lines}) v({', '.join(f'c{i}' for i in range(len(types)))})")
        return out

    def statements(self, rows):
        """Everything that makes the tables, with these rows of self.rows."""
        out = [f"SET timezone = '{self.zone}'"] + self.creation() + self.insertion(rows)
        names = ", ".join(["id", "time", "tag"] + [c.name for c in self.columns])
        out.append(f"SET tsext.enable_bulk = {'on' if self.bulk else 'off'}")
        kept = {row[0]: i for i, row in enumerate(self.rows)}
        done = 0
        for border, call in zip(self.pieces, self.calls):
            ids = [row[0] for row in rows if done <= kept[row[0]] < border]
            if ids:
                out.append(f"INSERT INTO t ({names}) SELECT {names} FROM h WHERE id IN ({', '.join(ids)})" if len(ids) < len(rows) else f"INSERT INTO t ({names}) SELECT {names} FROM h")
            out += [f"SELECT tsext.compact('{store}'{call})" for store in self.stores()]
            done = border
        ids = [row[0] for row in rows if kept[row[0]] >= done]
        out.append("SET tsext.enable_bulk = off")
        if ids:
            out.append(f"INSERT INTO t ({names}) SELECT {names} FROM h" + (f" WHERE id IN ({', '.join(ids)})" if len(ids) < len(rows) else ""))
        if self.deleted and ids:
            gone = ", ".join(ids[::7])
            out += [f"DELETE FROM {table} WHERE id IN ({gone})" for table in "ht"]
        for table in "ht":
            if self.dropped:
                out.append(f"ALTER TABLE {table} DROP COLUMN gone")
            if self.added:
                out.append(f"ALTER TABLE {table} ADD COLUMN added {self.added.type} DEFAULT {quote(self.added_default)}")
            if self.secured:
                out += [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", f"CREATE POLICY p ON {table} USING (tag IS DISTINCT FROM 'host_1')"]
            out += [f"CREATE VIEW {table}_view AS SELECT * FROM {table} WHERE tag IS DISTINCT FROM 'host_2'",
                    f"CREATE VIEW {table}_barrier WITH (security_barrier) AS SELECT * FROM {table} WHERE id % 3 <> 1",
                    f"GRANT SELECT ON {table}, {table}_view, {table}_barrier TO query_reader"]
        out.append("ANALYZE h")
        if self.analyze:
            out.append(self.analyze)
        out += self.dimension()
        return out

    def dimension(self):
        r = random.Random(len(self.rows) + self.series)
        lines = []
        for i in range(8):
            low = self.start + r.randrange(len(self.rows) // self.series + 2) * self.step
            high = low + r.choice([0, 1, 5, 50]) * self.step
            tag = quote(r.choice(self.tags) if i < 6 else "nobody")
            lines.append(f"({i}, {tag}, 'owner {i % 3}', '{self.time_text(low)}'::{self.time_type}, '{self.time_text(high)}'::{self.time_type}, {r.randint(-50, 50)})")
        return [f"CREATE TABLE d (k int PRIMARY KEY, tag text, owner text, lo {self.time_type}, hi {self.time_type}, weight int)", "INSERT INTO d VALUES " + ", ".join(lines),
                "GRANT SELECT ON d TO query_reader", "ANALYZE d"]


def quote(value):
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
