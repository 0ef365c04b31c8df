"""Runs the SQL of the user's documentation: each ```sql block of README.md and doc/*.md, a file in a database of its own.

The server is the one of PGHOST and PGPORT. A block that starts with "-- not run" is for the eye only.
Prints one line of TAP a block; exits with 1 when one fails.
"""
import pathlib, re, subprocess, sys, time

BLOCK = re.compile(r"^```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)


def psql(database, script):
    run = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database], input=script, text=True,
                         capture_output=True)
    return run.returncode, run.stdout + run.stderr


def let_jobs_run(database):
    """Jobs that a block has made start at once; the next block shall not meet them half done."""
    busy = """\\pset format unaligned
\\pset tuples_only
SELECT count(*) FROM tsext.jobs WHERE job_id >= 1000 AND scheduled AND (status IN ('starting', 'running') OR next_start <= now());"""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        status, output = psql(database, busy)
        if status or output.strip() == "0":      # an error: without the extension there are no jobs
            break
        time.sleep(0.1)


def main():
    number = failures = 0
    for page in [pathlib.Path("README.md"), *sorted(pathlib.Path("doc").glob("*.md"))]:
        blocks = [m for m in BLOCK.finditer(page.read_text()) if not m[1].startswith("-- not run")]
        if not blocks:
            continue
        database = "doc_" + re.sub(r"\W", "_", page.stem.lower())
        psql("postgres", f"DROP DATABASE IF EXISTS {database};\nCREATE DATABASE {database};")
        if "CREATE EXTENSION" not in blocks[0][1]:
            psql(database, "CREATE EXTENSION tsext;")
        text = page.read_text()
        for block in blocks:
            number += 1
            line = text.count("\n", 0, block.start()) + 1
            status, output = psql(database, block[1])
            let_jobs_run(database)
            failures += status != 0
            print(f"{'not ok' if status else 'ok'} {number} - {page}:{line}")
            if status:
                print(output)
        psql("postgres", f"DROP DATABASE {database} WITH (FORCE);")      # each has a scheduler, and there are 16 workers
    print(f"1..{number}")
    return 1 if failures or not number else 0


sys.exit(main())
