"""A connection through libpq by ctypes: a statement costs one round trip and no process. Standard library only."""
import ctypes, ctypes.util, time

from psql import ServerGone

FINE = "00000"
CONNECTION_OK = 0
TUPLES = (2, 9)                 # PGRES_TUPLES_OK, PGRES_SINGLE_TUPLE
COMMANDS = (0, 1)               # PGRES_EMPTY_QUERY, PGRES_COMMAND_OK


def load():
    pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (("PQconnectdb", pointer, [text]), ("PQstatus", number, [pointer]), ("PQerrorMessage", text, [pointer]),
                                    ("PQexec", pointer, [pointer, text]), ("PQresultStatus", number, [pointer]), ("PQresultErrorField", text, [pointer, number]),
                                    ("PQresultErrorMessage", text, [pointer]), ("PQntuples", number, [pointer]), ("PQnfields", number, [pointer]),
                                    ("PQgetvalue", text, [pointer, number, number]), ("PQgetisnull", number, [pointer, number, number]),
                                    ("PQftype", ctypes.c_uint, [pointer, number]), ("PQclear", None, [pointer]), ("PQfinish", None, [pointer]),
                                    ("PQsetNoticeProcessor", pointer, [pointer, pointer, pointer])):
        function = getattr(pq, name)
        function.restype, function.argtypes = result, arguments
    return pq


PQ = load()
IGNORE_NOTICE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda argument, message: None)


class Connection:
    """Talks to the server of PGHOST and PGPORT in the simple protocol, as text."""

    def __init__(self, database):
        self.conn = PQ.PQconnectdb(f"dbname={database} client_encoding=UTF8 application_name=differential".encode())
        if PQ.PQstatus(self.conn) != CONNECTION_OK:
            raise ServerGone(PQ.PQerrorMessage(self.conn).decode())
        PQ.PQsetNoticeProcessor(self.conn, ctypes.cast(IGNORE_NOTICE, ctypes.c_void_p), None)

    def run(self, text):
        """-> (SQLSTATE, rows, types). rows: tuples of text or None; of an error, its message. Of several statements, the last's."""
        result = PQ.PQexec(self.conn, text.encode())
        try:
            status = PQ.PQresultStatus(result)
            if status in TUPLES:
                fields = range(PQ.PQnfields(result))
                rows = [tuple(None if PQ.PQgetisnull(result, i, k) else PQ.PQgetvalue(result, i, k).decode() for k in fields) for i in range(PQ.PQntuples(result))]
                return FINE, rows, [PQ.PQftype(result, k) for k in fields]
            if status in COMMANDS:
                return FINE, [], []
            state = PQ.PQresultErrorField(result, ord("C"))
            message = PQ.PQresultErrorMessage(result).decode() or PQ.PQerrorMessage(self.conn).decode()
            if state is None or PQ.PQstatus(self.conn) != CONNECTION_OK:
                raise ServerGone(f"{text}\n{message}")
            return state.decode(), message, []
        finally:
            PQ.PQclear(result)

    def get(self, text):
        """The rows; an error is an exception."""
        state, rows, _ = self.run(text)
        if state != FINE:
            raise RuntimeError(f"{text}\n{state} {rows}")
        return rows

    def value(self, text):
        """The one value of a statement's one row, as text or None."""
        return self.get(text)[0][0]

    def milliseconds(self, text):
        """Wall-clock time until the whole answer is in memory, as libpq leaves it."""
        encoded = text.encode()
        start = time.perf_counter()
        result = PQ.PQexec(self.conn, encoded)
        ms = (time.perf_counter() - start) * 1000
        status = PQ.PQresultStatus(result)
        message = "" if status in TUPLES + COMMANDS else PQ.PQresultErrorMessage(result).decode()
        PQ.PQclear(result)
        if message:
            raise RuntimeError(f"{text}\n{message}")
        return ms

    def close(self):
        PQ.PQfinish(self.conn)


def fresh_database(name):
    """Makes a database that has the extension and nothing else."""
    admin = Connection("postgres")
    for statement in ("SET client_min_messages = error", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"):
        admin.get(statement)
    admin.close()
    connection = Connection(name)
    connection.get("CREATE EXTENSION tsext")
    connection.close()
