"""Runs core_bench and prints the ratios that the codecs promise: each is a quotient of two medians of the same run."""
import json, statistics, subprocess, sys

from common import TOP, show

# name, dividend, divisor, the least ratio wanted by level
RATIOS = [("ALP decode / Gorilla decode", "AlpDecode", "GorillaDecode", {1: 5, 3: 10, 4: 10}),
          ("FOR decode / sum of plain doubles", "ForDecode", "SumOfPlainDoubles", {3: 4, 4: 4}),
          ("delta-FOR decode / sum of plain doubles", "DeltaForDecode", "SumOfPlainDoubles", {3: 0.9, 4: 0.9}),
          ("filter on codes / sum of plain doubles", "FilterOnCodes", "SumOfPlainDoubles", {3: 2.5, 4: 2.5}),
          ("ALP decode with 2 % exceptions / without", "AlpDecodeTwoPercentExceptions", "AlpDecode", {3: 0.75, 4: 0.75}),
          ("HOT encode / zstd -3 of raw doubles", "HotEncode", "ZstdEncode", {3: 2.5, 4: 2.5}),
          ("COLD decode / zstd -3 of raw doubles", "ColdDecode", "ZstdDecode", {3: 2, 4: 2})]


def main():
    program = TOP / "build" / "cmake" / "release" / "core_bench"
    out = subprocess.run([program, "--benchmark_format=json", "--benchmark_repetitions=5", "--benchmark_min_time=0.1", "--benchmark_enable_random_interleaving=true", *sys.argv[1:]],
                         capture_output=True, text=True, check=True).stdout
    runs, labels = {}, {}
    for b in json.loads(out)["benchmarks"]:
        if b.get("run_type") == "iteration" and "items_per_second" in b and not b.get("error_occurred"):
            runs.setdefault(b["run_name"], []).append(b["items_per_second"] / 1e9)
            labels[b["run_name"]] = b.get("label", "")
    speed = {name: statistics.median(values) for name, values in runs.items()}
    show("Speed, one core, median of 5", ["benchmark/level", "G values/s", "encoding"], [[name, f"{value:.3f}", labels[name]] for name, value in sorted(speed.items())])
    rows = []
    for name, dividend, divisor, goals in RATIOS:
        for level in (1, 3, 4):
            above = speed.get(f"{dividend}/{level}")
            below = speed.get(divisor, speed.get(f"{divisor}/{level}"))
            if above and below:
                goal = goals.get(level)
                rows.append([name, f"v{level}", above / below, f">= {goal}" if goal else "", "" if goal is None else "yes" if above / below >= goal else "NO"])
    show("Ratios", ["", "level", "ratio", "goal", "reached"], rows)


main()
