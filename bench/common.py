"""What the benchmarks share: sessions of the server and of DuckDB, generated data, medians, tables of results."""
import json, os, pathlib, statistics, subprocess, sys, time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "test" / "differential"))
from psql import Session  # noqa: E402

WORK = pathlib.Path(os.environ.get("TSEXT_BENCH_DIR", TOP / "build" / "bench"))       # readable by the server's account
DATABASE = "bench"

TAGS = ["hostname", "region", "datacenter", "rack", "os", "arch", "team", "service", "service_version", "service_environment"]
METRICS = ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal",
           "usage_guest", "usage_guest_nice"]
ROWS_100_HOSTS = 2_592_000


def cpu_columns(time_type):
    return ", ".join([f"time {time_type} NOT NULL"] + [f"{t} text" for t in TAGS] + [f"{m} double precision" for m in METRICS])


def cpu_csv(values="int", hosts=100, seconds=259200):
    """The TSBS-shaped file; made once."""
    path = WORK / f"cpu-{hosts}-{seconds}-{values}.csv"
    if not path.exists():
        part = path.with_suffix(".part")
        subprocess.run([WORK / "tsgen", "--hosts", str(hosts), "--seconds", str(seconds), "--values", values, "--csv", part], check=True)
        part.rename(path)
    return path


def session(database=DATABASE):
    s = Session(database)
    s.get("SET client_min_messages = error")
    s.get("SET timezone = 'UTC'")
    return s


def fresh_database():
    admin = Session("postgres")
    admin.get("SET client_min_messages = error")
    admin.get(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    admin.get(f"CREATE DATABASE {DATABASE}")
    admin.close()
    s = session()
    s.get("CREATE EXTENSION tsext")
    return s


def seconds(s, statement):
    """Wall-clock seconds of a statement."""
    start = time.monotonic()
    s.get(statement)
    return time.monotonic() - start


def directory_bytes(s):
    """The catalogs of tsext, indexes and TOAST counted."""
    return int(s.get("SELECT sum(pg_total_relation_size(c)) FROM unnest(ARRAY['tsext.segment', 'tsext.tombstone', 'tsext.store_total']::regclass[]) c"))


def table_bytes(s, table):
    return int(s.get(f"SELECT pg_total_relation_size('{table}')"))


def segment_bytes(s, table):
    """Bytes of a table's segments as the directory tells them: what compression left, without pages and free space."""
    return int(s.get(f"SELECT coalesce(sum(nbytes), 0) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = '{table}'::regclass)"))


def segment_count(s, table):
    return int(s.get(f"SELECT count(*) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = '{table}'::regclass)"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def private_peak_mb(pid):
    """VmHWM less RssShmem of a process: its own memory at its highest, shared buffers left out."""
    lines = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return (int(lines["VmHWM"].split()[0]) - int(lines["RssShmem"].split()[0])) / 1024


class DuckDB:
    """A session of DuckDB in a process of its own. The file is made anew unless `keep`."""

    def __init__(self, name, threads=None, keep=False):
        self.file = WORK / name
        for old in () if keep else (self.file, self.file.with_name(name + ".wal")):
            old.unlink(missing_ok=True)
        self.node = subprocess.Popen(["node", TOP / "bench" / "duckdb.mjs", self.file, *([str(threads)] if threads else [])], text=True, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE)

    def get(self, statement):
        """-> (milliseconds, rows)"""
        self.node.stdin.write(statement.replace("\n", " ") + "\n")
        self.node.stdin.flush()
        answer = json.loads(self.node.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{statement}\n{answer['error']}")
        return answer["ms"], answer["rows"]

    def milliseconds(self, statement):
        """Wall-clock time until the whole answer is in node's memory; the rows do not come here."""
        return self.get("\\time " + statement)[0]

    def close(self):
        self.node.stdin.close()
        self.node.wait(timeout=120)


def median(numbers):
    return statistics.median(numbers)


def show(title, header, rows):
    """Prints a table in Markdown."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{c:,.2f}" if isinstance(c, float) else f"{c:,}" if isinstance(c, int) else str(c) for c in row) + " |")
    sys.stdout.flush()


def require_equal(what, a, b):
    """A benchmark checks the answer before it takes the time."""
    if a != b:
        sys.exit(f"{what}: the answers differ:\n{a}\n{b}")
