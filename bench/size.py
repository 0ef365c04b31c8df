"""Bytes on disk: the TSBS-shaped table, its decimal variant, ten years of minutes; planning time by number of chunks."""
import os, subprocess, sys

from common import (DuckDB, METRICS, ROWS_100_HOSTS, TOP, WORK, cpu_columns, cpu_csv, directory_bytes, fresh_database, median, require_equal, segment_bytes,
                    segment_count, show, table_bytes)

CHECK = "SELECT count(*), sum(round(usage_user * 1000)::bigint), min(usage_guest_nice), max(time) FROM {}"


def on_disk(s, table, before):
    """All relations: the table with TOAST and indexes, and what the directory grew by."""
    return table_bytes(s, table) + directory_bytes(s) - before


def stage(s, table, name, before, rows):
    total = on_disk(s, table, before)
    return [name, total / rows, segment_bytes(s, table) / rows, segment_count(s, table), total]


def cpu_table(s, values, rows):
    csv = cpu_csv(values)
    s.get("DROP TABLE IF EXISTS cpu, cpu_heap")
    s.get(f"CREATE TABLE cpu_heap ({cpu_columns('timestamptz')}) USING heap")
    s.get(f"COPY cpu_heap FROM '{csv}' WITH (FORMAT csv)")
    expected = s.get(CHECK.format("cpu_heap"))
    found = []
    before = directory_bytes(s)
    s.get(f"CREATE TABLE cpu ({cpu_columns('timestamptz')}) USING tsext")
    s.get(f"COPY cpu FROM '{csv}' WITH (FORMAT csv)")
    found.append(stage(s, "cpu", "tsext after COPY", before, rows))
    for name, call in (("HOT", "SELECT tsext.compact('cpu', level => 'hot')"), ("COLD", "SELECT tsext.compact('cpu', level => 'cold')")):
        s.get(call)
        require_equal(name, s.get(CHECK.format("cpu")), expected)
        found.append(stage(s, "cpu", f"tsext compacted to {name}", before, rows))
        if values == "dec":
            show_metrics(s, name, rows)
        s.get("VACUUM FULL cpu")
        s.get("VACUUM tsext.segment")
        require_equal(name, s.get(CHECK.format("cpu")), expected)
        found.append(stage(s, "cpu", f"… {name}, files rewritten (VACUUM FULL)", before, rows))
    found.append(["heap, no index", table_bytes(s, "cpu_heap") / rows, "", "", table_bytes(s, "cpu_heap")])
    duck = DuckDB("size.duckdb")
    duck.get(f"CREATE TABLE cpu ({cpu_columns('timestamp')})")
    duck.get(f"COPY cpu FROM '{csv}' (FORMAT csv, HEADER false)")
    duck.get("CHECKPOINT")
    duck.close()
    size = duck.file.stat().st_size
    found.append(["DuckDB", size / rows, "", "", size])
    show(f"TSBS cpu-only, 100 hosts, 3 days, {rows:,} rows, 21 columns, values {values}", ["", "bytes/row on disk", "segments' bytes/row", "segments", "bytes on disk"], found)


def show_metrics(s, name, rows):
    metrics = ", ".join(f"'{m}'" for m in METRICS)
    lines = s.get(f"SELECT column_name, codecs, bytes::float8 / {rows} FROM tsext.columns WHERE table_name = 'cpu' AND column_name IN ({metrics}) ORDER BY 3")
    found = [line.split("|") for line in lines.splitlines()]
    show(f"Decimals, {name}: bytes a value", ["column", "codecs", "bytes a value"],
         [[column, codecs, f"{float(size):.3f}"] for column, codecs, size in found] + [["mean", "", f"{sum(float(f[2]) for f in found) / len(METRICS):.3f}"]])


