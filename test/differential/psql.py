"""A session of psql that runs one statement at a time and tells its rows and SQLSTATE. Standard library only."""
import os, subprocess

MARK = "@@done@@"


class ServerGone(Exception):
    """The session ended by itself: a crash of the server, or of psql."""


class Session:
    """Talks to the server of PGHOST and PGPORT. log: a file that gets every statement, so that a failure can be replayed."""

    def __init__(self, database, log=None):
        self.log = log
        self.psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-d", database, "-v", "VERBOSITY=verbose"], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     env={**os.environ, "PGCLIENTENCODING": "UTF8"}, encoding="utf-8")

    def run(self, statement):
        """-> (SQLSTATE, output): "00000" and the rows, or an error's code and its message."""
        if self.log:
            self.log.write(statement + ("\n" if statement.startswith("\\") else ";\n"))
            self.log.flush()
        end = "\n" if statement.startswith("\\") else "\n;\n"
        try:
            self.psql.stdin.write(f"{statement}{end}\\echo {MARK} :SQLSTATE\n")
            self.psql.stdin.flush()
        except BrokenPipeError:
            raise ServerGone("psql has ended") from None
        lines = []
        for line in self.psql.stdout:
            if line.startswith(MARK):
                text = "".join(lines).rstrip("\n")
                if "server closed the connection unexpectedly" in text:
                    raise ServerGone(text)
                return line.split()[1], text
            lines.append(line)
        raise ServerGone("".join(lines) or "psql has ended")

    def get(self, statement):
        """The rows as text; an error is an exception."""
        state, text = self.run(statement)
        if state != "00000":
            raise RuntimeError(f"{statement}\n{text}")
        return text

    def close(self):
        self.psql.stdin.close()
        self.psql.stdout.close()
        self.psql.wait(timeout=300)


def bit_exact(columns, table):
    """A query of a table's rows in their binary and their text form. columns: list of (name, send function)."""
    return "SELECT " + ", ".join(f"{send}({name}), {name}::text" for name, send in columns) + f" FROM {table}"


def differences(session, columns, left, right, limit=5):
    """Rows of one table that the other lacks, bit by bit, duplicates counted; "" when there are none."""
    shown = ", ".join(f"{name}::text" for name, _ in columns)
    exact = ", ".join(f"{send}({name}) AS b{i}" for i, (name, send) in enumerate(columns))
    out = []
    for a, b in ((left, right), (right, left)):
        text = session.get(f"SELECT d.* FROM (SELECT {shown}, {exact} FROM {a} EXCEPT ALL SELECT {shown}, {exact} FROM {b}) d LIMIT {limit}")
        if text:
            out.append(f"in {a}, not in {b}:\n{text[:4000]}")
    return "\n".join(out)


def columns_of(session, table):
    """-> list of (quoted name, send function) of a table's columns."""
    text = session.get(f"""SELECT quote_ident(attname), typsend::regproc FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
      WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""")
    return [tuple(line.rsplit("|", 1)) for line in text.splitlines()]


def simd_levels(session):
    """The values of tsext.simd that this CPU takes, lowest first."""
    return [level for level in ("v1", "v3", "v4") if session.run(f"SET tsext.simd = '{level}'")[0] == "00000"]
