"""Line protocol: the reader alone, and lines committed into tsext tables.

Parts: parser (core_bench), sql (tsext.write_lines), http and udp (the listeners, and InfluxDB 1.6 from the same sender where
influxd is installed). What is stored is counted and summed before a time is believed.
"""
import json, os, shutil, socket, statistics, subprocess, sys, time, urllib.parse, urllib.request

from common import DATABASE, TOP, WORK, fresh_database, require_equal, seconds, show

REPEATS = int(os.environ.get("TSEXT_BENCH_REPEATS", 3))
START_S = 1_700_000_000
BODY = 5_000                     # lines of a request
# Lines that the server generates, in bodies of BODY, and what their values sum up to.
SMALL = {"name": "small lines", "table": "temperature", "lines": 1_000_000, "values": 1, "bytes": 52,
         "line": "format('temperature,room=r%s value=%s.5 %s', i % 100, i % 40, {start}000000000 + i * 1000000)",
         "sum": "sum(value)", "expected": "sum(i % 40 + 0.5)"}
FIELDS = ["user", "system", "idle", "nice", "iowait", "softirq", "steal", "guest", "guest_nice", "irq"]
CPU = {"name": "10 tags + 10 fields", "table": "cpu", "lines": 200_000, "values": 10, "bytes": 342,
       "line": "format('cpu,hostname=host_%s,region=eu-central-1,datacenter=eu-central-1a,rack=6,os=Ubuntu15.10,arch=x86,team=SF,service=19,"
               "service_version=1,service_environment=test "
               + ",".join(f"usage_{f}=%si" for f in FIELDS) + " %s', i % 100, "
               + ", ".join(f"(i * {7 * k + 3}) % 101" for k in range(len(FIELDS))) + ", {start}000000000 + i / 100 * 10000000000)",
       "sum": " + ".join(f"sum(usage_{f})" for f in FIELDS), "expected": " + ".join(f"sum((i * {7 * k + 3}) % 101)" for k in range(len(FIELDS)))}


def parser(_):
    program = TOP / "build" / "cmake" / "release" / "core_bench"
    out = subprocess.run([program, "--benchmark_filter=LineProtocol", "--benchmark_format=json", "--benchmark_repetitions=5", "--benchmark_min_time=0.2",
                          "--benchmark_enable_random_interleaving=true"], capture_output=True, text=True, check=True).stdout
    runs = {}
    for b in json.loads(out)["benchmarks"]:
        if b.get("run_type") == "iteration":
            runs.setdefault(b["run_name"], []).append((b["bytes_per_second"] / 1e9, b["items_per_second"] / 1e6))
    rows = [[name] + [statistics.median(v[i] for v in values) for i in (0, 1)] for name, values in runs.items()]
    show("Reader, one core, median of 5 (goal 1.2 GB/s)", ["benchmark", "GB/s", "M lines/s"], rows)


def make_lines(s, kind):
    s.get(f"CREATE UNLOGGED TABLE lines_{kind['table']} (body int, lines text) USING heap")
    s.get(f"ALTER TABLE lines_{kind['table']} ALTER COLUMN lines SET STORAGE EXTERNAL")
    s.get(f"INSERT INTO lines_{kind['table']} SELECT i / {BODY}, string_agg({kind['line'].format(start=START_S)}, E'\\n' ORDER BY i) || E'\\n' "
          f"FROM generate_series(0::bigint, {kind['lines'] - 1}) i GROUP BY 1 ORDER BY 1")


def check(s, kind):
    got = s.get(f"SELECT count(*), {kind['sum']} FROM {kind['table']}")
    wanted = s.get(f"SELECT count(*), {kind['expected']} FROM generate_series(0::bigint, {kind['lines'] - 1}) i")
    require_equal(kind["name"], [float(x) for x in got.split("|")], [float(x) for x in wanted.split("|")])


