"""Random statements on a heap table h and its tsext twin t; after every few of them both must hold the same rows, bit by bit.

    differential.py [--seed N] [--rounds N] [--seconds N] [--database NAME] [--keep]

A round is one seed: it makes two tables with random columns, runs some dozens of statements on both, in and out of
transactions and savepoints, and compares. Without --seconds and --rounds it goes on until it is interrupted. The server
is the one of PGHOST and PGPORT. A statement that tsext refuses (0A000) is not run on the heap and is counted; any other
answer that differs from the heap's is a failure. A failed round leaves build/test/differential-SEED.sql, all it ran.
Prints TAP lines; exits with 1 when a round failed.
"""
import pathlib, random, sys, tempfile, time

import rounds, values
from psql import Session, columns_of, differences, simd_levels

REFUSED = "0A000"
FINE = "00000"
START = 1704067200          # 2024-01-01 UTC
DAY = 86400


class Difference(RuntimeError):
    """The tsext table answered otherwise than the heap."""


class Round:
    def __init__(self, seed, database, folder, log):
        self.seed, self.database, self.folder = seed, database, folder
        self.random = random.Random(seed)
        self.session = Session(database, log)
        self.reader = None                    # another session with an old snapshot, and what it saw
        self.next_id = 1
        self.statements = self.refused = 0
        self.in_transaction = False

    # ---- the two tables

    def create(self):
        r = self.random
        for statement in ["SET client_min_messages = error", "SET timezone = 'UTC'", "SET lock_timeout = '180s'", "SET statement_timeout = '300s'",
                          "DROP TABLE IF EXISTS t, h", "SET bytea_output = 'hex'", "SET extra_float_digits = 1"]:
            self.session.get(statement)
        self.levels = simd_levels(self.session)
        self.session.get(f"SET tsext.simd = '{r.choice(self.levels)}'")
        self.session.get(f"SET tsext.bulk_memory = '{r.choice(['1MB', '4MB', '64MB'])}'")
        self.time_type = r.choice(["timestamptz", "timestamptz", "timestamp", "date", "bigint"])
        names = r.sample(sorted(values.TYPES), r.randint(1, 9))
        # One generator per column, sometimes a dull one: constants, few values and NULL runs are codecs of their own.
        self.columns = [("id", "bigint", None), ("time", self.time_type, None), ("tag", "text", None)]
        for i, name in enumerate(names):
            self.columns.append((f"c{i}", name, self.generator(name)))
        r.shuffle(self.columns)
        body = ", ".join(f"{name} {kind}" + (" NOT NULL" if name == "time" and r.random() < 0.8 else "") for name, kind, _ in self.columns)
        options = []
        if self.time_type == "bigint":
            options.append(f"chunk_interval => {r.choice([DAY, 10 * DAY])}::bigint")
        self.fixed_days = self.time_type != "bigint" and r.random() < 0.7
        if self.fixed_days:
            options.append("chunk_interval => interval '1 day'")
        if r.random() < 0.5:
            options.append("segment_by => '{tag}'")
        self.session.get(f"CREATE TABLE h ({body}) USING heap")
        self.session.get(f"CREATE TABLE t ({body}) USING tsext")
        if options:
            self.session.get(f"SELECT tsext.set_options('t', time_column => 'time', {', '.join(options)})")

    def generator(self, name):
        r, make = self.random, values.TYPES[name]
        nulls = r.choice([0, 0, 0.1, 0.9])
        few = [make(r) for _ in range(r.choice([1, 2, 10]))] if r.random() < 0.3 else None
        return lambda: None if r.random() < nulls else r.choice(few) if few else make(r)

    def time_value(self, i, step, base):
        r = self.random
        at = base + i * step + (r.randrange(step) if step > 1 and r.random() < 0.1 else 0)
        if self.time_type == "bigint":
            return str(at)
        if self.time_type == "date":
            return time.strftime("%Y-%m-%d", time.gmtime(at))
        fraction = f".{r.randrange(10**6):06}" if r.random() < 0.3 else ""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) + fraction + ("+00" if self.time_type == "timestamptz" else "")

    def rows(self, count):
        r = self.random
        step, base = r.choice([1, 10, 60, 3600]), START + r.randrange(10 * DAY)
        tags = r.choice([1, 3, 40])
        out = []
        for i in range(count):
            row = []
            for name, _, make in self.columns:
                if name == "id":
                    row.append(str(self.next_id))
                    self.next_id += 1
                elif name == "time":
                    row.append(self.time_value(i // tags, step, base))
                elif name == "tag":
                    row.append(f"host_{i % tags}")
                else:
                    row.append(make())
            out.append(row)
        if r.random() < 0.2:
            r.shuffle(out)
        return out

    # ---- statements

    def both(self, statement, may_refuse=True):
        """Runs a statement with {} for the table: first on t, and on h when t did not refuse."""
        self.statements += 1
        if self.in_transaction:
            self.session.get("SAVEPOINT one")
        state, output = self.session.run(statement.format("t"))
        if state == REFUSED and may_refuse:
            self.refused += 1
            if self.in_transaction:
                self.session.get("ROLLBACK TO one")
            return False
        if state != FINE and self.in_transaction:
            self.session.get("ROLLBACK TO one")
        heap_state, heap_output = self.session.run(statement.format("h"))
        if state != heap_state:
            raise Difference(f"{statement[:2000]}\nt: {state} {output}\nh: {heap_state} {heap_output}")
        if state != FINE and self.in_transaction:
            self.session.get("ROLLBACK TO one")
        return True

    def alone(self, statement):
        """Runs what only t has; it must not change a row."""
        self.statements += 1
        if self.in_transaction:
            self.session.get("SAVEPOINT alone")
        state, output = self.session.run(statement)
        if state == REFUSED:
            self.refused += 1
        elif state != FINE:
            raise Difference(f"{statement}\n{state} {output}")
        if state != FINE and self.in_transaction:
            self.session.get("ROLLBACK TO alone")

    def insert(self):
        rows = self.rows(self.random.choice([1, 2, 10, 50]))
        tuples = ", ".join("(" + ", ".join(values.literal(v, kind) for v, (_, kind, _) in zip(row, self.columns)) + ")" for row in rows)
        statement = "INSERT INTO {} (" + ", ".join(name for name, _, _ in self.columns) + ") VALUES " + tuples.replace("{", "{{").replace("}", "}}")
        self.both(statement, may_refuse=False)

    def copy(self):
        rows = self.rows(self.random.choice([1, 100, 1023, 1025, 5000, 9000]))
        path = self.folder / "rows.txt"
        with open(path, "w", encoding="utf-8", newline="\n") as f:
            for row in rows:
                f.write("\t".join(values.copy_field(v) for v in row) + "\n")
        names = ", ".join(name for name, _, _ in self.columns)
        self.both(f"\\copy {{}} ({names}) FROM '{path}'", may_refuse=False)

    def insert_select(self):
        count = int(self.session.get("SELECT count(*) FROM h"))
        if count == 0 or count > 40000:
            return
        limit = self.random.choice([10, 1000, 8000])
        names = ", ".join(name for name, _, _ in self.columns if name != "id")
        self.session.get("DROP TABLE IF EXISTS pg_temp.source")
        self.session.get(f"CREATE TEMP TABLE source AS SELECT {self.next_id} + row_number() OVER (ORDER BY id) AS id, {names} FROM h ORDER BY id LIMIT {limit}")
        self.next_id += limit + 1
        self.both(f"INSERT INTO {{}} (id, {names}) SELECT id, {names} FROM source", may_refuse=False)

    def condition(self):
        r = self.random
        k = r.randrange(5)
        top = max(1, self.next_id)
        if k == 0:
            return "id IN (" + ", ".join(str(r.randrange(top)) for _ in range(r.choice([1, 20]))) + ")"
        if k == 1:
            low = r.randrange(top)
            return f"id BETWEEN {low} AND {low + r.choice([0, 10, 500])}"
        if k == 2:
            return f"tag = 'host_{r.randrange(4)}' AND id % 7 = {r.randrange(7)}"
        if k == 3:
            return f"time >= {self.time_literal(START + r.randrange(12 * DAY))} AND id % 3 = 0"
        return f"id > {top - r.choice([5, 50, 1000])}"

    def time_literal(self, at):
        if self.time_type == "bigint":
            return str(at)
        return "'" + time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(at)) + "'::timestamptz::timestamp::" + self.time_type

    def update(self):
        candidates = [c for c in self.columns if c[0] not in ("id", "time")]
        name, kind, make = self.random.choice(candidates)
        value = make() if make else f"host_{self.random.randrange(9)}"
        self.both(f"UPDATE {{}} SET {name} = {values.literal(value, kind).replace('{', '{{').replace('}', '}}')} WHERE {self.condition()}")

    def delete(self):
        self.both(f"DELETE FROM {{}} WHERE {self.condition()}")

    def lock_rows(self):
        self.both(f"SELECT id FROM {{}} WHERE {self.condition()} FOR UPDATE")

    def compact(self):
        if self.in_transaction and self.isolation:
            return                            # refused: such a snapshot could not see the rows it moves as they were
        self.alone(self.random.choice(["SELECT tsext.compact('t')"] * 3 + ["SELECT tsext.compact('t', level => 'cold')", "SELECT tsext.compact('t', level => 'hot')"]))

    def move_chunks(self):
        """Makes some chunks hot or cold again."""
        if self.in_transaction:
            return
        call = self.random.choice(["decompress_chunk(c)", "decompress_chunk(c)", "compress_chunk(c)"])
        self.alone(f"SELECT count({call}) FROM (SELECT c FROM show_chunks('t') c ORDER BY c LIMIT {self.random.randint(1, 3)}) s")

    def change_options(self):
        r = self.random
        hours = r.choice([6, 24, 48])
        interval = f"{hours * 3600}::bigint" if self.time_type == "bigint" else f"interval '{max(hours, 24) if self.time_type == 'date' else hours} hours'"
        self.fixed_days = self.fixed_days and hours == 24
        self.alone(f"SELECT tsext.set_options('t', " + r.choice([f"chunk_interval => {interval}", "segment_by => '{tag}'", "segment_by => '{}'"]) + ")")

    def drop_chunks(self):
        if not self.fixed_days or self.in_transaction:
            return
        border = START + self.random.randrange(-1, 4) * DAY
        at = time.strftime("%Y-%m-%d", time.gmtime(border))
        zone = self.time_type if self.time_type != "date" else "date"
        state, output = self.session.run(f"SELECT drop_chunks('t', older_than => '{at}'::{zone})")
        self.statements += 1
        if state != FINE:
            raise Difference(f"drop_chunks: {state} {output}")
        self.session.get(f"DELETE FROM h WHERE time < '{at}' AND isfinite(time)")

    def truncate(self):
        self.end_reader()
        self.both("TRUNCATE {}", may_refuse=False)

    def add_column(self):
        self.end_reader()
        r = self.random
        name = r.choice(sorted(values.TYPES))
        make = self.generator(name)
        value = make()
        default = "" if value is None else f" DEFAULT {values.literal(value, name)}".replace("{", "{{").replace("}", "}}")
        column = f"c{len(self.columns)}x{self.statements}"
        if self.both(f"ALTER TABLE {{}} ADD COLUMN {column} {name}{default}"):
            self.columns.append((column, name, make))

    def drop_column(self):
        self.end_reader()
        extra = [c for c in self.columns if c[2]]
        if len(extra) < 2:
            return
        column = self.random.choice(extra)
        if self.both(f"ALTER TABLE {{}} DROP COLUMN {column[0]}"):
            self.columns.remove(column)

    def rewrite(self):
        if self.in_transaction:
            return
        self.end_reader()
        choice = self.random.random()
        if choice < 0.4:
            self.alone("VACUUM FULL t")
            return
        if choice < 0.7:
            self.alone("CREATE INDEX t_id ON t (id)")
            self.alone("CLUSTER t USING t_id")
            self.compare("clustered, with an index")
            if self.random.random() < 0.5:
                self.alone("DROP INDEX t_id")
            else:
                self.alone(self.random.choice(["REINDEX TABLE t", "REINDEX TABLE CONCURRENTLY t"]))
                self.compact()
                self.compare("with an index")
                self.alone("DROP INDEX t_id")
            return
        self.alone("ALTER TABLE t SET ACCESS METHOD heap")
        self.compare("as a heap")
        self.alone("ALTER TABLE t SET ACCESS METHOD tsext")

    def vacuum(self):
        if not self.in_transaction:
            self.alone(self.random.choice(["VACUUM t", "VACUUM (FREEZE) t", "ANALYZE t", "VACUUM (ANALYZE) t"]))

    def change_settings(self):
        r = self.random
        self.session.get(r.choice([f"SET tsext.simd = '{r.choice(self.levels)}'", f"SET tsext.enable_bulk = {r.choice(['on', 'off'])}",
                                   f"SET tsext.bulk_memory = '{r.choice(['1MB', '16MB'])}'", f"SET tsext.enable_scan = {r.choice(['on', 'off'])}", f"SET tsext.enable_aggregate = {r.choice(['on', 'off'])}"]))

    def rolled_back(self):
        """Some statements that a savepoint takes back."""
        own = not self.in_transaction
        if own:
            self.begin()
        self.session.get("SAVEPOINT back")
        columns, next_id = list(self.columns), self.next_id
        for _ in range(self.random.randint(1, 3)):
            self.random.choice([self.insert, self.copy, self.update, self.delete, self.compact, self.insert_select])()
        if self.random.random() < 0.3:
            self.compare("inside a savepoint")
        self.session.get("ROLLBACK TO back")
        self.columns, self.next_id = columns, next_id
        if own:
            self.end(commit=self.random.random() < 0.5)

    def begin(self):
        self.isolation = self.random.choice(["", "", " ISOLATION LEVEL REPEATABLE READ", " ISOLATION LEVEL SERIALIZABLE"])
        self.session.get("BEGIN" + self.isolation)
        self.in_transaction = True

    def end(self, commit):
        self.session.get("COMMIT" if commit else "ROLLBACK")
        self.in_transaction = False

    def transaction(self):
        self.end_reader()
        self.begin()
        columns = list(self.columns)
        for _ in range(self.random.randint(1, 4)):
            self.step([self.insert, self.copy, self.update, self.delete, self.insert_select, self.lock_rows, self.rolled_back, self.compact, self.add_column, self.truncate],
                      [6, 3, 3, 3, 1, 1, 2, 1, 1, 1])
        commit = self.random.random() < 0.6
        if self.random.random() < 0.3:
            self.compare("inside a transaction")
        self.end(commit)
        if not commit:
            self.columns = columns

    # ---- comparing

    def compare(self, when):
        if self.random.random() < 0.5:
            self.session.get(f"SET tsext.simd = '{self.random.choice(self.levels)}'")
        found = differences(self.session, columns_of(self.session, "h"), "t", "h")
        if found:
            raise Difference(f"{when}: rows differ\n{found}")
        for query in self.queries():
            a, b = self.session.get(query.format("t")), self.session.get(query.format("h"))
            if a != b:
                raise Difference(f"{when}: {query}\nt: {a[:2000]}\nh: {b[:2000]}")

    def queries(self):
        r = self.random
        p = self.condition().replace("{", "{{").replace("}", "}}")
        extra = r.choice(self.columns)[0]
        yield "SELECT count(*) FROM {}"
        yield f"SELECT id, time, {extra}::text AS x FROM {{}} WHERE {p} ORDER BY 1"
        yield f"SELECT count(*), min(time), max(time), min(id), max(id), sum(id) FROM {{}} WHERE {p}"
        # Ternary logic: the rows where p, not p and p is null are all rows.
        yield f"SELECT count(*) FROM (SELECT id FROM {{0}} WHERE {p} UNION ALL SELECT id FROM {{0}} WHERE NOT ({p}) UNION ALL SELECT id FROM {{0}} WHERE ({p}) IS NULL) q"
        yield "SELECT tag, count(*), max(time) FROM {} GROUP BY tag ORDER BY tag COLLATE \"C\""
        yield f"SELECT a.id FROM {{0}} a JOIN {{0}} b ON a.id = b.id AND b.{extra} IS NOT NULL WHERE a.id % 11 = 3 ORDER BY 1"
        yield f"SELECT count({extra}) FROM {{}}"

    SNAPSHOT = "SELECT count(*), sum(id), md5(string_agg(h::text, '|' ORDER BY id)) FROM {} h"

    def start_reader(self):
        """A second session keeps a snapshot while this one goes on; what it sees must never change."""
        if self.reader or self.in_transaction:
            return
        session = Session(self.database)
        session.get("SET statement_timeout = '300s'")
        session.get("SET timezone = 'UTC'")
        session.get("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.reader = (session, session.get(self.SNAPSHOT.format("t")))

    def check_reader(self):
        if self.reader:
            session, before = self.reader
            after = session.get(self.SNAPSHOT.format("t"))
            if after != before:
                raise Difference(f"a snapshot changed\nbefore: {before}\nafter:  {after}")

    def end_reader(self):
        if self.reader:
            self.check_reader()
            self.reader[0].close()
            self.reader = None

    # ---- a round

    def step(self, choices, weights):
        self.random.choices(choices, weights)[0]()

    def play(self):
        self.create()
        menu = [(self.insert, 6), (self.copy, 5), (self.insert_select, 2), (self.update, 5), (self.delete, 4), (self.lock_rows, 1), (self.compact, 7), (self.drop_chunks, 1), (self.move_chunks, 1), (self.change_options, 0.7),
                (self.truncate, 0.3), (self.add_column, 1), (self.drop_column, 0.5), (self.rewrite, 0.5), (self.vacuum, 1), (self.change_settings, 2),
                (self.rolled_back, 2), (self.transaction, 3), (self.start_reader, 1), (self.check_reader, 1)]
        choices, weights = zip(*menu)
        self.copy()
        for i in range(self.random.randint(15, 40)):
            self.step(choices, weights)
            if i % 5 == 4:
                self.compare(f"after step {i}")
        self.compact()
        self.check_reader()
        self.compare("at the end")
        for level in self.levels:
            self.session.get(f"SET tsext.simd = '{level}'")
            found = differences(self.session, columns_of(self.session, "h"), "t", "h")
            if found:
                raise Difference(f"at tsext.simd = {level}\n{found}")
        self.end_reader()

    def told(self):
        return f"{self.statements} statements, {self.refused} refused"

    def close(self):
        if self.reader:
            self.reader[0].close()
        self.session.close()


def prepare(database):
    admin = Session("postgres")
    admin.get("SET client_min_messages = error")
    admin.get(f"DROP DATABASE IF EXISTS {database}")
    admin.get(f"CREATE DATABASE {database}")
    admin.close()
    session = Session(database)
    for statement in ["CREATE EXTENSION tsext", *values.SETUP]:
        session.get(statement)
    session.close()


def main():
    options = rounds.parser("differential").parse_args()
    prepare(options.database)
    with tempfile.TemporaryDirectory() as folder:
        _, failures = rounds.play(options, "differential", lambda seed, log: Round(seed, options.database, pathlib.Path(folder), log))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
