"""Speed of writing: COPY, INSERTs, INSERT … SELECT, compaction; tsext beside heap and DuckDB in one run, medians of repeats."""
import os, subprocess, sys, time

from common import (DuckDB, ROWS_100_HOSTS, TAGS, WORK, cpu_columns, cpu_csv, cpu_seconds, fresh_database, median, private_peak_mb, require_equal, segment_bytes, session,
                    show)

REPEATS = int(os.environ.get("TSEXT_BENCH_REPEATS", "3"))
SECONDS = os.environ.get("TSEXT_BENCH_SECONDS", "8")
CHECK = "SELECT count(*), sum(round(usage_user * 1000)::bigint), min(usage_guest_nice), max(time) FROM {}"


def wal(s):
    return int(s.get("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"))


def copy_once(method, csv):
    """One COPY from a new session. -> rows/s, WAL bytes, CPU seconds, MB of private memory, bytes of segments, check"""
    s = session()
    s.get("DROP TABLE IF EXISTS load")
    s.get(f"CREATE TABLE load ({cpu_columns('timestamptz')}) USING {method}")
    s.get("CHECKPOINT")
    pid = int(s.get("SELECT pg_backend_pid()"))
    before, cpu, start = wal(s), cpu_seconds(pid), time.monotonic()
    s.get(f"COPY load FROM '{csv}' WITH (FORMAT csv)")
    elapsed = time.monotonic() - start
    result = [ROWS_100_HOSTS / elapsed, wal(s) - before, cpu_seconds(pid) - cpu, private_peak_mb(pid), segment_bytes(s, "load") if method == "tsext" else 0]
    check = s.get(CHECK.format("load"))
    s.close()
    return result, check


def copy_duckdb(csv):
    duck = DuckDB("load.duckdb")
    duck.get(f"CREATE TABLE load ({cpu_columns('timestamp')})")
    ms, _ = duck.get(f"COPY load FROM '{csv}' (FORMAT csv, HEADER false)")
    more, _ = duck.get("CHECKPOINT")
    duck.close()
    return ROWS_100_HOSTS / (ms + more) * 1000


def measure_copy(csv):
    runs = {"heap": [], "tsext": []}
    ducks, checks = [], set()
    for _ in range(REPEATS):
        for method, kept in runs.items():
            result, check = copy_once(method, csv)
            kept.append(result)
            checks.add(check)
        ducks.append(copy_duckdb(csv))
    require_equal("COPY", len(checks), 1)
    heap, tsext = ([median(column) for column in zip(*runs[m])] for m in ("heap", "tsext"))
    show("COPY of the TSBS CSV, one client", ["", "rows/s", "× heap", "WAL bytes/row", "WAL / compressed bytes", "CPU s", "private memory MB"], [
        ["heap, no index", round(heap[0]), 1.0, heap[1] / ROWS_100_HOSTS, "", heap[2], heap[3]],
        ["tsext", round(tsext[0]), tsext[0] / heap[0], tsext[1] / ROWS_100_HOSTS, tsext[1] / max(1, tsext[4]), tsext[2], tsext[3]],
        ["DuckDB, all cores", round(median(ducks)), median(ducks) / heap[0], "", "", "", ""]])
    print("\ntsext.bulk_memory:", session().get("SELECT coalesce(nullif(current_setting('tsext.bulk_memory'), '-1'), current_setting('maintenance_work_mem') || ' (maintenance_work_mem)')"))


def values_row(i):
    tags = ", ".join(f"'{t}_{i % 100}'" for t in TAGS)
    return f"(timestamptz '2024-01-01 00:00+00' + {i} * interval '100 ms', {tags}, " + ", ".join(str((i * (m + 3)) % 101) for m in range(10)) + ")"


