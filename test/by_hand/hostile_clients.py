"""Everything unfriendly at once, for as long as it is told: the listeners must stay, their memory must stay bounded, and lines =
stored + rejected. A friendly client writes all the while; each of its points must be stored once it was acknowledged.

    test/by_hand/hostile_clients.py SECONDS       with a server of test/server.sh: PGHOST, PGPORT; TSEXT_HTTP_PORT, TSEXT_UDP_PORT

Prints a line every ten seconds and the verdict. The role of the listeners may create in the schema public.
"""
import gzip, http.client, os, random, socket, subprocess, sys, threading, time

HTTP, UDP = int(os.environ["TSEXT_HTTP_PORT"]), int(os.environ["TSEXT_UDP_PORT"])
ENDS = time.time() + float(sys.argv[1])
BOMB = gzip.compress(b"\0" * 50_000_000)
PAUSE = {"bombs": 0.3, "random_bodies": 0.1, "measurements": 0.2, "queries": 0.2}
done = {}


def psql(sql):
    return subprocess.run(["psql", "-X", "-At", "-U", "postgres", "-d", "postgres", "-c", sql], capture_output=True, text=True).stdout.strip()


def attack(function):
    def run():
        rng = random.Random(function.__name__)
        while time.time() < ENDS:
            try:
                function(rng)
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(PAUSE.get(function.__name__, 0.02))           # unfriendly, not a flood: that fills the network first
            done[function.__name__] = done.get(function.__name__, 0) + 1
    return threading.Thread(target=run, name=function.__name__)


def post(path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", HTTP, timeout=30)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def bad_line(rng):
    line = rng.choice(["m,a=b v=1 1700000000", "m v=\"x", "m,a=b,a=c v=1", "m v=1e999", "m v=t,w=1i", "m\\ x,é=ü v=1i", ",", "m v=", "# x", ""]).encode()
    line = bytearray(line)
    for _ in range(rng.randrange(4)):
        if line:
            line[rng.randrange(len(line))] = rng.randrange(256)
    return bytes(line)


def random_datagrams(rng):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(200):
            s.sendto(rng.randbytes(rng.randrange(1, 3000)), ("127.0.0.1", UDP))
            s.sendto(b"\n".join(bad_line(rng) for _ in range(rng.randrange(1, 100))), ("127.0.0.1", UDP))
            s.sendto(b"x" * 65507, ("127.0.0.1", UDP))
            time.sleep(0.003)


def random_bodies(rng):
    post("/write?precision=s", b"\n".join(bad_line(rng) for _ in range(rng.randrange(1, 2000))))
    post("/write", rng.randbytes(rng.randrange(100_000)))


def bombs(rng):
    post("/write", BOMB, **{"Content-Encoding": "gzip"})
    post("/write", BOMB[:rng.randrange(len(BOMB))], **{"Content-Encoding": "gzip"})
    post("/write", b"m v=1\n" * 5_000_000)


def garbage(rng):
    with socket.create_connection(("127.0.0.1", HTTP), timeout=5) as s:
        s.sendall(rng.choice([rng.randbytes(500), b"POST /write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET " + b"/" * 100_000,
                              b"POST /write HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"POST /write HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n"]))
        s.recv(1000)


def slow(rng):
    with socket.create_connection(("127.0.0.1", HTTP), timeout=5) as s:
        s.sendall(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(60):
            s.sendall(b"x")
            time.sleep(1)


def idle(rng):
    sockets = [socket.create_connection(("127.0.0.1", HTTP), timeout=5) for _ in range(300)]
    time.sleep(5)
    for s in sockets:
        s.close()


def aborted(rng):
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", HTTP), timeout=5)
        s.sendall(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"m v=1\n" * 100_000)
        s.close()
        time.sleep(0.05)


def measurements(rng):
    post("/write", b"\n".join(b"m%d,t=%d v=%d" % (rng.randrange(100_000), rng.randrange(1000), rng.randrange(9)) for _ in range(1000)))
    post("/write", b"\n".join(b"wide f%d=%d" % (rng.randrange(5000), rng.randrange(9)) for _ in range(100)))


def queries(rng):
    post("/query", "q=" + rng.choice(["SELECT * FROM friend", "SELECT 1/0", "DROP TABLE friend", "SELECT pg_sleep(3)", "SHOW MEASUREMENTS", "SELECT" * 1000,
                                      "SELECT g FROM generate_series(1, 1000000) g"]), **{"Content-Type": "application/x-www-form-urlencoded"})


def ddl(rng):
    psql(rng.choice(["DROP TABLE IF EXISTS m", "ALTER TABLE m DROP COLUMN IF EXISTS v", "BEGIN; LOCK TABLE m; SELECT pg_sleep(2); COMMIT",
                     "DROP TABLE IF EXISTS wide", "TRUNCATE m", "REVOKE ALL ON m FROM agent", "VACUUM m", "SELECT tsext.compact('friend')"]))
    time.sleep(0.5)


acknowledged = 0


def friend(rng):
    global acknowledged
    body = "\n".join(f"friend,n=n{acknowledged % 7} v={acknowledged * 10 + i}i {1700000000000000000 + (acknowledged * 10 + i) * 1000}" for i in range(10))
    if post("/write", body) == 204:
        acknowledged += 1
    time.sleep(0.01)


def memory_mb(pid):
    """Its own: without what it shares."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(("Private_Dirty", "Private_Clean"))) / 1024


threads = [attack(f) for f in (random_datagrams, random_bodies, bombs, garbage, slow, idle, aborted, measurements, queries, ddl, friend)]
pids = dict(row.split("|") for row in psql("SELECT listener, pid FROM tsext.listener_stats").splitlines())
most = {name: 0 for name in pids}
for thread in threads:
    thread.start()
began = time.time()
while time.time() < ENDS:
    time.sleep(10)
    for name, pid in pids.items():
        most[name] = max(most[name], memory_mb(pid))
    print(f"{time.time() - began:.0f} s: " + ", ".join(f"{name} {memory_mb(pid):.0f} MB" for name, pid in pids.items()), f"acknowledged {acknowledged}", flush=True)
for thread in threads:
    thread.join()
time.sleep(5)
print("done:", done)
print(psql("SELECT listener, lines, stored, rejected, rejected_by_reason, datagrams_dropped FROM tsext.listener_stats"))
failures = []
if dict(row.split("|") for row in psql("SELECT listener, pid FROM tsext.listener_stats").splitlines()) != pids:
    failures.append("a worker has died")
if psql("SELECT bool_and(lines = stored + rejected) FROM tsext.listener_stats") != "t":
    failures.append("lines <> stored + rejected")
# A request whose answer was lost is sent again: its points may be there twice, never less than once.
if psql(f"SELECT count(DISTINCT v) FROM friend WHERE v < {acknowledged * 10}") != str(acknowledged * 10):
    failures.append("an acknowledged point is missing")
print(f"most memory: {most}; acknowledged requests of the friend: {acknowledged}")
print("FAILED: " + "; ".join(failures) if failures else "fine")
sys.exit(bool(failures))
