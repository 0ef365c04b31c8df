"""Random lines of line protocol into tsext tables and into heap twins made by hand: the same lines are stored, the same are
refused, rows are equal; every line is counted. Then the cases of test/data with random damage: what parse_lines() sees as
lines, write_lines() stores or refuses.

    test/differential/lines.py [--seed N] [--seconds S]       one line of TAP a round; the server is that of PGHOST and PGPORT
"""
import argparse, json, pathlib, random, sys, time

from psql import Session

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
DATABASE = "lines_differential"
TABLES = 4
BAD = ["m x=", "m,t x=1", "m x=1 1.5", "m1,time=1 x=1", "m x=99999999999999999999i", "m1 ctid=1", 'm0 f4="a" x']
USUAL = [lambda r: f"{r.randrange(50)}i", lambda r: f"{r.random() * 10:.3f}", lambda r: f"{r.randrange(9)}u", lambda r: r.choice("tf"),
         lambda r: f'"s{r.randrange(5)}"', lambda r: f"{r.randrange(50)}i"]


def line(r):
    """Times repeat, so that lines are merged; one field in ten is of any type."""
    if r.random() < 0.03:
        return r.choice(BAD)
    tags = [f"t{i}=v{r.randrange(3)}" for i in r.sample(range(4), r.randrange(4))]
    fields = [f"f{i}={(USUAL[i] if r.random() < 0.9 else r.choice(USUAL))(r)}" for i in r.sample(range(6), r.randrange(1, 5))]
    return ",".join([f"m{r.randrange(TABLES)}", *tags]) + " " + ",".join(fields) + f" {r.randrange(200)}000"


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def twins(s, r):
    """-> what differs, "" for nothing."""
    s.get("DROP SCHEMA IF EXISTS ours, twin CASCADE; CREATE SCHEMA ours; CREATE SCHEMA twin")
    first = "\n".join(f'm{i},t0=a,t1=a,t2=a,t3=a f0=1i,f1=1.5,f2=1u,f3=t,f4="x",f5=1i 0' for i in range(TABLES))
    s.get(f"SELECT points FROM tsext.write_lines({quoted(first)}, 'ns', 'ours')")
    for i in range(TABLES):
        s.get(f"CREATE TABLE twin.m{i} (LIKE ours.m{i} INCLUDING COMMENTS) USING heap; INSERT INTO twin.m{i} SELECT * FROM ours.m{i}")
        check = r.choice([None, "f0 IS NULL OR f0 <> 7", "f5 IS NULL OR f5 < 40"])
        for schema in ("ours", "twin") if check else ():
            s.get(f"ALTER TABLE {schema}.m{i} ADD CHECK ({check})")
    for _ in range(6):
        lines = [line(r) for _ in range(r.choice([1, 5, 50, 3000, 8000]))]
        text = quoted("\n".join(lines))
        ours, twin = (s.get(f"SELECT * FROM tsext.write_lines({text}, 'ns', '{schema}')") for schema in ("ours", "twin"))
        if ours != twin or sum(int(n) for n in ours.split("|")[:2]) != len(lines):
            return f"{len(lines)} lines: {ours} in tsext, {twin} in heap"
    for i in range(TABLES):
        count = s.get(f"SELECT count(*) FROM ((TABLE ours.m{i} EXCEPT ALL TABLE twin.m{i}) UNION ALL (TABLE twin.m{i} EXCEPT ALL TABLE ours.m{i})) d")
        if count != "0":
            return f"m{i}: {count} rows differ"
    return ""


def damage(r, cases):
    text = bytearray(b"\n".join(r.choice(cases) for _ in range(r.randrange(1, 12))))
    for _ in range(r.choice([0, 0, 1, 2, 5, 20])):
        at = r.randrange(len(text) + 1)
        action = r.randrange(3)
        if action == 0:
            text[at:at] = bytes([r.choice(b'm,t=x 1"\\\n\r#i.e-u\x00\xff\xc3\xa9')])
        elif at < len(text):
            text[at:at + action] = bytes([r.randrange(256)]) if action == 1 else b""
    return bytes(text)


def damaged(s, r, cases):
    s.get("DROP SCHEMA IF EXISTS damaged CASCADE; CREATE SCHEMA damaged; DROP TABLE IF EXISTS texts; CREATE TEMP TABLE texts (bytes bytea)")
    s.get("INSERT INTO texts VALUES " + ", ".join(f"('\\x{damage(r, cases).hex()}')" for _ in range(300)))
    return s.get("SELECT coalesce(string_agg(bytes::text, ' '), '') FROM texts, LATERAL (SELECT count(*) AS lines, count(error) AS bad FROM tsext.parse_lines(bytes)) p, "
                 "tsext.write_lines(bytes, 'ns', 'damaged') w WHERE w.points + w.rejected <> p.lines OR w.rejected < p.bad")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seconds", type=float, default=15)
    options = options.parse_args()
    admin = Session("postgres")
    admin.get("SET client_min_messages = error")
    admin.get(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    admin.get(f"CREATE DATABASE {DATABASE}")
    s = Session(DATABASE)
    s.get("SET client_min_messages = error")
    s.get("CREATE EXTENSION tsext")
    rows = [row.split("\t") for row in (TOP / "test/data/line_protocol_cases.tsv").read_text().splitlines()[2:]]
    inputs = [json.loads(row[2]) for row in rows]
    cases = [bytes.fromhex(i["hex"]) if isinstance(i, dict) else i.encode() for i in inputs]
    end, number, failures = time.monotonic() + options.seconds, 0, 0
    while number == 0 or time.monotonic() < end:
        number += 1
        seed = options.seed * 1000 + number
        r = random.Random(seed)
        what = twins(s, r) or damaged(s, r, cases)
        failures += what != ""
        print(f"{'not ok' if what else 'ok'} {number} - lines, seed {seed}" + (f"\n# {what}" if what else ""), flush=True)
    print(f"1..{number}")
    s.close()
    admin.get(f"DROP DATABASE {DATABASE}")
    admin.close()
    return 1 if failures else 0


sys.exit(main())