def measure_inserts(s):
    single = WORK / "single.sql"
    single.write_text("\\set n random(1, 100)\nINSERT INTO {t} VALUES (clock_timestamp(), " + ", ".join(["'host_' || :n"] * 10) + ", " + ", ".join([":n"] * 10) + ");\n")
    thousand = WORK / "thousand.sql"
    thousand.write_text("INSERT INTO {t} VALUES\n" + ",\n".join(values_row(i) for i in range(1000)) + ";\n")
    found = []
    for name, script, rows in (("one row a statement, autocommit", single, 1), ("1,000 rows a statement", thousand, 1000)):
        rates = {"heap": [], "tsext": []}
        for repeat in range(REPEATS):
            for method in sorted(rates, reverse=repeat % 2 == 1):          # take turns in going first
                s.get("DROP TABLE IF EXISTS trickle")
                s.get(f"CREATE TABLE trickle ({cpu_columns('timestamptz')}) USING {method}")
                s.get("CHECKPOINT")
                own = WORK / f"run-{method}.sql"
                own.write_text(script.read_text().replace("{t}", "trickle"))
                out = subprocess.run(["pgbench", "-n", "-c", "1", "-T", SECONDS, "-f", own, "bench"], capture_output=True, text=True, check=True).stdout
                rates[method].append(float(next(x for x in out.splitlines() if x.startswith("tps")).split()[2]) * rows)
        heap, tsext = median(rates["heap"]), median(rates["tsext"])
        found.append([name, round(heap), round(tsext), tsext / heap])
    show("INSERT … VALUES, one client, rows/s", ["", "heap", "tsext", "× heap"], found)


def measure_insert_select(s, csv):
    s.get("DROP TABLE IF EXISTS source")
    s.get(f"CREATE TABLE source ({cpu_columns('timestamptz')}) USING heap")
    s.get(f"COPY source FROM '{csv}' WITH (FORMAT csv)")
    rates = {"heap": [], "tsext": []}
    for _ in range(REPEATS):
        for method, kept in rates.items():
            s.get("DROP TABLE IF EXISTS target")
            s.get(f"CREATE TABLE target ({cpu_columns('timestamptz')}) USING {method}")
            s.get("CHECKPOINT")
            start = time.monotonic()
            s.get("INSERT INTO target SELECT * FROM source")
            kept.append(ROWS_100_HOSTS / (time.monotonic() - start))
            require_equal("INSERT SELECT", s.get(CHECK.format("target")), s.get(CHECK.format("source")))
    heap, tsext = median(rates["heap"]), median(rates["tsext"])
    show("INSERT … SELECT of the same rows, rows/s", ["heap", "tsext", "× heap"], [[round(heap), round(tsext), tsext / heap]])


def measure_compaction(csv):
    found = []
    for level, call in (("hot rows to HOT", "level => 'hot'"), ("HOT to COLD", "level => 'cold'")):
        rates, cpus = [], []
        for _ in range(REPEATS):
            s = session()
            s.get("DROP TABLE IF EXISTS compacted")
            s.get(f"CREATE TABLE compacted ({cpu_columns('timestamptz')}) USING tsext")
            if "HOT to" not in level:
                s.get("SET tsext.enable_bulk = off")
            s.get(f"COPY compacted FROM '{csv}' WITH (FORMAT csv)")
            if "HOT to" in level:
                s.get("SELECT tsext.compact('compacted', level => 'hot')")
            s.get("CHECKPOINT")
            expected = s.get(CHECK.format("compacted"))
            pid = int(s.get("SELECT pg_backend_pid()"))
            cpu, start = cpu_seconds(pid), time.monotonic()
            s.get(f"SELECT tsext.compact('compacted', {call})")
            rates.append(ROWS_100_HOSTS / (time.monotonic() - start))
            cpus.append(cpu_seconds(pid) - cpu)
            require_equal(level, s.get(CHECK.format("compacted")), expected)
            left = ROWS_100_HOSTS - int(s.get("SELECT cold_rows FROM tsext.tables WHERE table_name = 'compacted'"))
            s.close()
        found.append([level, round(median(rates)), median(cpus), left])
    show("tsext.compact() of the same rows, one backend", ["", "rows/s", "CPU s", "rows left hot"], found)


def main():
    parts = sys.argv[1:] or ["copy", "insert", "select", "compact"]
    csv = cpu_csv()
    s = fresh_database()
    if "copy" in parts:
        measure_copy(csv)
    if "insert" in parts:
        measure_inserts(s)
    if "select" in parts:
        measure_insert_select(s, csv)
    if "compact" in parts:
        measure_compaction(csv)
    s.close()


main()
