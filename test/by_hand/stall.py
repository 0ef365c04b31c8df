#!/usr/bin/env python3
"""Imitates a machine that stalls: stops processes of servers for a moment, again and again, while tests run.

    test/by_hand/stall.py DIRECTORY [--from MS] [--to MS] [--every MS] [--seed N] -- COMMAND…

Runs COMMAND; until it ends, SIGSTOP goes to processes of the postmasters whose data directory lies below DIRECTORY (of test/run.sh:
"$(test/server.sh root)"), and SIGCONT after FROM to TO milliseconds (200 to 500), on average once in EVERY milliseconds (1500). Half of
the time all of them stop with their postmaster, else one child of a postmaster. Nothing is left stopped. Exits with COMMAND's status.

For example, the TAP tests on a machine that stalls:
    TSEXT_SKIP_PACKAGES=1 test/by_hand/stall.py "$(test/server.sh root)" -- test/run.sh tap
"""
import argparse, os, pathlib, random, signal, subprocess, sys, time


def processes():
    """Of all processes: id → (id of the parent, command line)."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(entry.name)] = parent, (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            pass     # it has ended
    return found


def clusters(directory):
    """Of each server below the directory: [postmaster, child…]."""
    found = processes()
    postmasters = []
    for process, (_, words) in found.items():
        if words[0].endswith(b"/postgres") and b"-D" in words[:-1]:
            data = pathlib.Path(words[words.index(b"-D") + 1].decode())
            if directory in data.resolve().parents:
                postmasters.append(process)
    return [[p, *(process for process, (parent, _) in found.items() if parent == p)] for p in postmasters]


def send(signal_number, process):
    try:
        signal.pidfd_send_signal(process, signal_number)
    except ProcessLookupError:
        pass


def stall(victims, seconds):
    """Stops the processes, and lets them go on. By descriptors: an id may be somebody else's by then."""
    handles = []
    for victim in victims:
        try:
            handles.append(os.pidfd_open(victim))
        except ProcessLookupError:
            pass
    try:
        for handle in handles:
            send(signal.SIGSTOP, handle)
        time.sleep(seconds)
    finally:
        for handle in handles:
            send(signal.SIGCONT, handle)
            os.close(handle)


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=lambda name: pathlib.Path(name).resolve())
    parser.add_argument("--from", dest="least", type=int, default=200)
    parser.add_argument("--to", dest="most", type=int, default=500)
    parser.add_argument("--every", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(sys.argv[1:split])
    random.seed(options.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stalls = 0
    command = subprocess.Popen(sys.argv[split + 1:])
    try:
        while True:
            try:
                command.wait(random.uniform(0, 2 * options.every) / 1000)
                break
            except subprocess.TimeoutExpired:
                pass
            servers = clusters(options.directory)
            if not servers:
                continue
            server = random.choice(servers)
            victims = random.choice([server, [random.choice(server[1:] or server)]])
            stall(victims, random.uniform(options.least, options.most) / 1000)
            stalls += 1
    finally:
        if command.poll() is None:
            command.terminate()
            command.wait()
        print(f"{stalls} stalls of {options.least} to {options.most} ms", file=sys.stderr)
    return command.returncode


sys.exit(main())
