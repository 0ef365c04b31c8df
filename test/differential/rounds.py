"""What programs that play random rounds have in common: options, the loop over seeds, TAP lines. Standard library only."""
import argparse, os, pathlib, time

from psql import ServerGone


def parser(database):
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--rounds", type=int)
    options.add_argument("--seconds", type=float)
    options.add_argument("--database", default=database)
    options.add_argument("--keep-going", action="store_true", help="go on after a failed round")
    return options


def play(options, name, start):
    """Plays rounds, one a seed, until the options have enough; a failed one leaves build/test/NAME-SEED.sql, all it ran.

    start(seed, log) makes a round: play() raises RuntimeError (or what derives from it) for what must not be, told() describes it
    in a line, close() ends its sessions. -> (rounds, how many of them failed)
    """
    logs = pathlib.Path("build/test")
    logs.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    number = failures = 0
    while (options.rounds is None or number < options.rounds) and (options.seconds is None or time.monotonic() - began <= options.seconds):
        seed = options.seed + number
        number += 1
        path = logs / f"{name}-{seed}.sql"
        with open(path, "w", encoding="utf-8") as log:
            game = start(seed, log)
            try:
                game.play()
                print(f"ok {number} - seed {seed}: {game.told()}", flush=True)
                os.unlink(path)
            except (ServerGone, RuntimeError) as problem:
                failures += 1
                print(f"not ok {number} - seed {seed}, all statements are in {path}\n{problem}", flush=True)
                if isinstance(problem, ServerGone):
                    break                   # there is nothing left to close
            game.close()
        if failures and not options.keep_going:
            break
    print(f"1..{number}")
    return number, failures
