"""Real clients write to the listeners; what they sent is read back by real drivers, value by value.

The server is the one of PGHOST and PGPORT, the listeners are at TSEXT_HTTP_PORT and TSEXT_UDP_PORT of 127.0.0.1 and have
tsext.udp_precision = ms. Prints TAP. Needs Debian's collectd-core, python3-influxdb, influxdb-client, python3-psycopg, python3-psycopg2, and
TSEXT_NODE_MODULES with the packages of package.json.
"""
import csv, datetime, json, os, pathlib, subprocess, sys, tempfile, time

import influxdb, psycopg, psycopg2

HTTP, UDP = int(os.environ["TSEXT_HTTP_PORT"]), int(os.environ["TSEXT_UDP_PORT"])
HERE = pathlib.Path(__file__).resolve().parent
number = failures = 0


def check(name, good, details=""):
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
    if not good and details:
        print("# " + str(details).replace("\n", "\n# "), flush=True)


def same(name, got, expected):
    check(name, got == expected, f"got      {repr(got)[:1000]}\nexpected {repr(expected)[:1000]}")


def connect():
    connection = psycopg2.connect(dbname="postgres", host=os.environ["PGHOST"], port=os.environ["PGPORT"], user="postgres")
    connection.autocommit = True
    return connection


def rows(sql, *arguments):
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(sql, arguments)
        return cursor.fetchall()


def wait_until(condition):
    """Until the function returns something true; it does at last what the machine is too busy to do at once."""
    until = time.time() + 180
    while not condition() and time.time() < until:
        time.sleep(0.1)


def gives(sql, expected):
    try:
        return rows(sql) == expected
    except psycopg2.Error:
        return False                                             # the table is not there yet


def utc(seconds, microseconds=0):
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=seconds, microseconds=microseconds)


POINTS = [{"measurement": "machine", "tags": {"host": f"h {i % 3}", "path": "a,b=c"}, "time": 1700000000000000000 + i * 1000,
           "fields": {"load": i / 7, "count": i, "open": i % 2 == 0, "note": f'say "{i}" ü'}} for i in range(1000)]
EXPECTED = [(utc(1700000000, i), f"h {i % 3}", "a,b=c", i / 7, i, i % 2 == 0, f'say "{i}" ü') for i in range(1000)]


def python_client():
    client = influxdb.InfluxDBClient(host="127.0.0.1", port=HTTP, database="py")
    client.create_database("py")
    check("python: ping", client.ping().startswith("1.8"))
    check("python: databases", {"name": "py"} in client.get_list_database())
    check("python: HTTP", client.write_points(POINTS, time_precision="n"))
    read = 'SELECT "time", host, path, load, count, open, note FROM {}.machine ORDER BY "time"'
    same("python: HTTP, every value", rows(read.format("py")), EXPECTED)
    packed = influxdb.InfluxDBClient(host="127.0.0.1", port=HTTP, database="py_gzip", gzip=True)
    packed.create_database("py_gzip")
    check("python: gzip", packed.write_points(POINTS, time_precision="n", batch_size=300))
    same("python: gzip, every value", rows(read.format("py_gzip")), EXPECTED)
    datagrams = influxdb.InfluxDBClient(host="127.0.0.1", use_udp=True, udp_port=UDP)
    for first in range(0, 1000, 50):
        points = [dict(point, measurement="py_udp", time=1700000000000 + first + i) for i, point in enumerate(POINTS[first:first + 50])]
        datagrams.write_points(points, time_precision="ms")
    wait_until(lambda: gives("SELECT count(*) FROM py_udp", [(1000,)]))
    same("python: UDP, every value", rows('SELECT host, path, load, count, open, note FROM py_udp ORDER BY "time"'),
         [row[1:] for row in EXPECTED])
    found = list(client.query('SELECT "time", load FROM machine ORDER BY "time" LIMIT 2', epoch="u").get_points())
    same("python: query", found, [{"time": 1700000000000000, "load": 0}, {"time": 1700000000000001, "load": 1 / 7}])
    same("python: measurements", client.get_list_measurements(), [{"name": "machine"}])
    try:
        client.write_points([{"measurement": "machine", "fields": {"load": "text"}}])
        check("python: an error is told", False)
    except influxdb.exceptions.InfluxDBClientError as error:
        check("python: an error is told", error.code == 400 and "load" in str(error), error)