def ten_years(s):
    rows = 10 * 365 * 1440
    s.get("DROP TABLE IF EXISTS minutes, minutes_heap")
    s.get("CREATE TABLE minutes_heap (time timestamptz NOT NULL, value float8) USING heap")
    s.get("SELECT setseed(0.5)")
    s.get(f"""INSERT INTO minutes_heap SELECT timestamptz '2014-01-01 00:00+00' + g * interval '1 min',
      round((100 + sum(random() - 0.5) OVER (ORDER BY g))::numeric, 1)::float8 FROM generate_series(0, {rows - 1}) g""")
    copy = WORK / "minutes.csv"
    s.get(f"\\copy minutes_heap TO '{copy}' WITH (FORMAT csv)")
    before = directory_bytes(s)
    s.get("CREATE TABLE minutes (time timestamptz NOT NULL, value float8) USING tsext")
    s.get(f"COPY minutes FROM '{copy}' WITH (FORMAT csv)")
    found = [stage(s, "minutes", "after COPY", before, rows)]
    for name in ("hot", "cold"):
        s.get(f"SELECT tsext.compact('minutes', level => '{name}')")
        require_equal(name, s.get("SELECT count(*), max(time) FROM minutes"), s.get("SELECT count(*), max(time) FROM minutes_heap"))
        found.append(stage(s, "minutes", f"compacted to {name.upper()}", before, rows))
        s.get("VACUUM FULL minutes")
        found.append(stage(s, "minutes", "… files rewritten (VACUUM FULL)", before, rows))
    found.append(["heap", table_bytes(s, "minutes_heap") / rows, "", "", table_bytes(s, "minutes_heap")])
    show(f"One row a minute for ten years, {rows:,} rows, one float8 with one decimal", ["", "bytes/row on disk", "segments' bytes/row", "segments", "bytes on disk"], found)


def planning(s):
    found = []
    day = 86400
    for chunks in (10, 10_000):
        s.get("DROP TABLE IF EXISTS days")
        s.get("CREATE TABLE days (time bigint NOT NULL, value float8) USING tsext")
        s.get(f"SELECT tsext.set_options('days', time_column => 'time', chunk_interval => {day}::bigint)")
        s.get(f"INSERT INTO days SELECT g * 3600::bigint, g % 100 FROM generate_series(0, {chunks} * 24 - 1) g")
        s.get("SELECT tsext.compact('days')")
        s.get("ANALYZE days")
        query = f"EXPLAIN (SUMMARY, COSTS off) SELECT avg(value) FROM days WHERE time >= {5 * day} AND time < {6 * day}"
        times = []
        for _ in range(201):
            line = [x for x in s.get(query).splitlines() if "Planning Time" in x][0]
            times.append(float(line.split()[2]))
        count = int(s.get("SELECT count(DISTINCT chunk_start) FROM tsext.segment WHERE store = (SELECT reltoastrelid FROM pg_class WHERE oid = 'days'::regclass)"))
        found.append([count, median(times)])
    show("Planning time of a one-day query, median of 201", ["chunks", "ms"], found)


def main():
    parts = sys.argv[1:] or ["codecs", "int", "dec", "minutes", "planning"]
    if "codecs" in parts:
        codec_sizes()
    if parts == ["codecs"]:
        return
    s = fresh_database()
    for part in parts:
        if part in ("int", "dec", "raw"):
            cpu_table(s, part, ROWS_100_HOSTS)
        elif part == "minutes":
            ten_years(s)
        elif part == "planning":
            planning(s)
    s.close()


def codec_sizes():
    """Bits a value of the developers' real series beside the size model (bench/codec_sizes.tsv)."""
    folder = next((f for f in (os.environ.get("TSEXT_DATA"), TOP.parent / "shared" / "data") if f and os.path.isdir(f)), None)
    if folder is None:
        print("\nThe real series of the size model are not part of the project: name their folder by TSEXT_DATA.")
        return
    day = cpu_csv(seconds=86400)
    print("\n### Bits a value, by column\n", flush=True)
    tool = TOP / "build" / "cmake" / "release" / "codec_size_tool"
    subprocess.run([tool, folder, TOP / "bench" / "codec_sizes.tsv", day], check=False)


main()
