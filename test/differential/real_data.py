"""Loads real time series into a heap and a tsext table and compares them bit by bit: hot, moved to segments by hand, rewritten
COLD, loaded by the bulk path, and mixed; written and read at every tsext.simd level.

    real_data.py [FOLDER] [--only NAME]

FOLDER: default TSEXT_DATA, else ../shared/data when it is there, else demo/data. The server is the one of PGHOST and PGPORT.
Prints a line of TAP for a file, a level and a state; exits with 1 when one differs.
"""
import argparse, os, pathlib, sys, tempfile

from psql import Session, columns_of, differences, simd_levels


class Series:
    """How a file is read: the columns it has, options of COPY, what is made of them, and the column to segment by."""

    def __init__(self, columns, copy="FORMAT csv, HEADER", select="*", segment_by=None):
        self.columns, self.copy, self.select, self.segment_by = columns, copy, select, segment_by


def floats(names):
    return ", ".join(f"{name} float8" for name in names.split())


VALUE = Series("time timestamp, value float8", select="time, value, value::float4 AS single, value::numeric AS exact, value::text AS shown")
ELF = Series("value float8, n bigint GENERATED ALWAYS AS IDENTITY", copy="FORMAT csv, FORCE_NULL (value)",
             select="n AS time, value, round(value::numeric, 3) AS exact, value IS NULL AS missing")
LINES = Series("line text", copy=r"FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02', ESCAPE E'\x02'",
               select=r"substring(line FROM '(\d+)$')::bigint AS time, split_part(line, ',', 1) AS measurement, line, to_jsonb(string_to_array(line, ',')) AS parts, convert_to(line, 'UTF8') AS bytes")

FILES = {
    "ETTh1.csv": Series("time timestamp, " + floats("hufl hull mufl mull lufl lull ot")),
    "air_quality_uci.csv": Series("time timestamptz, " + floats("co s1 nmhc c6h6 s2 nox s3 no2 s4 s5 t rh ah")),
    "appliances_energy_sample.csv": Series(
        "time timestamp, appliances int, lights int, " + floats("t1 rh1 t2 rh2 t3 rh3 t4 rh4 t5 rh5 t6 rh6 t7 rh7 t8 rh8 t9 rh9 t_out press rh_out wind visibility dew rv1 rv2")
        + ", nsm int, week_status text, day_of_week text", segment_by="week_status"),
    "beijing_pm25.csv": Series(
        "no int, year int, month int, day int, hour int, pm25 int, dewp int, temp float4, pres numeric, cbwd text, iws float8, snow int2, rain int2",
        copy="FORMAT csv, HEADER, NULL 'NA'", select="make_timestamptz(year, month, day, hour, 0, 0) AS time, pm25, dewp, temp, pres, cbwd, iws, snow, rain", segment_by="cbwd"),
    "birdstrikes.csv": Series(
        "airport text, aircraft text, effect text, flight_date text, operator text, state text, phase text, size text, species text, time_of_day text, "
        "other int8, repair int8, total int8, speed int4",
        select="flight_date::date AS time, airport, aircraft, effect, operator, state, phase, size, species::varchar(40), time_of_day::char(5), other, repair, total::numeric, speed"),
    "eurusd_ticks_20140508.csv": Series("ms int, bid float8, ask float8", copy="FORMAT csv",
                                        select="timestamptz '2014-05-08 00:00+00' + ms * interval '1 ms' AS time, bid, ask, bid::numeric AS bid_exact, (ask - bid)::float4 AS spread"),
    "spy_trades_20131008_head100k.csv": Series(
        "ms int, price int, size int, exchange text, condition text, suspicious int", copy="FORMAT csv",
        select="date '2013-10-08' + ms * interval '1 ms' AS time, price / 10000.0::float8 AS price, size, exchange, condition, suspicious = 1 AS suspicious", segment_by="exchange"),
    "influx_metrics.lp": LINES, "influx_prometheus.lp": LINES,
}


def series_of(path):
    return FILES.get(path.name) or (VALUE if path.parent.name == "nab" else ELF if path.parent.name == "elf" else None)


