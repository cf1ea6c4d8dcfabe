"""The quickstart learns and reads its command line: `check_quickstart.py TOOLCHAIN PROGRAM (DATA [--calibrate]|command_line)`.

DATA is a row of quickstart_bounds.txt, whose bound the accuracy must reach. --calibrate prints a new row of measured values.
"""

import pathlib
import re
import sys

import tool

BOUNDS = pathlib.Path(__file__).with_name("quickstart_bounds.txt")
# Where a data set is, from the source tree; none: where the program looks by itself.
DIRECTORIES = {"fashion-mnist": None, "mnist": "../shared/data/mnist"}
SEEDS = [1, 2, 3, 4, 5]
# Other compilers, thread counts and LibTorch versions round differently; so much more may be lost by that.
MARGIN = 0.02


def bound_of(data):
    for line in BOUNDS.read_text().splitlines():
        words = line.split("#")[0].split()
        if words and words[0] == data:
            return int(words[1]), float(words[-1])
    raise SystemExit(f"{BOUNDS.name} has no row for {data}")


def accuracy(program, directory, epochs, seed):
    command = [program, "--epochs", epochs, "--seed", seed, "--device", "cpu"] + (["--data", directory] if directory else [])
    result = tool.run(command, environment={"OMP_NUM_THREADS": "1"})
    print(result.stdout)
    found = re.search(r"^accuracy ([0-9.]+)$", result.stdout, re.MULTILINE)
    if result.returncode != 0 or not found:
        raise SystemExit(f"{program} ended with {result.returncode}, {'no' if not found else 'an'} accuracy in its output")
    return float(found.group(1))


def learns(source, program, data, calibrate):
    directory = source / DIRECTORIES[data] if DIRECTORIES[data] else None
    if directory and not directory.is_dir():
        print(f"SKIPPED: no {DIRECTORIES[data]}")
        return tool.SKIP
    epochs, bound = bound_of(data)
    if calibrate:
        measured = [accuracy(program, directory, epochs, seed) for seed in SEEDS]
        print(data, epochs, *(f"{value:.4f}" for value in measured), f"{min(measured) - MARGIN:.3f}")
        return 0
    reached = accuracy(program, directory, epochs, SEEDS[0])
    print(f"accuracy {reached} after {epochs} epochs on {data}, wanted: {bound}")
    return 0 if reached >= bound else 1


COMMAND_LINES = [
    (["--help"], 0, ["usage:", "--data DIR", "--epochs N", "--device", "--precision", "--threads N"]),
    (["--epochs", "1"], 0, ["precision fp32 (the default)", "accuracy 0."]),
    (["--epochs=1", "--precision", "fp64"], 0, ["precision fp64 (asked for)", "accuracy 0."]),
    (["--epoch", "3"], 1, ["no option --epoch", "--epochs N", "--device"]),
    (["--epochs"], 1, ["--epochs lacks its value"]),
    (["--epochs", "many"], 1, ["'many'", "whole number"]),
    (["--epochs", "0"], 1, ["0 epochs"]),
    (["--epochs=-1"], 1, ["-1"]),
    (["--epochs", "1", "--epochs", "2"], 1, ["given twice"]),
    (["--epochs", "1", "--threads", "1"], 0, ["1 thread (asked for)", "accuracy 0."]),
    (["--precision", "fp8"], 1, ["'fp8'", "fp32"]),
    (["--threads", "0"], 1, ["'0'", "measured"]),
    (["--device", "tpu"], 1, ["'tpu'", "cuda"]),
    (["--data", "/nowhere"], 1, ["/nowhere"]),
    (["mnist"], 1, ["'mnist' is no option"]),
]


def command_line(program):
    failures = 0
    for arguments, status, words in COMMAND_LINES:
        result = tool.run([program, *arguments], environment={"OMP_NUM_THREADS": "1"})
        missing = [word for word in words if word not in result.stdout]
        if result.returncode != status or missing:
            failures += 1
            print(f"{arguments}: ended with {result.returncode}, wanted {status}; missing {missing} in:\n{result.stdout}")
    print(f"{failures} failures in {len(COMMAND_LINES)} command lines")
    return 1 if failures else 0


def main():
    source, program, what = tool.Toolchain(sys.argv[1]).source, sys.argv[2], sys.argv[3]
    return command_line(program) if what == "command_line" else learns(source, program, what, "--calibrate" in sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
