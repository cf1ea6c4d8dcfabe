"""Counts instructions per step of a program's variants: `run.py TOOLCHAIN PROGRAM`.

`PROGRAM measure` runs every variant for some steps and for more, and has callgrind write a file with the count after each:
its trigger says `variant steps`. What a step costs is the difference by the number of steps between, so that start-up and
the first steps are outside. `PROGRAM limits` prints lines

    variant baseline max_ratio max_difference

and a variant may need at most max_ratio times its baseline's instructions a step and at most max_difference more of them;
a dash stands for no limit.
"""

import collections
import pathlib
import re
import shutil
import sys
import tempfile

import tool


def measure(program):
    """Instructions a step of each variant."""
    counts = collections.defaultdict(dict)
    with tempfile.TemporaryDirectory() as directory:
        result = tool.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out", "--cache-sim=no", "--instr-atstart=no", program, "measure"],
                          cwd=directory, environment={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
        if result.returncode != 0:
            raise SystemExit(f"measuring ended with {result.returncode}:\n{result.stdout}")
        for file in pathlib.Path(directory).glob("out.*"):
            text = file.read_text()
            trigger = re.search(r"^desc: Trigger: Client Request: (\S+) (\d+)$", text, re.MULTILINE)
            total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if trigger and total:
                counts[trigger.group(1)][int(trigger.group(2))] = int(total.group(1))
    return {name: (by_steps[max(by_steps)] - by_steps[min(by_steps)]) / (max(by_steps) - min(by_steps))
            for name, by_steps in counts.items() if len(by_steps) == 2}


def main():
    program = sys.argv[2]
    if not shutil.which("valgrind"):
        print("SKIPPED: no valgrind (apt: valgrind)")
        return tool.SKIP
    printed = tool.run([program, "limits"])
    if printed.returncode == 77:
        print(printed.stdout)
        return tool.SKIP
    if printed.returncode != 0:
        print(printed.stdout)
        return 1
    limits = [line.split() for line in printed.stdout.splitlines() if line.strip() and not line.startswith("#")]
    if not limits or any(len(line) != 4 for line in limits):
        print(f"`{program} limits` prints no lines `variant baseline max_ratio max_difference`:\n{printed.stdout}")
        return 1

    cost = measure(program)
    for name in sorted({name for line in limits for name in line[:2]}):
        if name not in cost:
            print(f"{name} was not measured")
            return 1
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