class Comparison:
    def __init__(self, database):
        self.session = Session(database)
        for statement in ["SET client_min_messages = error", "SET timezone = 'UTC'", "SET datestyle = 'ISO, DMY'", "SET statement_timeout = '300s'"]:
            self.session.get(statement)
        self.levels = simd_levels(self.session)
        self.number = self.failures = 0

    def report(self, name, found):
        self.number += 1
        self.failures += bool(found)
        print(f"{'not ok' if found else 'ok'} {self.number} - {name}", flush=True)
        if found:
            print(found, flush=True)

    def digest(self, table):
        """Count and a sum of 64-bit hashes of the binary form of each row: equal for equal bags of rows."""
        row = ", ".join(f"{send}({name})" for name, send in self.columns)
        return self.session.get(f"SELECT count(*), sum(hash_record_extended(ROW({row}), 0)::numeric) FROM {table}")

    def compare(self, name):
        found = "" if self.digest("t") == self.expected else differences(self.session, self.columns, "t", "h") or "the digests differ, EXCEPT ALL finds nothing"
        self.report(name, found)

    def play(self, path, series, folder):
        get = self.session.get
        name = path.name
        get("DROP TABLE IF EXISTS staging, h, t")
        get(f"CREATE TABLE staging ({series.columns}) USING heap")
        own = ", ".join(c.split()[0] for c in series.columns.split(", ") if "GENERATED" not in c)
        get(f"\\copy staging ({own}) FROM '{path}' WITH ({series.copy})")
        get(f"CREATE TABLE h USING heap AS SELECT {series.select} FROM staging")
        self.columns = columns_of(self.session, "h")
        self.expected = self.digest("h")
        half = int(self.expected.split("|")[0]) // 2
        text = folder / "h.txt"
        get(f"\\copy h TO '{text}'")
        get(f"\\copy (SELECT * FROM h LIMIT {half}) TO '{folder / 'first.txt'}'")
        get(f"\\copy (SELECT * FROM h OFFSET {half}) TO '{folder / 'second.txt'}'")
        for level in self.levels:
            def at(level_read):
                get(f"SET tsext.simd = '{level_read}'")

            def new_table():
                get("DROP TABLE IF EXISTS t")
                get("CREATE TABLE t (LIKE h) USING tsext")
                if series.segment_by:
                    get(f"SELECT tsext.set_options('t', segment_by => '{{{series.segment_by}}}')")
            at(level)
            new_table()
            get("SET tsext.enable_bulk = off")
            get(f"\\copy t FROM '{text}'")
            self.compare(f"{name}: {level}, hot")
            get("SELECT tsext.compact('t', level => 'hot')")
            for other in self.levels:
                at(other)
                self.compare(f"{name}: {level}, compacted, read at {other}")
            at(level)
            get("SELECT tsext.compact('t', level => 'cold')")
            for other in self.levels:
                at(other)
                self.compare(f"{name}: {level}, COLD, read at {other}")
            at(level)
            new_table()
            get("SET tsext.enable_bulk = on")
            get(f"\\copy t FROM '{text}'")
            self.compare(f"{name}: {level}, bulk COPY")
            new_table()
            get("INSERT INTO t SELECT * FROM h")
            self.compare(f"{name}: {level}, INSERT SELECT")
            new_table()
            get(f"\\copy t FROM '{folder / 'first.txt'}'")
            get("SELECT tsext.compact('t', level => 'cold')")
            get("SET tsext.enable_bulk = off")
            get(f"\\copy t FROM '{folder / 'second.txt'}'")
            self.compare(f"{name}: {level}, mixed")
        get("DROP TABLE staging, h, t")


def main():
    parser = argparse.ArgumentParser()
    shared = "../shared/data" if os.path.isdir("../shared/data") else "demo/data"
    parser.add_argument("folder", nargs="?", default=os.environ.get("TSEXT_DATA", shared))
    parser.add_argument("--only", help="a part of the file's name")
    parser.add_argument("--database", default="real_data")
    arguments = parser.parse_args()
    admin = Session("postgres")
    for statement in ["SET client_min_messages = error", f"DROP DATABASE IF EXISTS {arguments.database}", f"CREATE DATABASE {arguments.database}"]:
        admin.get(statement)
    admin.close()
    comparison = Comparison(arguments.database)
    comparison.session.get("CREATE EXTENSION tsext")
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(pathlib.Path(arguments.folder).resolve().rglob("*")):
            series = series_of(path)
            if not series or path.suffix not in (".csv", ".lp") or (arguments.only and arguments.only not in path.name):
                continue
            try:
                comparison.play(path, series, pathlib.Path(folder))
            except RuntimeError as problem:
                comparison.report(path.name, str(problem))
    print(f"1..{comparison.number}")
    return 1 if comparison.failures or not comparison.number else 0


if __name__ == "__main__":
    sys.exit(main())
