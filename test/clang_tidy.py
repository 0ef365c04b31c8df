"""Runs clang-tidy over src/core and src/pg, two files at a time; exits with 1 when it has something to say.

A file whose text, headers and configuration have not changed since it was clean is not looked at again: the sum of what
it depends on is kept under build/tidy/. Tests and fuzz targets are left out: GoogleTest's macros break half of the checks.
"""
import concurrent.futures, hashlib, os, pathlib, subprocess, sys

PG_CONFIG = os.environ.get("PG_CONFIG", "pg_config")
CACHE = pathlib.Path("build/tidy")


def server_include():
    return subprocess.run([PG_CONFIG, "--includedir-server"], capture_output=True, text=True, check=True).stdout.strip()


def flags(source):
    common = ["-std=c++20", "-O2", "-Iinclude", "-Isrc", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    if source.parts[1] == "core":
        return common
    return common + ["-isystem", server_include(), "-DTSEXT_HTTP", '-DTSEXT_VERSION="0"',
                     '-DPGDLLEXPORT=__attribute__((visibility("default")))']


def fingerprint(source, arguments):
    """A hash of everything of ours that the file is made from."""
    found = subprocess.run(["clang++-14", "-MM", *arguments, str(source)], capture_output=True, text=True)
    if found.returncode != 0:
        return None
    digest = hashlib.sha256(" ".join(arguments).encode() + pathlib.Path(".clang-tidy").read_bytes())
    for name in found.stdout.replace("\\\n", " ").split(":", 1)[1].split():
        digest.update(name.encode() + pathlib.Path(name).read_bytes())
    return digest.hexdigest()


def look_at(source):
    arguments = flags(source)
    key = fingerprint(source, arguments)
    if key and (CACHE / key).exists():
        return source, 0, ""
    run = subprocess.run(["clang-tidy-14", "--quiet", str(source), "--", *arguments], capture_output=True, text=True)
    if run.returncode == 0 and key:
        (CACHE / key).touch()
    return source, run.returncode, run.stdout + (run.stderr if run.returncode and not run.stdout else "")


def main():
    sources = [f for f in sorted(pathlib.Path("src").rglob("*.cpp")) if not f.stem.endswith(("_test", "_fuzz"))]
    CACHE.mkdir(parents=True, exist_ok=True)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, status, text in pool.map(look_at, sources):
            if status:
                bad += 1
                print(f"== {source}\n{text}")
    print(f"clang-tidy: {len(sources)} files, {bad} with findings")
    return 1 if bad else 0


sys.exit(main())