def influx_shell():
    base = ["influx", "-host", "127.0.0.1", "-port", str(HTTP)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("# DDL\nCREATE DATABASE imported\n# DML\n# CONTEXT-DATABASE: imported\n")
        file.writelines(f'treasures,captain=p{i % 4} value={i}i,weight={i}.25 {1439856000 + i}\n' for i in range(20000))
        file.flush()
        run = subprocess.run([*base, "-import", f"-path={file.name}", "-precision=s"], capture_output=True, text=True, timeout=300)
    check("influx -import", run.returncode == 0, run.stdout + run.stderr)
    same("influx -import, every point", rows("SELECT count(*), sum(value), sum(weight), min(time), max(time) FROM imported.treasures"),
         [(20000, sum(range(20000)), sum(i + 0.25 for i in range(20000)), utc(1439856000), utc(1439875999))])
    run = subprocess.run([*base, "-database", "imported", "-precision", "s", "-format", "csv", "-execute",
                          "SELECT time, captain, value FROM treasures ORDER BY time LIMIT 2"], capture_output=True, text=True, timeout=300)
    same("influx -execute", run.stdout, "name,time,captain,value\ntreasures,1439856000,p0,0\ntreasures,1439856001,p1,1\n")
    run = subprocess.run([*base, "-database", "imported", "-execute", "SHOW TAG VALUES WITH KEY = captain"], capture_output=True,
                         text=True, timeout=300)
    check("influx SHOW TAG VALUES", all(f"captain p{i}" in run.stdout for i in range(4)), run.stdout + run.stderr)


def collectd_missing(sent):
    """What collectd wrote to its files, (name, field) → [(time, value)…], and is not in the tables."""
    shown = rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1")
    missing, tables = [], {name for name, in shown}
    for (name, field), values in sorted(sent.items()):
        table, _, instance = name.partition("-")
        if table not in tables:
            missing.append((table, name, "of", sorted(tables)))
            continue
        where = "type_instance = %s" if instance else "%s = ''"
        got = rows(f"SELECT extract(epoch FROM time)::float8, \"{field}\" FROM \"{table}\" WHERE host = 'tester' AND {where} ORDER BY time",
                   instance)
        # csv has milliseconds and prints 15 digits. There are two files when midnight came in between.
        if [(round(t, 3), float(f"{v:.15g}")) for t, v in got] != [(round(t, 3), float(f"{v:.15g}")) for t, v in sorted(values)]:
            missing.append((table, instance, got[:3], values[:3], len(got), len(values)))
    return missing


def collectd():
    """collectd writes the same values to CSV files and to us, unrounded times in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        conf = pathlib.Path(directory, "collectd.conf")
        conf.write_text(f'''
Hostname "tester"
FQDNLookup false
Interval 0.5
BaseDir "{directory}"
PIDFile "{directory}/pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin csv
LoadPlugin load
LoadPlugin memory
LoadPlugin write_influxdb_udp
<Plugin csv>
  DataDir "{directory}/csv"
  StoreRates true
</Plugin>
<Plugin write_influxdb_udp>
  Server "127.0.0.1" "{UDP}"
  StoreRates true
</Plugin>
''')
        process = subprocess.Popen(["collectd", "-f", "-C", str(conf)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        def files():
            return list(pathlib.Path(directory, "csv").glob("tester/*/*"))
        wait_until(lambda: len(files()) >= 6 and all(len(file.read_text().splitlines()) > 6 for file in files()))
        process.terminate()
        output, _ = process.communicate(timeout=180)
        sent = {}
        for file in files():
            name = file.name[:-11]                               # without the date
            with open(file, newline="") as text:
                for record in csv.DictReader(text):
                    for field, value in record.items():
                        if field != "epoch":
                            sent.setdefault((name, field), []).append((float(record["epoch"]), float(value)))
        check("collectd wrote", len(sent) >= 8, output)
        lines = sum(len(values) for values in sent.values())
        wait_until(lambda: not collectd_missing(sent))           # the last batch may be on its way
        missing = collectd_missing(sent)
        check(f"collectd: all {lines} values", not missing and lines > 0, missing)


def node():
    environment = dict(os.environ, NODE_PATH=os.environ["TSEXT_NODE_MODULES"])
    run = subprocess.run(["node", str(HERE / "clients.cjs")], capture_output=True, text=True, timeout=900, env=environment)
    for line in run.stdout.splitlines():
        result = json.loads(line)
        check("node: " + result["name"], result["good"], result.get("details", ""))
    check("node ran to its end", run.returncode == 0, run.stderr)


def drivers():
    """Prepared statements and binary results: psycopg 3 says which of them it uses."""
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("PREPARE by_host (text) AS SELECT count(*), sum(count) FROM py.machine WHERE host = $1")
        cursor.execute("EXECUTE by_host (%s)", ("h 1",))
        same("psycopg2: prepared", cursor.fetchall(), [(333, sum(range(1, 1000, 3)))])
    with psycopg.connect(f"dbname=postgres user=postgres host={os.environ['PGHOST']} port={os.environ['PGPORT']}") as connection:
        connection.execute("SET timezone = 'UTC'")
        for host in ("h 0", "h 1", "h 2"):
            cursor = connection.execute('SELECT "time", host, path, load, count, open, note FROM py.machine WHERE host = %s ORDER BY "time"',
                                        (host,), prepare=True, binary=True)
            same(f"psycopg: prepared, binary, {host}", cursor.fetchall(), [row for row in EXPECTED if row[1] == host])
        check("psycopg: binary", cursor.pgresult.fformat(3) == 1)


def listens():
    try:
        influxdb.InfluxDBClient(host="127.0.0.1", port=HTTP, timeout=30).ping()
    except OSError:
        return False
    return gives("SELECT count(*) FROM tsext.listener_stats WHERE address IS NOT NULL", [(2,)])


wait_until(listens)                                              # the launcher looks for its role every five seconds
python_client()
influx_shell()
collectd()
node()
drivers()
same("lines = stored + rejected", rows("SELECT bool_and(lines = stored + rejected), sum(rejected) FROM tsext.listener_stats"), [(True, 1)])
print(f"1..{number}")
sys.exit(1 if failures else 0)