def sql(s):
    """All lines in one call, and a commit after each body."""
    rows = []
    s.get("CREATE PROCEDURE write_bodies(source regclass) LANGUAGE plpgsql AS $$ DECLARE n int; r record; w record; BEGIN "
          "EXECUTE format('SELECT max(body) FROM %s', source) INTO n; FOR i IN 0 .. n LOOP "
          "EXECUTE format('SELECT w.* FROM %s, tsext.write_lines(lines) w WHERE body = $1', source) INTO w USING i; "
          "IF w.rejected <> 0 THEN RAISE EXCEPTION '%', w.first_error; END IF; COMMIT; END LOOP; END $$")
    for kind in (SMALL, CPU):
        make_lines(s, kind)
        s.get(f"CREATE INDEX ON lines_{kind['table']} (body)")
        s.get(f"VACUUM ANALYZE lines_{kind['table']}")
        s.get(f"CREATE UNLOGGED TABLE whole_{kind['table']} (lines text) USING heap")
        s.get(f"ALTER TABLE whole_{kind['table']} ALTER COLUMN lines SET STORAGE EXTERNAL")
        s.get(f"INSERT INTO whole_{kind['table']} SELECT string_agg(lines, '' ORDER BY body) FROM lines_{kind['table']}")
        for name, statement in (("one call", f"SELECT w.points FROM whole_{kind['table']}, tsext.write_lines(lines) w"),
                                (f"a commit every {BODY:,} lines", f"CALL write_bodies('lines_{kind['table']}')")):
            times = []
            for _ in range(REPEATS):
                s.get(f"DROP TABLE IF EXISTS {kind['table']}")
                s.get("CHECKPOINT")
                times.append(seconds(s, statement))
                check(s, kind)
            best = statistics.median(times)
            rows.append([kind["name"], name, kind["lines"] / best / 1e6, kind["lines"] * kind["values"] / best / 1e6,
                         kind["lines"] * kind["bytes"] / best / 1e6])
    show(f"tsext.write_lines(), one session, median of {REPEATS}", ["", "", "M lines/s", "M values/s", "MB/s"], rows)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def send(*arguments):
    """Lines and seconds of a run of bench/line_sender.cpp."""
    program = WORK / "line_sender"
    if not program.exists() or program.stat().st_mtime < (TOP / "bench/line_sender.cpp").stat().st_mtime:
        subprocess.run(["g++", "-O2", "-std=c++20", "-pthread", "-o", program, TOP / "bench/line_sender.cpp"], check=True)
    out = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    lines, took = out.stdout.split()
    return int(lines), float(took)


def wait_until(what, ready, limit=30):
    until = time.monotonic() + limit
    while not ready():
        if time.monotonic() > until:
            sys.exit(f"{what} is not ready after {limit} s")
        time.sleep(0.2)


def start_listeners(s):
    """(HTTP port, UDP port)"""
    ports = free_port(), free_port(socket.SOCK_DGRAM)
    s.get("DO $$BEGIN CREATE ROLE bench_lines LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    s.get("GRANT CREATE ON SCHEMA public TO bench_lines")
    for setting in (f"listen_database = '{DATABASE}'", "listen_role = 'bench_lines'", f"http_listen = '127.0.0.1:{ports[0]}'", f"udp_listen = '127.0.0.1:{ports[1]}'"):
        s.get(f"ALTER SYSTEM SET tsext.{setting}")
    s.get("SELECT pg_reload_conf()")
    wait_until("the listener", lambda: s.get("SELECT count(address) FROM tsext.listener_stats") == "2")
    return ports


def stop_listeners(s):
    for setting in ("http_listen", "udp_listen"):
        s.get(f"ALTER SYSTEM RESET tsext.{setting}")
    s.get("SELECT pg_reload_conf()")
    wait_until("the end of the listeners", lambda: s.get("SELECT count(address) FROM tsext.listener_stats") == "0")


class Influx:
    """A private influxd, or nothing where there is none."""

    def __init__(self):
        self.process = None
        if not shutil.which("influxd"):
            print("influxd is not installed: no peer")
            return
        self.http, self.udp, rpc = free_port(), free_port(socket.SOCK_DGRAM), free_port()
        home = WORK / "influxdb"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "influxdb.conf").write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{home}/meta"
