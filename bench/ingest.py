"""Line protocol: the reader alone, and lines committed into tsext tables.

Parts: parser (core_bench), sql (tsext.write_lines). What is stored is counted and summed before a time is believed.
"""
import json, os, statistics, subprocess, sys

from common import TOP, fresh_database, require_equal, seconds, show

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


PARTS = {"parser": parser, "sql": sql}


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
