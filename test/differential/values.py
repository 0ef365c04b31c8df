"""Random values of every built-in kind of type, as text that the type's input function takes; a third of them at its edges."""
import json, math, string, struct, uuid

WORDS = ["", " ", "a", "A", "abc", "ABC", "host_1", "host_2", "production", "staging", "é", "e\u0301", "ß", "日本語", "🙂🙃", "\u200d",
         "tab\there", "line\nbreak", "back\\slash", "'quote'", '"double"', "%", "NULL", "\\N", "x" * 127, "y" * 128, "z" * 2000]


def integer(low, high):
    def make(r):
        k = r.randrange(6)
        if k == 0:
            return str(r.choice([low, high, low + 1, high - 1, 0, -1 if low < 0 else 1, 1]))
        if k == 1:
            return str(r.randint(low, high))
        return str(max(low, min(high, r.randint(0, 100))))
    return make


def float_text(x):
    return "NaN" if math.isnan(x) else "Infinity" if x == math.inf else "-Infinity" if x == -math.inf else repr(x)


FLOATS = [0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, math.nan, math.inf, -math.inf, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
          -1.7976931348623157e308, 9007199254740993.0, 123456.789, 1e15, 1e16, 1e22, 1e23, 4.35, 0.30000000000000004]


def float8(r):
    k = r.randrange(6)
    if k == 0:
        return float_text(r.choice(FLOATS))
    if k == 1:
        return float_text(struct.unpack("<d", r.randbytes(8))[0])
    if k == 2:
        return repr(r.gauss(0, 1e3))
    return repr(round(r.gauss(50, 10), r.randrange(4)))


def float4(r):
    k = r.randrange(6)
    if k == 0:
        return r.choice(["0", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "-3.4028235e38", "16777217", "0.1"])
    if k == 1:
        return float_text(struct.unpack("<f", r.randbytes(4))[0])
    return repr(round(r.gauss(50, 10), r.randrange(3)))


def numeric(r):
    k = r.randrange(6)
    if k == 0:
        return r.choice(["0", "0.0", "0.00", "-0", "NaN", "Infinity", "-Infinity", "1", "1.0", "1.00", "1e100", "-1e-100", "9" * 60,
                         "0.000000000000000000000000001", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "99999999.9999"])
    if k == 1:
        return "".join(r.choice(string.digits) for _ in range(r.randint(1, 40))) + "." + "".join(r.choice(string.digits) for _ in range(r.randint(1, 20)))
    scale = r.randrange(5)
    return f"{r.gauss(50, 10):.{scale}f}"


def text(r):
    k = r.randrange(8)
    if k == 0:
        return r.choice(WORDS)
    if k == 1:
        return "".join(chr(r.choice([r.randrange(32, 127), r.randrange(0xa0, 0x2000), r.randrange(0x1f300, 0x1f600)])) for _ in range(r.randrange(40)))
    if k == 2 and r.random() < 0.05:
        return "".join(r.choice(string.ascii_letters) for _ in range(r.randrange(2000, 12000)))
    if k == 3:
        return f"request {r.randrange(10**6)} took {r.random():.3f} s on host_{r.randrange(20)}"
    return f"host_{r.randrange(8)}"


def varchar10(r):
    return text(r)[:10]


def json_value(r, depth=0):
    k = r.randrange(8 if depth < 3 else 6)
    if k == 0:
        return None
    if k == 1:
        return r.random() < 0.5
    if k == 2:
        return r.choice([0, -1, 1.5, 1e10, 123456789012345678901234567890, -0.0])
    if k <= 5:
        return text(r).replace("\x00", "")[:200]
    if k == 6:
        return [json_value(r, depth + 1) for _ in range(r.randrange(4))]
    return {text(r)[:20]: json_value(r, depth + 1) for _ in range(r.randrange(4))}


def jsonb(r):
    if r.random() < 0.6:
        return json.dumps({"host": f"h{r.randrange(5)}", "level": r.choice(["info", "warn"]), "ms": round(r.random() * 100, 2)})
    return json.dumps(json_value(r), ensure_ascii=r.random() < 0.5)


def timestamp(zone):
    def make(r):
        if r.randrange(6) == 0:
            return r.choice(["infinity", "-infinity", "4713-01-01 00:00:00" + zone + " BC", "294276-12-31 23:59:59.999999" + zone,
                             "1970-01-01 00:00:00" + zone, "2000-01-01 00:00:00" + zone, "1999-12-31 23:59:59.999999" + zone])
        return f"20{r.randrange(10, 30)}-{r.randrange(1, 13):02}-{r.randrange(1, 29):02} {r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}.{r.randrange(10**6):06}{zone}"
    return make


