"""The statements Grafana's data source sends (grafana.sql): a database with heap tables and one with tsext tables answer alike.

    grafana.py

Each statement goes over the simple protocol as one string, with our nodes on and off and with parallel plans forced; tables are cold,
hot and mixed. The server is the one of PGHOST and PGPORT. Prints TAP lines; exits with 1 when answers differ.
"""
import contextlib, pathlib, re, sys

from libpq import FINE, Connection

FILE = pathlib.Path(__file__).with_name("grafana.sql")
TABLES = ["cpu", "conditions", "raw_epoch"]
DATABASES = {"heap": "grafana_heap", "tsext": "grafana_tsext"}
SESSION = "SET timezone = 'UTC'; SET client_min_messages = error"
RELATIVE = 1e-12


def parts():
    """-> (setup, [(number, statement)]); comments are not sent"""
    text = FILE.read_text(encoding="utf-8")
    setup, *rest = re.split(r"^-- @id (\d+).*$", text, flags=re.MULTILINE)
    strip = lambda part: "\n".join(line for line in part.splitlines() if line and not line.startswith("--")).strip()
    return strip(setup), [(int(number), strip(body)) for number, body in zip(rest[::2], rest[1::2])]


def statements():
    return parts()[1]


@contextlib.contextmanager
def twins():
    """Two fresh databases with the same rows. -> (session of the heap's, session of tsext's)"""
    admin = Connection("postgres")
    admin.get("SET client_min_messages = error")
    for database in DATABASES.values():
        admin.get(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        admin.get(f"CREATE DATABASE {database}")
    sessions = []
    for method, database in DATABASES.items():
        c = Connection(database)
        c.get(f"{SESSION}; CREATE EXTENSION tsext")
        c.get(parts()[0])
        if method == "tsext":
            for table in TABLES:
                c.get(f"ALTER TABLE {table} SET ACCESS METHOD tsext")
                c.get(f"SELECT tsext.compact('{table}', level => 'hot')")
        for table in TABLES:
            c.get(f"VACUUM (ANALYZE) {table}")
        sessions.append(c)
    try:
        yield sessions
    finally:
        for c in sessions:
            c.close()
        for database in DATABASES.values():
            admin.get(f"DROP DATABASE {database} WITH (FORCE)")
        admin.close()


def is_same(a, b):
    """Values of text; floats may differ in their last bits, as sums in another order do."""
    if a == b:
        return True
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return False
    return abs(x - y) <= RELATIVE * max(abs(x), abs(y))


def difference(heap, tsext, text):
    expected, answer = heap.run(text), tsext.run(text)
    if answer[0] != expected[0]:
        return f"{answer[0]} {answer[1]} instead of {expected[0]} {expected[1]}"
    if answer[0] == FINE and answer[2] != expected[2]:
        return f"types {answer[2]} instead of {expected[2]}"
    if len(answer[1]) != len(expected[1]):
        return f"{len(answer[1])} rows instead of {len(expected[1])}"
    ordered = "ORDER BY" in text
    for left, right in zip(*(rows if ordered else sorted(rows, key=str) for rows in (answer[1], expected[1]))):
        if not all(map(is_same, left, right)):
            return f"{left} instead of {right}"
    return None


def states(heap, tsext):
    """Puts the rows into different places and yields what that is called."""
    yield "cold"
    for table in TABLES:
        tsext.get(f"SELECT count(decompress_chunk(c)) FROM show_chunks('{table}') c")
        tsext.get(f"VACUUM (ANALYZE) {table}")
    yield "hot"
    for table in TABLES:
        tsext.get(f"SELECT tsext.compact('{table}', level => 'cold')")
    # A late reading of every series, and one in the past.
    for c in (heap, tsext):
        c.get("INSERT INTO cpu SELECT '2024-01-15T05:59:55Z', 'host_' || h, 'eu-west', 'dc1', h, 1, NULL, 7, true FROM generate_series(0, 9) h; "
              "INSERT INTO cpu VALUES ('2024-01-14T23:00:00Z', 'host_3', 'us-east', 'dc0', 1, 2, 3, 4, false); INSERT INTO raw_epoch VALUES (1705276803, 0, -1)")
    yield "mixed"


def settings(c):
    switches = [name for name, in c.get("SELECT name FROM pg_settings WHERE name LIKE 'tsext.enable%' AND name <> 'tsext.enable_bulk' ORDER BY 1")]
    yield "as installed", ""
    yield "nodes off", "; ".join(f"SET {name} = off" for name in switches)
    yield "parallel", "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"


def main():
    number = failures = 0
    with twins() as (heap, tsext):
        for state in states(heap, tsext):
            for name, switch in settings(tsext):
                tsext.get(f"RESET ALL; {SESSION}; {switch}")
                for id_, text in statements():
                    number += 1
                    found = difference(heap, tsext, text)
                    failures += found is not None
                    print(f"{'not ok' if found else 'ok'} {number} - statement {id_}, {state}, {name}" + (f"\n{text}\n{found}" if found else ""), flush=True)
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
