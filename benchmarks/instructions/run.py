"""Counts instructions per step of a program's variants: `run.py TOOLCHAIN PROGRAM`.

`PROGRAM VARIANT STEPS` runs one variant. A step costs (count of 300 steps - count of 100 steps) / 200, so that start-up and
the first steps are outside. `PROGRAM limits` prints lines

    variant baseline max_ratio max_difference

and a variant may need at most max_ratio times its baseline's instructions a step and at most max_difference more of them;
a dash stands for no limit.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

import tool

FEW, MANY = 100, 300


def count(program, variant, steps):
    with tempfile.TemporaryDirectory() as directory:
        result = tool.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out", "--cache-sim=no",
                           program, variant, steps], cwd=directory, environment={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        if result.returncode != 0:
            raise SystemExit(f"{variant} {steps} ended with {result.returncode}:\n{result.stdout}")
        match = re.search(r"^(?:summary|totals): (\d+)", pathlib.Path(directory, "out").read_text(), re.MULTILINE)
        if not match:
            raise SystemExit(f"callgrind printed no total for {variant}:\n{result.stdout}")
        return int(match.group(1))


def main():
    program = sys.argv[2]
    if not shutil.which("valgrind"):
        print("SKIPPED: no valgrind (apt: valgrind)")
        return tool.SKIP
    printed = tool.run([program, "limits"])
    if printed.returncode != 0:
        print(printed.stdout)
        return 1
    limits = [line.split() for line in printed.stdout.splitlines() if line.strip() and not line.startswith("#")]
    if not limits or any(len(line) != 4 for line in limits):
        print(f"`{program} limits` prints no lines `variant baseline max_ratio max_difference`:\n{printed.stdout}")
        return 1

    names = sorted({name for line in limits for name in line[:2]})
    pairs = [(name, steps) for name in names for steps in (FEW, MANY)]
    totals = dict(zip(pairs, tool.parallel(lambda pair: count(program, *pair), pairs, os.cpu_count() or 1)))
    cost = {name: (totals[name, MANY] - totals[name, FEW]) / (MANY - FEW) for name in names}
    for name in names:
        print(f"{name}: {cost[name]:,.1f} instructions a step")

    failures = 0
    for variant, baseline, max_ratio, max_difference in limits:
        if cost[baseline] <= 0:
            print(f"{baseline}: the count does not grow with the steps")
            return 1
        ratio, difference = cost[variant] / cost[baseline], cost[variant] - cost[baseline]
        bad = (max_ratio != "-" and ratio > float(max_ratio)) or (max_difference != "-" and difference > float(max_difference))
        failures += bad
        print(f"{variant} / {baseline}: {ratio:.6f} (at most {max_ratio}), {difference:+,.1f} (at most {max_difference})"
              + (": TOO MUCH" if bad else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