def date(r):
    if r.randrange(6) == 0:
        return r.choice(["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "1970-01-01", "2000-01-01"])
    return f"20{r.randrange(10, 30)}-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}"


def interval(r):
    if r.randrange(4) == 0:
        return r.choice(["0", "1 month", "30 days", "720 hours", "-1 day +24 hours", "178000000 years", "-178000000 years", "0.000001 s"])
    return f"{r.randrange(-20, 20)} mons {r.randrange(-40, 40)} days {r.randrange(-10**7, 10**7)} ms"


def array(element):
    def quote(v):
        return "NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def make(r):
        if r.randrange(8) == 0:
            return r.choice(["{}", "{NULL}"])
        return "{" + ",".join(quote(None if r.randrange(8) == 0 else element(r)) for _ in range(r.randrange(1, 6))) + "}"
    return make


def bits(r, n):
    return "".join(r.choice("01") for _ in range(n))


def network(r):
    if r.randrange(3) == 0:
        return r.choice(["0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1/32", "10.0.0.1/8"])
    return f"192.168.{r.randrange(4)}.{r.randrange(256)}"


def cidr(r):
    return r.choice(["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32", "0.0.0.0/0", f"10.{r.randrange(256)}.0.0/16"])


def int_range(r):
    a = r.randint(-100, 100)
    return r.choice(["empty", "(,)", f"[{a},)", f"(,{a}]", f"[{a},{a + r.randrange(1, 50)})"])


# Columns a random table may have: SQL type -> generator. The types of the second group are made by SETUP.
TYPES = {
    "bool": lambda r: r.choice("tf"), "int2": integer(-2**15, 2**15 - 1), "int4": integer(-2**31, 2**31 - 1), "int8": integer(-2**63, 2**63 - 1),
    "float4": float4, "float8": float8, "numeric": numeric, "numeric(12,3)": lambda r: f"{r.gauss(0, 1e4):.3f}", "money": lambda r: f"{r.gauss(0, 1e4):.2f}",
    "text": text, "varchar(10)": varchar10, "char(5)": lambda r: r.choice(["", "a", "abc", "abcde", "é"]), '"char"': lambda r: r.choice(["a", "b", "", "~"]),
    "name": lambda r: text(r)[:15], 'text COLLATE "C"': text, "bytea": lambda r: "\\x" + r.randbytes(r.choice([0, 1, 4, 16, 300])).hex(),
    "uuid": lambda r: r.choice(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", str(uuid.UUID(bytes=r.randbytes(16)))]),
    "json": jsonb, "jsonb": jsonb, "date": date, "timestamp": timestamp(""), "timestamptz": timestamp("+00"), "timestamptz(3)": timestamp("+00"),
    "time": lambda r: r.choice(["00:00", "24:00", f"{r.randrange(24):02}:{r.randrange(60):02}:{r.random() * 59:09.6f}"]),
    "timetz": lambda r: f"{r.randrange(24):02}:00:00{r.choice(['+00', '+05:30', '-08'])}", "interval": interval,
    "inet": network, "cidr": cidr, "macaddr": lambda r: ":".join(f"{r.randrange(256):02x}" for _ in range(6)),
    "macaddr8": lambda r: ":".join(f"{r.randrange(256):02x}" for _ in range(8)), "bit(7)": lambda r: bits(r, 7), "varbit": lambda r: bits(r, r.randrange(20)),
    "point": lambda r: f"({float8(r)},{float8(r)})", "box": lambda r: f"(({r.random()},{r.random()}),({r.random()},{r.random()}))",
    "oid": integer(0, 2**32 - 1), "xid8": integer(0, 2**63 - 1), "pg_lsn": lambda r: f"{r.randrange(2**16):X}/{r.randrange(2**32):X}", "tid": lambda r: f"({r.randrange(2**32)},{r.randrange(1, 2**16)})",
    "tsvector": lambda r: " ".join(r.choice(["cat", "dog", "fat:2", "rat:1A"]) for _ in range(r.randrange(4))), "jsonpath": lambda r: r.choice(["$", "$.a", "$.a[*] ? (@ > 1)"]),
    "int4range": int_range, "int4multirange": lambda r: "{" + int_range(r) + "}", "int4[]": array(integer(-2**31, 2**31 - 1)), "float8[]": array(float8),
    "text[]": array(lambda r: text(r)[:50]), "int2[]": array(integer(-2**15, 2**15 - 1)), "timestamptz[]": array(timestamp("+00")),
    "mood": lambda r: r.choice(["sad", "ok", "happy"]), "percent": lambda r: repr(round(r.random() * 100, 1)), "short_text": lambda r: text(r)[:20],
    "reading": lambda r: f"({r.randrange(100)},{r.choice(['', repr(r.random())])},{r.choice(['', 'abc'])})", "mood[]": array(lambda r: r.choice(["sad", "ok", "happy"])),
}

SETUP = ["CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')", "CREATE DOMAIN percent AS float8 CHECK (VALUE BETWEEN 0 AND 100)",
         "CREATE DOMAIN short_text AS varchar(20)", "CREATE TYPE reading AS (id int, value float8, note text)"]


def copy_field(value):
    """A value as a field of COPY's text format; None is NULL."""
    if value is None:
        return "\\N"
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def literal(value, sql_type):
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'::" + sql_type.split(" COLLATE")[0]