[data]
dir = "{home}/data"
wal-dir = "{home}/wal"
[http]
bind-address = "127.0.0.1:{self.http}"
log-enabled = false
[[udp]]
enabled = true
bind-address = "127.0.0.1:{self.udp}"
database = "bench"
batch-size = 5000
batch-pending = 100
batch-timeout = "1s"
read-buffer = 4194304
""")
        self.home = home
        self.process = subprocess.Popen(["influxd", "-config", home / "influxdb.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until("influxd", self.is_up)

    def is_up(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/ping", timeout=2).status == 204
        except OSError:
            return False

    def query(self, text):
        data = urllib.parse.urlencode({"q": text, "db": "bench"}).encode()
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.http}/query", data, timeout=120))

    def fresh(self):
        self.query("DROP DATABASE bench")
        self.query("CREATE DATABASE bench")

    def count(self, kind):
        series = self.query(f"SELECT count(*) FROM {kind['table']}")["results"][0].get("series")
        return max(series[0]["values"][0][1:]) if series else 0

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            shutil.rmtree(self.home, ignore_errors=True)


def http(s):
    """Requests one after the other on each connection; the clock stops with the last answer, which comes after the commit."""
    ports, influx, rows = start_listeners(s), Influx(), []
    for kind in (SMALL, CPU):
        for connections in (1, 4):
            ours, theirs = [], []
            arguments = ("small" if kind is SMALL else "cpu", kind["lines"], BODY, connections)
            for _ in range(REPEATS):
                s.get(f"DROP TABLE IF EXISTS {kind['table']}")
                s.get("CHECKPOINT")
                ours.append(send("http", ports[0], "/write", *arguments)[1])
                check(s, kind)
                if influx.process:
                    influx.fresh()
                    theirs.append(send("http", influx.http, "/write?db=bench", *arguments)[1])
                    require_equal("InfluxDB's points", influx.count(kind), kind["lines"])
            rows.append([kind["name"], connections] + [kind["lines"] * n / statistics.median(times) / 1e6 if times else None
                                                       for times in (ours, theirs) for n in (1, kind["values"])])
    stop_listeners(s)
    influx.stop()
    show(f"HTTP, {BODY:,} lines a body, committed, median of {REPEATS} (goals, 1 connection: 1.0 M lines/s, 2 M values/s)",
         ["", "connections", "M lines/s", "M values/s", "InfluxDB M lines/s", "InfluxDB M values/s"], rows)


def udp(s):
    """Datagrams at a rate; what is stored in the end is what was not lost."""
    length = int(os.environ.get("TSEXT_BENCH_SECONDS", 8))
    buffer = open("/proc/sys/net/core/rmem_max").read().strip()
    ports, influx, rows = start_listeners(s), Influx(), []
    s.get("DROP TABLE IF EXISTS temperature")
    first = int(s.get("SELECT stored FROM tsext.listener_stats WHERE listener = 'udp'"))
    figure = lambda name: int(s.get(f"SELECT {name} FROM tsext.listener_stats WHERE listener = 'udp'"))
    for rate in (100_000, 500_000, 1_000_000):
        before = figure("stored")
        sent, took = send("udp", ports[1], "small", SMALL["lines"], rate, length, 1400)
        last = -1
        while last != (last := figure("stored")):
            time.sleep(2)
        rows.append(["tsext", sent / took, 100 * (1 - (last - before) / sent), figure("datagrams_dropped")])
    require_equal("rows", int(s.get("SELECT count(*) FROM temperature")), last - first)
    stop_listeners(s)
    for rate in (25_000, 50_000, 100_000, 500_000) if influx.process else ():
        influx.fresh()
        sent, took = send("udp", influx.udp, "small", rate * length * 2, rate, length, 1400)
        last = -1
        while last != (last := influx.count(SMALL)):
            time.sleep(3)
        rows.append(["InfluxDB", sent / took, 100 * (1 - last / sent), None])
    influx.stop()
    show(f"UDP, datagrams of 1,400 bytes, {length} s each, net.core.rmem_max {buffer} (goal: 500,000 lines/s without loss)",
         ["", "lines/s sent", "lost %", "datagrams dropped so far"], rows)


PARTS = {"parser": parser, "sql": sql, "http": http, "udp": udp}


def main():
    wanted = sys.argv[1:] or list(PARTS)
    for part in wanted:
        if part not in PARTS:
            sys.exit(f"unknown part {part}; parts: {' '.join(PARTS)}")
    s = fresh_database()
    for part in wanted:
        PARTS[part](s)
    s.close()


main()
