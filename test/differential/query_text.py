"""Random queries over the tables of query_data.py, as objects that can be printed and cut down.

@T@ stands for the table. A literal is a mark that becomes a quoted value with a cast, or a parameter of a prepared statement.
Every output column says how it is compared: "exact" as text, "value" as a number or by the type's equality (1.0 = 1.00, 0 = -0),
"close" with a relative tolerance and an absolute one that grows with the column's values.
"""
import copy, re

from query_data import SECOND, SMALL, quote

LITERAL = re.compile("\x01([^\x02]*)\x02([^\x03]*)\x03")
ZONES = ["America/Havana", "America/St_Johns", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
# Other types that a value of a family may be compared with, and how such a value is made.
CROSS = {"float": [("int4", lambda r: str(r.randint(-100, 100))), ("float8", lambda r: repr(r.randint(-800, 800) / 8)), ("float4", lambda r: r.choice(["0.1", "25", "NaN"])),
                   ("numeric", lambda r: f"{r.gauss(20, 30):.2f}")],
         "int": [("int2", lambda r: str(r.randint(-100, 100))), ("int4", lambda r: str(r.choice([0, 5, 2**31 - 1]))), ("int8", lambda r: str(r.choice([-3, 2**31, 2**63 - 1]))),
                 ("numeric", lambda r: r.choice(["2.5", "-0.0", "7", "NaN", "1e30"])), ("float8", lambda r: r.choice(["2.5", "Infinity", "-0", "NaN", "1e300"]))],
         "numeric": [("int4", lambda r: str(r.randint(-50, 50))), ("int8", lambda r: str(2**40)), ("float8", lambda r: repr(r.gauss(20, 30)))],
         "text": [("text", lambda r: r.choice(["host_1", "", "m", "Ä"])), ("varchar", lambda r: "host_2")]}
PATTERNS = ["host%", "%1", "%o%t%", "host\\_1", "%", "", "_", "h_st_2", "%é%", "HOST%"]


def literal(kind, value):
    return f"NULL::{kind}" if value is None else f"\x01{kind}\x02{value}\x03"


class Item:
    """An output column or a key. scale: how large the values are that a "close" one was made of."""

    def __init__(self, text, how="exact", scale=1e6):
        self.text, self.how, self.scale = text, how, scale


class Number:
    """An expression. kind: int, numeric, float4 or float8; exact: sums of its values in float8 do not depend on their order."""

    def __init__(self, text, kind, exact, scale):
        self.text, self.kind, self.exact, self.scale = text, kind, exact, scale

    def of(self, form):
        kind = "float8" if self.kind == "float4" and "float8" in form else self.kind
        return Number(form.replace("@X@", self.text), kind, self.exact, 10 * self.scale)

    def plus(self, other, sign):
        """PostgreSQL takes a numeric to a float for such a sum: not exact unless it is whole."""
        kinds = {self.kind, other.kind}
        kind = kinds.pop() if len(kinds) == 1 else "numeric" if kinds == {"int", "numeric"} else "float8"
        exact = self.exact and other.exact and not (kind == "float8" and "numeric" in (self.kind, other.kind))
        return Number(f"({self.text} {sign} {other.text})", kind, exact, self.scale + other.scale)


class Query:
    def __init__(self, items, source="@T@", where=(), group=(), having=(), order=(), limit="", head="", tail="", total=False):
        self.items, self.source, self.where = list(items), source, list(where)      # source: text, or a list of texts and queries
        self.group, self.having, self.order, self.limit = list(group), list(having), list(order), limit
        self.head, self.tail, self.total = head, tail, total                        # head: DISTINCT …; total: ORDER BY leaves no ties

    def text(self):
        source = self.source if isinstance(self.source, str) else "".join(p if isinstance(p, str) else p.text() for p in self.source)
        out = f"SELECT {self.head} " if self.head else "SELECT "
        out += ", ".join(f"{item.text} AS x{i}" for i, item in enumerate(self.items)) + f" FROM {source}"
        for word, joint, parts in ((" WHERE ", " AND ", self.where), (" GROUP BY ", ", ", self.group), (" HAVING ", " AND ", self.having), (" ORDER BY ", ", ", self.order)):
            if parts:
                out += word + joint.join(map(condition, parts))
        return out + self.limit + self.tail

    def smaller(self):
        """Queries with one part less, for cutting down a failing one."""
        for name in ("where", "having", "order", "group"):
            parts = getattr(self, name)
            for i, part in enumerate(parts):
                yield self.changed(name, parts[:i] + parts[i + 1:])
                for child in children(part):
                    yield self.changed(name, parts[:i] + [child] + parts[i + 1:])
        if self.limit:
            yield self.changed("limit", "")
        for i in range(len(self.items) if len(self.items) > 1 else 0):
            yield self.changed("items", self.items[:i] + self.items[i + 1:])
        if not isinstance(self.source, str):
            for i, part in enumerate(self.source):
                for smaller in () if isinstance(part, str) else part.smaller():
                    yield self.changed("source", self.source[:i] + [smaller] + self.source[i + 1:])

    def changed(self, name, value):
        other = copy.copy(self)
        setattr(other, name, value)
        if name == "order":
            other.total, other.limit = False, ""       # a LIMIT without order may answer anything
        return other


def condition(part):
    """A condition is text or (AND | OR | NOT, parts)."""
    if isinstance(part, str):
        return part
    word, parts = part
    return f"(NOT {condition(parts[0])})" if word == "NOT" else "(" + f" {word} ".join(map(condition, parts)) + ")"


def children(part):
    if isinstance(part, str):
        return []
    word, parts = part
    cut = [(word, parts[:i] + parts[i + 1:]) for i in range(len(parts))] if len(parts) > 2 else []
    inner = [(word, parts[:i] + [child] + parts[i + 1:]) for i, p in enumerate(parts) for child in children(p)]
    return list(parts) + cut + inner


def plain(text, table):
    """With literals in place."""
    return LITERAL.sub(lambda m: f"{quote(m[2])}::{m[1]}", text.replace("@T@", table))


def prepared(text, table):
    """-> (statement with parameters, their types, their values); equal literals are one parameter, as GROUP BY needs it"""
    numbers = {}
    statement = LITERAL.sub(lambda m: f"${numbers.setdefault(m.groups(), len(numbers) + 1)}", text.replace("@T@", table))
    return statement, [kind for kind, _ in numbers], [f"{quote(value)}::{kind}" for kind, value in numbers]


class Writer:
    """Writes queries for one set of tables."""

    def __init__(self, tables, r):
        self.tables, self.random = tables, r
        self.columns = tables.all_columns()
        self.clock = tables.time_type in ("timestamptz", "timestamp", "date")

    def pick(self, *families, nature=None):
        """A column of these families, or None."""
        found = [c for c in self.columns if (not families or c.family in families) and (nature is None or c.nature in nature)]
        return self.random.choice(found) if found else None

    # ---- values

    def at(self):
        """A time inside the data or near it: on a row, the first or last of what was compacted together, or a unit beside it."""
        r, t = self.random, self.tables
        known = r.choice(t.borders) if t.borders and r.random() < 0.4 else r.choice(t.rows)[1] if t.rows and r.random() < 0.5 else None
        if not isinstance(known, int):
            known = t.start + r.randint(-2, len(t.rows) // t.series + 2) * t.step
        return known + r.choice([0, 0, 0, 1, 1, -1, SECOND // t.unit]) * t.unit

    def time(self, at=None, kind=None):
        r = self.random
        if self.clock and r.random() < 0.03:
            return literal(self.tables.time_type, r.choice(["infinity", "-infinity"]))
        return literal(kind or self.tables.time_type, self.tables.time_text(self.at() if at is None else at))

    def tag(self):
        return self.random.choice([x for x in self.tables.tags if x is not None] + ["nobody"])

    # ---- conditions

    def where(self):
        r = self.random
        return [self.tree(r.choice([0, 0, 0, 1, 2])) for _ in range(r.choice([0, 0, 1, 1, 1, 2, 3]))]

    def tree(self, depth):
        r = self.random
        if depth == 0:
            return self.predicate()
        word = r.choice(["AND", "OR", "OR", "NOT"])
        return (word, [self.tree(depth - 1) for _ in range(1 if word == "NOT" else r.randint(2, 3))])

    def predicate(self):
        r = self.random
        choice = r.random()
        if choice < 0.2:
            return self.time_predicate()
        if choice < 0.28:
            return self.rising_predicate()
        if choice < 0.42:
            return self.text_predicate("tag", "text", self.tag)
        if choice < 0.46:
            return self.id_predicate()
        if choice < 0.5:
            return r.choice(["true", "false", "NULL::bool", "tag IN (SELECT d.tag FROM d WHERE d.k < 3)", "tag NOT IN (SELECT d.tag FROM d WHERE d.tag IS NOT NULL AND k > 5)",
                             "EXISTS (SELECT FROM d WHERE d.k = id % 5 AND d.lo < time)", "time = (SELECT max(time) FROM @T@)", "1 = 1 AND id >= 0"])
        return self.column_predicate(self.pick())

    def id_predicate(self):
        r, top = self.random, len(self.tables.rows) + 1
        low = r.randrange(top)
        return r.choice([f"id % 7 = {r.randrange(7)}", f"id BETWEEN {low} AND {low + 50}", f"id = {literal('int8', str(low))}", f"id < {literal('int4', str(low))}", f"mod(id, 3) <> 1",
                         f"id = ANY ({literal('bigint[]', '{%d,%d,NULL}' % (low, low + 3))})"])

    def time_predicate(self):
        r, t = self.random, self.tables
        a, b = sorted((self.at(), self.at()))
        forms = [lambda: f"time {r.choice(COMPARISONS)} {self.time()}"] * 3 + [lambda: f"time >= {self.time(a)} AND time < {self.time(b)}"] * 4 + [
            lambda: f"time {r.choice(['', 'NOT '])}BETWEEN {self.time(a)} AND {self.time(b)}", lambda: f"{self.time()} {r.choice(COMPARISONS)} time",
            lambda: f"time IN ({self.time()}, {self.time()}, {self.time()})", lambda: "time IS NOT NULL", lambda: "time IS NULL",
            lambda: f"(tag, time) > ({literal('text', self.tag())}, {self.time()})", lambda: f"(time, id) <= ({self.time()}, 500)",
            lambda: f"time IS DISTINCT FROM {self.time()}"]
        if self.clock:
            now = {"date": "current_date", "timestamp": "localtimestamp", "timestamptz": "now()"}[t.time_type]
            other = r.choice([k for k in ("timestamptz", "timestamp", "date") if k != t.time_type])
            moment = literal(other, t.time_text(self.at())[:10])
            forms += [lambda: f"time {r.choice(COMPARISONS)} {now} - ({now} - {literal(t.time_type, t.time_text(a))})", lambda: f"time {r.choice(COMPARISONS)} {moment}",
                      lambda: f"time BETWEEN {moment} AND {self.time(b)}", lambda: f"time + interval '1 hour' > {self.time()}", lambda: f"time > {self.time()} - interval '90 min'",
                      lambda: f"date_trunc('hour', time) = {self.time(a - a % (3600 * SECOND), 'timestamp' if t.time_type == 'date' else None)}",
                      lambda: f"time_bucket('1 day', time) >= {self.time()}", lambda: f"extract({'dow' if t.time_type == 'date' else 'hour'} FROM time) < {r.randrange(9)}", lambda: f"extract(epoch FROM time) > {a // SECOND}",
                      lambda: f"time::date = {literal('date', t.time_text(a)[:10])}", lambda: f"isfinite(time)"]
        else:
            forms += [lambda: f"time {r.choice(COMPARISONS)} {literal('numeric', str(a // SECOND) + '.5')}", lambda: f"time {r.choice(COMPARISONS)} {literal('float8', str(a // SECOND))}",
                      lambda: f"time {r.choice(COMPARISONS)} {literal('int8' if t.time_type == 'int4' else 'int4', str(a // SECOND))}", lambda: f"time - 60 > {self.time()}",
                      lambda: f"time_bucket(3600, time) = {self.time(a - a % (3600 * SECOND))}", lambda: f"time / 100 % 2 = 0"]
        return r.choice(forms)()

    def rising_predicate(self):
        """What rises with the time, mostly, against what it is of another time, or just beside that."""
        r, t = self.random, self.tables
        key = self.time_key()
        if self.clock and t.time_type != "date" and r.random() < 0.2:
            zone = r.choice(ZONES)
            key = r.choice([f"date_trunc('{r.choice(['hour', 'day', 'month'])}', time, '{zone}')" if t.time_type == "timestamptz" else "time", f"date_trunc('day', time::timestamptz AT TIME ZONE '{zone}')",
                            f"(time::timestamptz AT TIME ZONE '{zone}')::date", "time::timestamp", "time::timestamptz"])

        def other():
            value = re.sub(r"\btime\b", self.time(), key)
            if r.random() < 0.5:
                return value
            if not self.clock or re.match("floor|extract", key):
                return value + r.choice([" + 1", " - 1", " + 0.5", "::numeric"])
            if key == "time" or r.random() < 0.2:
                return f"({value})::{r.choice(['date', 'timestamp', 'timestamptz'])}"
            return value + r.choice([" + ", " - "]) + f"interval '{r.choice(['1 us', '1 us', '5 min', '1 hour', '1 day', '1 month'])}'"
        if r.random() < 0.25 and (key == "time" or key.startswith("time_bucket") and "ZONE" not in key):
            name = {"timestamptz": "tstz", "timestamp": "ts", "date": "date", "bigint": "int8", "int4": "int4"}[t.time_type]
            at = sorted(self.at() for _ in range(2 * r.choice([1, 2, 2, 5, 30])))
            ranges = [f"{name}range({self.time(a)}, {self.time(b)}, '{r.choice(['[)', '[]', '(]'])}')" for a, b in zip(at[::2], at[1::2]) if a < b or len(at) > 2]
            ranges = [x for x in ranges if "infinity" not in x] + ([f"{name}range(NULL, {self.time(at[0])})"] if r.random() < 0.1 else [])
            return r.choice(["", "", "NOT "]) + (f"{key} <@ {name}multirange({', '.join(ranges)})" if len(ranges) != 1 or r.random() < 0.3 else f"{ranges[0]} @> {key}")
        if r.random() < 0.2:
            values = [other() for _ in range(r.choice([1, 2, 3, 3, 12]))] + ["NULL"] * (r.random() < 0.1)
            if r.random() < 0.6:
                return f"{key} {r.choice(['', 'NOT '])}IN ({', '.join(values)})"
            return r.choice([f"{key} = ANY (ARRAY[{', '.join(values)}])", f"{key} <> ALL (ARRAY[{', '.join(values)}])", f"NOT ({key} = ANY (ARRAY[{', '.join(values)}]))"])
        return r.choice([lambda: f"{key} {r.choice(COMPARISONS)} {other()}"] * 4 + [lambda: f"{other()} {r.choice(COMPARISONS)} {key}", lambda: f"{key} >= {other()} AND {key} < {other()}",
                                                                                   lambda: f"{key} {r.choice(['', 'NOT '])}BETWEEN {other()} AND {other()}"])()

    def text_predicate(self, name, kind, value):
        r = self.random
        v = lambda: literal(kind, value())
        return r.choice([
            lambda: f"{name} = {v()}", lambda: f"{name} = {v()}", lambda: f"{name} IN ({v()}, {v()}, {v()})", lambda: f"{name} {r.choice(COMPARISONS)} {v()}", lambda: f"{name} NOT IN ({v()}, {v()})",
            lambda: f"{name} = ANY (ARRAY[{v()}, {v()}, NULL])", lambda: f"{name} <> ALL (ARRAY[{v()}, {v()}])", lambda: f"{name} {r.choice(['', 'NOT '])}LIKE {literal('text', r.choice(PATTERNS))}",
            lambda: f"{name} ILIKE {literal('text', r.choice(PATTERNS))}", lambda: f"{name} {r.choice(['~', '~*', '!~'])} {literal('text', r.choice(['^host_[12]$', '1', 'o.t', '']))}",
            lambda: f"lower({name}) = {v()}", lambda: f"upper({name}) LIKE 'HOST%'", lambda: f"length({name}) > {r.randrange(8)}", lambda: f"{name} || 'x' = {v()} || 'x'",
            lambda: f"starts_with({name}, 'host')", lambda: f"substr({name}, 6) = '1'", lambda: f"{name} IS NULL", lambda: f"{name} IS NOT NULL", lambda: f"coalesce({name}, 'none') <> {v()}",
            lambda: f"{name} IS NOT DISTINCT FROM {v()}", lambda: f"{v()} < {name}", lambda: f"{name} BETWEEN {v()} AND {v()}", lambda: f"nullif({name}, {v()}) IS NULL",
            lambda: f"CASE WHEN {name} = {v()} THEN true WHEN {name} IS NULL THEN NULL ELSE id % 2 = 0 END", lambda: f'{name} COLLATE "C" < {v()}'])()

    def column_predicate(self, c):
        r, name = self.random, c.name
        v = lambda: literal(c.cast, c.known(r))
        if r.random() < 0.15:
            return f"{name} IS {r.choice(['', 'NOT '])}NULL"
        if c.family == "text":
            return self.text_predicate(name, c.cast, lambda: c.known(r))
        if c.family == "bool":
            return r.choice([name, f"NOT {name}", f"{name} IS {r.choice(['', 'NOT '])}{r.choice(['TRUE', 'FALSE', 'UNKNOWN'])}", f"{name} = {v()}", f"{name} <> (id % 2 = 0)", f"{name} < true",
                             f"coalesce({name}, false)"])
        if c.family == "jsonb":
            return r.choice([f"{name} ->> 'host' = {literal('text', 'h1')}", f"{name} ? 'host'", f"{name} @> '{{\"n\": 1}}'", f"{name} -> 'n' IS NULL",
                             f"{name} = {v()}", f"jsonb_typeof({name}) <> 'object'"])
        forms = [lambda: f"{name} {r.choice(COMPARISONS)} {v()}"] * 4 + [
            lambda: f"{name} {r.choice(['', 'NOT '])}BETWEEN {v()} AND {v()}", lambda: f"{name} {r.choice(['', 'NOT '])}IN ({v()}, {v()}, {v()})", lambda: f"{v()} {r.choice(COMPARISONS)} {name}",
            lambda: f"{name} {r.choice(COMPARISONS)} {r.choice(['ANY', 'ALL'])} (ARRAY[{v()}, {v()}])", lambda: f"{name} = ANY (ARRAY[{v()}, NULL])", lambda: f"{name} IS DISTINCT FROM {v()}",
            lambda: f"{name} > {v()} AND {name} < {v()}", lambda: f"coalesce({name}, {v()}) >= {v()}", lambda: f"NOT ({name} < {v()})", lambda: f"{name} = NULL", lambda: f"{name} IN ({v()}, NULL)"]
        if c.family in CROSS:
            kind, make = r.choice(CROSS[c.family])
            forms += [lambda: f"{name} {r.choice(COMPARISONS)} {literal(kind, make(r))}"] * 3 + [lambda: f"{name} IN ({literal(kind, make(r))}, {v()})"]
        other = self.pick(c.family)
        forms += [lambda: f"{name} {r.choice(COMPARISONS)} {other.name}"]
        if c.family in ("float", "int", "numeric") and c.nature != "extreme":
            forms += [lambda: f"{name} {r.choice('+-*')} {r.choice(['1', '2.5', '3'])} > {r.randint(-50, 60)}", lambda: f"abs({name}) < {r.randint(0, 60)}", lambda: f"-{name} <= {r.randint(-50, 50)}",
                      lambda: f"{name} / 4 > {r.randint(-9, 9)}", lambda: f"CASE WHEN {name} > 10 THEN {name} ELSE 0 END < 40"]
        if c.family == "int" and c.nature == "small":
            forms += [lambda: f"{name} % 3 = 1", lambda: f"{name}::float8 > 3.5", lambda: f"{name}::numeric = {r.randint(0, 9)}", lambda: f"{name} & 1 = 1"]
        if c.family == "moment":
            forms += [lambda: f"isfinite({name})", lambda: f"{name} > time" if self.clock else f"{name} IS NOT NULL"]
        return r.choice(forms)()

    # ---- aggregates

    def column_number(self, c):
        return Number(c.name, c.type if c.family == "float" else c.family, c.nature != "smooth", self.tables.scale(c) if c.family == "float" else 10 * SMALL)

    def number(self, c, depth=2):
        """An expression over number columns, first of all c, that cannot overflow."""
        r = self.random
        a = self.column_number(c)
        if c.nature == "extreme" or r.random() < 0.5:
            return a
        forms = [lambda: a.of(f"@X@ {r.choice('+-*')} {r.choice(['1', '2', '10', '2.5::float8' if a.kind == 'float8' else '3'])}"), lambda: a.of("@X@ / 4"), lambda: a.of("-@X@"), lambda: a.of("abs(@X@)"),
                 lambda: a.of("coalesce(@X@, 0)"), lambda: a.of(f"CASE WHEN {condition(self.tree(0))} THEN @X@ ELSE 1 END"), lambda: a.of(f"nullif(@X@, {r.randint(0, 5)})"),
                 lambda: a.of("greatest(@X@, 3)"), lambda: Number(f"({c.name} > {r.randint(0, 50)})::int", "int", True, 1)]
        if a.kind in ("int", "float4"):
            forms += [lambda: Number(f"{a.text}::float8", "float8", True, a.scale)] * 2
        if a.kind == "int":
            forms += [lambda: Number(f"{a.text}::{k}", k if k == "numeric" else "int", True, a.scale) for k in ("int8", "numeric")]
        if depth:
            other = self.pick("float", "int", "numeric", nature=("small", "dyadic", "smooth", "plain"))
            forms += [lambda: a.plus(self.number(other, depth - 1), r.choice("+-"))] * 3
        return r.choice(forms)()

    def aggregate(self):
        r = self.random
        filter_ = f" FILTER (WHERE {condition(self.tree(r.choice([0, 0, 1])))})" if r.random() < 0.2 else ""
        choice = r.random()
        if choice < 0.15:
            return Item(f"count(*){filter_}")
        if choice < 0.25:
            c = self.pick()
            return Item(f"count({r.choice([c.name, 'time', 'tag', 'id'])}){filter_}")
        if choice < 0.5:
            c = self.pick("float", "int", "numeric")
            if c:
                number = self.number(c)
                sums = c.nature != "extreme" or c.family == "int"
                name = r.choice(["sum", "avg", "sum", "avg", "stddev", "variance", "stddev_pop", "var_pop", "var_samp", "stddev_samp"] if sums else ["count"])
                exact = number.kind in ("int", "numeric") or number.exact and (name == "avg" or name == "sum" and number.kind == "float8")
                return Item(f"{name}({number.text}){filter_}", "exact" if exact or not sums else "close", scale=number.scale * (1e5 if number.kind == "float4" and name == "sum" else 1))
        if choice < 0.75:
            c = self.pick("float", "int", "numeric", "text", "moment")
            name = c.name if c and r.random() < 0.7 else r.choice(["time", "tag", "id"])
            if c and name == c.name and c.family in ("float", "int", "numeric") and r.random() < 0.2:
                name = self.number(c).text
            return Item(f"{r.choice(['min', 'max'])}({name}){filter_}", "value" if c and name not in ("time", "tag", "id") else "exact")
        if choice < 0.8 and self.pick("bool"):
            return Item(f"{r.choice(['bool_and', 'bool_or', 'every'])}({self.pick('bool').name}){filter_}")
        if choice < 0.9:
            c = self.pick()
            by = "time" if self.tables.distinct else "id"
            name = r.choice([c.name, "id", "tag", "time"])
            return Item(f"{r.choice(['first', 'last'])}({name}, {'time' if name == 'time' else by}){filter_}")
        c = self.pick()
        return self.rare_aggregate(c, filter_)

    def rare_aggregate(self, c, filter_):
        r = self.random
        forms = [Item(f"count(DISTINCT tag){filter_}"), Item(f"array_agg(id ORDER BY id){filter_}"), Item(f"string_agg(tag, ',' ORDER BY id){filter_}"), Item("max(time) - min(time)"),
                 Item(f"bit_or(id){filter_}"), Item("count(*) * 2 + count(tag)"), Item(f"sum(id % 10) / nullif(count(*), 0)")]
        if c.family not in ("jsonb",):
            forms += [Item(f"count(DISTINCT {c.name}){filter_}")]
        if c.family in ("int", "float") and c.nature in ("small", "dyadic"):
            forms += [Item(f"sum(DISTINCT {c.name}){filter_}", "close", scale=self.column_number(c).scale), Item(f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {c.name}){filter_}", "value"), Item(f"max({c.name}) - min({c.name})", "value")]
            if c.family == "float":
                forms += [Item(f"histogram({c.name}, -100, 100, 5){filter_}")]
        return r.choice(forms)

    # ---- keys

    def time_key(self):
        r, t = self.random, self.tables
        if not self.clock:
            w = r.choice([1, 7, 60, 3600, 86400])
            return r.choice([f"time_bucket({w}, time)", f"time_bucket({w}, time, {r.randrange(w)})", f"time / {w}", f"floor(time / {w}) * {w}", "time", f"time - time % {w}"])
        days = ["1 day", "7 days", "1 week", "30 days", "3 days", "1000000 days", "1 month", "3 months", "1 year", "100 years"]
        if t.time_type == "date":
            d = r.choice(days)
            return r.choice([f"time_bucket('{d}', time)", f"time_bucket('{d}', time, origin => date '2024-01-02')", f"time_bucket('{d}', time, \"offset\" => '{'1 month' if 'mon' in d or 'year' in d else '1 day'}')",
                             f"date_trunc('{r.choice(['week', 'month', 'year'])}', time)", "time", "extract(dow FROM time)"])
        w = r.choice(["1 second", "10 seconds", "1 min", "5 min", "60.000s", "15 min", "1 hour", "6 hours", "7 min", "25 hours", "1 us"] + days)
        fixed = w if not ("mon" in w or "year" in w) else "1 hour"
        zone = r.choice(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata", "Australia/Lord_Howe"])
        forms = [lambda: f"time_bucket('{w}', time)"] * 5 + [
            lambda: f"time_bucket('{w}', time, origin => '2024-01-01 00:07:00'::{t.time_type})", lambda: f"time_bucket('{fixed}', time, \"offset\" => interval '{r.choice(['7 min', '-1 hour', '3 days'])}')",
            lambda: f"date_trunc('{r.choice(['second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'])}', time)", lambda: f"date_bin('{fixed}', time, '2001-01-01'::{t.time_type})",
            lambda: self.epoch_key(), lambda: self.epoch_key(), lambda: "time::date", lambda: f"extract({r.choice(['hour', 'dow', 'day', 'minute'])} FROM time)", lambda: "time",
            lambda: f"time_bucket({literal('interval', w)}, time)"]
        if t.time_type == "timestamptz":
            forms += [lambda: f"time_bucket('{w}', time, '{zone}')", lambda: f"date_trunc('{r.choice(['hour', 'day', 'week', 'month'])}', time, '{zone}')", lambda: f"time_bucket('{w}', time AT TIME ZONE '{zone}')"]
        return r.choice(forms)()

    def epoch_key(self):
        n = self.random.choice([1, 60, 300, 3600, 86400])
        return f"floor(extract(epoch FROM time)/{n})*{n}"

    def other_key(self):
        """-> (expression, how its values are compared)"""
        r = self.random
        c = self.pick()
        forms = [("tag", "exact")] * 6 + [("coalesce(tag, 'none')", "exact"), ("upper(tag)", "exact"), ("id % 4", "exact"), ("tag IS NULL", "exact"), ("length(tag)", "exact")]
        forms += [(c.name, "exact" if c.family in ("text", "bool", "int", "moment", "uuid") else "value")] * 3
        if c.family == "int" and c.nature == "small":
            forms += [(f"{c.name} % 5", "exact"), (f"{c.name} / 100", "exact")]
        if c.family == "jsonb":
            forms += [(f"{c.name} ->> 'host'", "exact")] * 3
        forms += [(f"CASE WHEN {condition(self.tree(0))} THEN 1 WHEN tag = 'host_0' THEN 2 END", "exact")]
        return r.choice(forms)

    def direction(self):
        return self.random.choice(["", "", "", " DESC", " DESC", " NULLS FIRST", " DESC NULLS LAST"])

    def limit(self, share=0.3):
        r = self.random
        return "" if r.random() > share else f" LIMIT {r.choice([0, 1, 3, 5, 20])}" + (f" OFFSET {r.choice([1, 4])}" if r.random() < 0.2 else "")

    # ---- shapes

    def source(self):
        return self.random.choices(["@T@", "@T@_view", "@T@_barrier", "(SELECT * FROM @T@ WHERE id >= 0) s"], [20, 1, 1, 1])[0]

    def query(self):
        r = self.random
        shapes = [(self.grouped, 8), (self.plain_aggregate, 5), (self.rows, 5), (self.newest, 3), (self.top_buckets, 3), (self.last_of_series, 5), (self.distinct, 2), (self.joined, 2), (self.lateral, 1.5),
                  (self.union, 1), (self.nested, 1), (self.risky, 0.7), (self.window, 0.5), (self.self_join, 0.5), (self.sets, 0.5)]
        return r.choices([s for s, _ in shapes], [w for _, w in shapes])[0]()

    def plain_aggregate(self):
        query = Query([self.aggregate() for _ in range(self.random.randint(1, 5))], self.source(), self.where())
        if self.random.random() < 0.1:
            query.having = [self.having()]
        return query

    def having(self):
        return self.random.choice([f"count(*) > {self.random.choice([0, 1, 5, 100])}", "max(id) % 2 = 0", f"min(time) < {self.time()}", "count(tag) = count(*)", "bool_or(id % 5 = 0)"])

    def grouped(self):
        r = self.random
        keys = [Item(k, h) for k, h in [(self.time_key(), "value")] * (r.random() < 0.7) + [self.other_key() for _ in range(r.choice([0, 1, 1, 2]))]]
        if not keys:
            keys = [Item(self.time_key(), "value")]
        r.shuffle(keys)
        shown = keys if r.random() < 0.85 else keys[1:]
        query = Query(shown + [self.aggregate() for _ in range(r.randint(0 if shown else 1, 4))], self.source(), self.where(), [k.text for k in keys])
        if r.random() < 0.2:
            query.having = [self.having()]
        if r.random() < 0.7:
            query.order = [k.text + self.direction() for k in r.sample(keys, len(keys))]
            if r.random() < 0.15:
                query.order.insert(0, r.choice(["count(*)", "min(id)", "max(time)"]) + self.direction())
            query.total = True
            query.limit = self.limit()
        return query

    def top_buckets(self):
        """The newest or oldest buckets; some with what stands between the groups and the LIMIT."""
        r = self.random
        key = self.time_key()
        query = Query([Item(key, "value")] + [self.aggregate() for _ in range(r.randint(1, 3))], self.source(), self.where(), [key], [self.having()] if r.random() < 0.15 else [],
                      [key + r.choice(["", " DESC", " DESC", " DESC NULLS LAST"])], r.choice([" LIMIT 1", " LIMIT 2", " LIMIT 5", " LIMIT 20", " LIMIT 2 OFFSET 3", " OFFSET 2", " LIMIT NULL",
                                                                                          " FETCH FIRST 3 ROWS WITH TIES", f" LIMIT {literal('int8', '4')}", " LIMIT (SELECT min(k) + 2 FROM d)"]), total=True)
        between = r.random()
        if between < 0.08:
            query.items.append(Item(f"row_number() OVER (ORDER BY {key})"))
        elif between < 0.12:
            query.items.append(Item("sum(count(*)) OVER ()"))
        elif between < 0.16:
            query.items.append(Item("generate_series(1, 2)"))
            query.order.append("generate_series(1, 2)")
        elif between < 0.2:
            query.head = "DISTINCT"
        elif between < 0.25:
            query.group, query.items = [*query.group, "tag"], [*query.items, Item("tag")]
            query.order.append("tag")
        elif between < 0.3:
            return Query([Item("count(*)"), Item("max(x0)", "value")], ["(", query, ") b"])
        return query

    def output(self):
        r = self.random
        c = self.pick()
        forms = ["id", "time", "tag", c.name, c.name, c.name, "*"]
        if c.family in ("int", "float", "numeric") and c.nature != "extreme":
            forms += [f"{c.name} * 2 + 1", f"round({c.name}::numeric, 1)" if c.family != "float" else f"{c.name} / 4"]
        if c.family == "text":
            forms += [f"upper({c.name})", f"{c.name} || tag"]
        return r.choice(forms)

    def rows(self):
        """Rows in the order of their ids, or in none."""
        r = self.random
        items = [Item(o) for o in dict.fromkeys(self.output() for _ in range(r.randint(1, 4)))]
        items = [Item(f"{o.text}") for o in items if o.text != "*"] or [Item("id")]
        query = Query(items, self.source(), self.where())
        if r.random() < 0.6:
            query.order, query.total, query.limit = ["id" + r.choice(["", " DESC"])], True, self.limit(0.8)
        elif not query.where or len(self.tables.rows) > 3000:
            query.where.append(self.id_predicate())
        return query

    def newest(self):
        """ORDER BY time LIMIT n; where times are not distinct, only the time is put out."""
        r = self.random
        by_tag = r.random() < 0.3
        keys = (["tag", "time"] if by_tag else ["time"]) + ([] if r.random() < 0.5 else ["id"])
        distinct = "id" in keys or self.tables.distinct or by_tag and self.tables.by_series
        order = [keys[0] + self.direction()] + [k + r.choice(["", " DESC"]) for k in keys[1:]]
        items = [Item(k) for k in dict.fromkeys(keys + ([self.pick().name, "id"] if distinct else []))]
        return Query(items, self.source(), self.where(), order=order, limit=r.choice(["", " LIMIT 1", " LIMIT 1", " LIMIT 10", " LIMIT 10 OFFSET 3", " LIMIT 1000"]), total=True)

    def series_keys(self):
        """Columns that tell series apart: mostly the tag."""
        r = self.random
        found = [c.name for c in self.columns if c.family in ("int", "text", "bool", "uuid") or c.type == "date"]
        keys = (["tag"] if r.random() < 0.8 or not found else []) + (r.sample(found, r.randint(1, min(2, len(found)))) if found and r.random() < 0.4 else [])
        r.shuffle(keys)
        return keys or ["tag"]

    def output_of(self, c):
        r = self.random
        return c.name if r.random() < 0.7 or c.family not in ("int", "numeric", "text") or c.nature == "extreme" else f"{c.name} || 'x'" if c.family == "text" else f"{c.name} + 1"

    def last_of_series(self):
        """The newest row or value of every series, in its several spellings."""
        r = self.random
        by = "time" if self.tables.by_series else "id"
        c = self.pick()
        direction = r.choice([" DESC", " DESC", " DESC", "", " DESC NULLS LAST"])
        where = self.where() if r.random() < 0.6 else []
        if r.random() < 0.6:
            keys = self.series_keys()
            distinct = "tag" in keys and self.tables.by_series or self.tables.distinct
            items = [Item(k) for k in keys] + [Item("time")] + ([Item(self.output_of(c)), Item("id")] if distinct else [])
            return Query(items, self.source(), where, order=[k + self.direction() for k in r.sample(keys, len(keys))] + ["time" + direction], head=f"DISTINCT ON ({', '.join(keys)})", total=True,
                         limit=self.limit(0.1))
        return r.choice([
            lambda: Query([Item("tag"), Item(f"{r.choice(['last', 'first'])}({c.name}, {by})"), Item("max(time)")][:r.randint(2, 3)], self.source(), where, ["tag"]),
            lambda: Query([Item("tag"), Item(f"{r.choice(['max', 'min'])}(time)")], self.source(), where, ["tag"], order=["tag"] if r.random() < 0.7 else [], total=True),
            lambda: Query([Item(f"{r.choice(['max', 'min'])}(time)")], self.source(), where),
            lambda: Query([Item(f"last({c.name}, {by if self.tables.distinct else 'id'})")], self.source(), where)])()

    def distinct(self):
        r = self.random
        keys = [("tag", "exact")] if r.random() < 0.6 else [self.other_key() for _ in range(r.randint(1, 2))]
        query = Query([Item(k, h) for k, h in dict(keys).items()], self.source(), self.where() if r.random() < 0.6 else [], head="DISTINCT")
        if r.random() < 0.6:
            query.order, query.total, query.limit = [f"{i + 1}{self.direction()}" for i in range(len(query.items))], True, self.limit(0.2)
        return query

    def joined(self):
        r = self.random
        kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        on = "d.tag = @T@.tag" + (r.choice([" AND @T@.time >= d.lo", " AND @T@.time BETWEEN d.lo AND d.hi"]) if kind in ("JOIN", "LEFT JOIN") and r.random() < 0.5 else "")
        source = f"@T@ {kind} d ON {on}"
        where = [self.qualified(p) for p in self.where()] + r.choice([[], ["d.owner = 'owner 1'"], ["d.k < 3"]])
        if r.random() < 0.6:
            keys = r.sample(["d.owner", "d.k", "@T@.tag"], r.randint(1, 2))
            return Query([Item(k) for k in keys] + [Item("count(*)"), Item("sum(@T@.id)"), Item("max(@T@.time)")], source, where, keys)
        return Query([Item("@T@.id"), Item("d.k"), Item("@T@.time")], source, where, order=["@T@.id", "d.k"], limit=" LIMIT 200", total=True)

    def qualified(self, part):
        """The column names that d has as well belong to the table."""
        if isinstance(part, str):
            if "SELECT" in part:
                return "@T@.id >= 0"
            return re.sub(r"(?<![\w.'\x02])tag\b(?![\w'\x03])", "@T@.tag", part)
        return (part[0], [self.qualified(p) for p in part[1]])

    def lateral(self):
        r = self.random
        inner_where = [self.qualified(p).replace("@T@.", "i.") if isinstance(p, str) else "true" for p in self.where() if isinstance(p, str) and "@T@" not in p]
        bucket = f"time_bucket({chr(39) + r.choice(['1 day', '1 month'] if self.tables.time_type == 'date' else ['10 min', '1 hour', '1 day', '1 month']) + chr(39) if self.clock else 600}, i.time)"
        link = r.choice([[f"{bucket} >= d.lo", f"{bucket} < d.hi"], [f"{bucket} = d.lo"], ["i.tag = d.tag", f"{bucket} <= d.hi"], ["i.tag = d.tag"], ["i.tag = d.tag", "i.time >= d.lo"], ["i.time >= d.lo", "i.time < d.hi"], ["i.time = d.lo"], ["i.tag IS NOT DISTINCT FROM d.tag", "i.time <= d.hi"],
                         ["upper(i.tag) = upper(d.tag)"], ["i.tag LIKE '%' || d.k", "i.time > d.lo"], ["i.tag = ANY (ARRAY[d.tag, 'host_1'])", "i.id > d.weight"], ["i.id % 5 = d.k"]])
        choice = r.random()
        if choice < 0.4:
            inner = Query([Item("count(*)"), Item("max(i.id)"), Item("min(i.time)")], "@T@ i", link + inner_where)
        elif choice < 0.6:
            key = r.choice(["i.tag", "i.id % 3", "i.time"])
            inner = Query([Item("count(*)"), Item("sum(i.id)"), Item(key)], "@T@ i", link + inner_where, [key])
        else:
            inner = Query([Item("i.id"), Item("i.tag"), Item("i.time")], "@T@ i", link + inner_where, order=[r.choice(["i.time DESC", "i.time"]), "i.id"], limit=" LIMIT 2", total=True)
        if r.random() < 0.2:
            inner.items = inner.items[:1]
            inner.limit = " LIMIT 1" if inner.order else inner.limit
            if not inner.group:
                return Query([Item("d.k"), Item("s.x0")], ["(SELECT d.k, (", inner, ") AS x0 FROM d) s(k, x0) JOIN d USING (k)"])
        return Query([Item("d.k")] + [Item(f"s.x{i}") for i in range(len(inner.items))], ["d CROSS JOIN LATERAL (", inner, ") s"] if r.random() < 0.6 else ["d LEFT JOIN LATERAL (", inner, ") s ON true"],
                     where=r.choice([[], ["d.k < 4"]]))

    def union(self):
        r = self.random
        a, b = (Query([Item("id"), Item("time"), Item("tag")], "@T@", self.where()) for _ in range(2))
        word = r.choice([" UNION ALL ", " UNION ALL ", " UNION ", " EXCEPT ", " INTERSECT "])
        return Query([Item("count(*)"), Item("sum(x0)"), Item("max(x1)"), Item("count(DISTINCT x2)")], ["(", a, word, b, ") u"])

    def nested(self):
        """An aggregate over groups, or over the newest rows."""
        r = self.random
        if r.random() < 0.5:
            inner = Query([Item(self.time_key()), Item("tag"), Item("count(*)"), Item("max(id)")], "@T@", self.where())
            inner.group = [inner.items[0].text, "tag"]
        else:
            inner = Query([Item("time"), Item("tag"), Item("id % 5"), Item("id")], "@T@", self.where(), order=["time DESC", "id"], limit=" LIMIT 50", total=True)
        return Query([Item("count(*)"), Item("count(x1)"), Item("sum(x2)"), Item("max(x3)"), Item("min(x0)")], ["(", inner, ") n"])

    def risky(self):
        """What raises an error when a row that passes makes it; at most one kind of error."""
        r = self.random
        c, small = self.pick("int", nature=("extreme",)), self.pick("int", nature=("small",))
        texts = ["sum(100 / (id % 50 - 25))", "max(1 / (id - 500))", "count(*) FILTER (WHERE 1 / (id % 9) >= 0)", "sum((tag || 'x')::int)", "max(('1' || tag)::int)", "sum((id * 4000)::int2)"]
        if c:
            texts += [f"sum({c.name} + 1::{c.type})", f"max(-{c.name})", f"sum({c.name}::int2)", f"avg({c.name} * 3::{c.type})", f"min(abs({c.name}))"]
        if small:
            texts += [f"sum(10 / {small.name})", f"sum(7 % {small.name})", f"avg({small.name}::int2 * 1000::int2)"]
        if self.clock and self.tables.time_type != "date":
            texts += ["max(time + interval '290000 years')", "min(time_bucket('1 day', time - interval '6000 years'))", "count(date_bin('0 s', time, time))", "max(time_bucket('-1 day', time))"]
        where = [] if r.random() < 0.4 else [r.choice([f"time >= {self.time()}", f"tag = {literal('text', self.tag())}", f"id < {r.randrange(1000)}"])]
        query = Query([Item(r.choice(texts))], "@T@", where)
        if r.random() < 0.4:
            query.items.insert(0, Item("tag"))
            query.group = ["tag"]
        return query

    def window(self):
        r = self.random
        over = r.choice(["PARTITION BY tag ORDER BY time, id", "ORDER BY time, id", "PARTITION BY tag ORDER BY id DESC"])
        return Query([Item("id"), Item(f"row_number() OVER ({over})"), Item(f"lag(id) OVER ({over})"), Item(f"count(*) OVER ({over})")], "@T@", self.where() + [self.id_predicate()], order=["id"], total=True)

    def self_join(self):
        keys = self.random.choice(["a.id = b.id", "a.tag = b.tag AND a.time = b.time", "a.id = b.id + 1 AND a.tag = b.tag"])
        return Query([Item("count(*)"), Item("sum(a.id)"), Item("max(b.time)")], f"@T@ a JOIN @T@ b ON {keys}", [f"a.id % 11 = {self.random.randrange(11)}", f"b.time >= {self.time()}"])

    def sets(self):
        form = self.random.choice(["ROLLUP (tag, id % 3)", "CUBE (tag, id % 2)", "GROUPING SETS ((tag), (id % 3), ())"])
        modulus = "id % 2" if "CUBE" in form else "id % 3"
        return Query([Item("tag"), Item(modulus), Item("grouping(tag)"), Item("count(*)"), Item("max(time)"), self.aggregate()], "@T@", self.where(), [form])


assert SMALL * 10 < 2**15, "sums and products of small integers must fit into int2"
