"""What tacit-checkpoint says of good, damaged and missing checkpoints: `check_checkpoint_program.py TOOLCHAIN PROGRAM EXAMPLE`.

EXAMPLE is examples/parts/checkpoint.cpp, which writes checkpoints. Numbers are compared with those that this script reads out of the
files with Python's own modules."""

import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import tool


class Checker:
    def __init__(self, program):
        self.program, self.failures, self.runs = program, 0, 0

    def run(self, arguments, status, *expected, error=()):
        """Runs a command; every regular expression must match its output, those of `error` what it says beside it."""
        self.runs += 1
        result = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, env=dict(os.environ, LC_ALL="C"), check=False)
        wrong = [f"status {result.returncode}, wanted {status}"] if result.returncode != status else []
        wrong += [f"no match of {e}" for e in expected if not re.search(e, result.stdout, re.MULTILINE)]
        wrong += [f"no match of {e} in the errors" for e in error if not re.search(e, result.stderr, re.MULTILINE)]
        if not error and status < 2 and result.stderr:
            wrong.append("something on the error output")
        if any(len(line) > 400 or line != line.rstrip() for line in result.stdout.splitlines()):
            wrong.append("a very long line, or spaces at the end of one")
        if wrong:
            self.failures += 1
            print(f"{' '.join(map(str, arguments))}: {'; '.join(wrong)}\n{result.stdout}{result.stderr}")
        return result.stdout


def tensors_of(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (entry, raw[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]) for name, entry in header.items()}


def write_tensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    check = Checker(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        result = tool.run([sys.argv[3]], cwd=work, environment={"OMP_NUM_THREADS": "1"})
        if result.returncode != 0:
            print(result.stdout)
            return 1
        root = work / "checkpoints" / "stopped"
        newest, older = root / "checkpoint-0000000064", root / "checkpoint-0000000060"

        check.run(["--help"], 0, "^usage: tacit-checkpoint", "exit status: 0")
        check.run(["list", root], 0, r"^update +saved +size +ranks +metric$", r"^ +60  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d +\d+\.\d KiB +1 +-$", r"^ +64  .* +1 +-  latest$")
        check.run(["list", root, "--quick"], 0, "latest")
        check.run(["verify", root], 0, r"checkpoint-0000000060: whole, 2 files$", r"checkpoint-0000000064: whole, 2 files$")
        text = check.run(["show", newest], 0, r"checkpoint-0000000064: update 64, 2 files, [\d.]+ KiB, saved 20", r"^optimizer\.options\.lr +0\.01$", r"^progress\.update +64$",
                         r"^model \(version\) +1$", r"^generator\.state +U8 +\[5056\] +0 to 255, mean ", r"^\d+ tensors, [\d.]+ KiB$")
        entry, raw = tensors_of(newest / "state.safetensors")["model.hidden.weight"]
        values = struct.unpack(f"<{len(raw) // 4}f", raw)
        shown = re.search(r"^model\.hidden\.weight +F32 \[32, 8\]  (\S+) to (\S+), mean (\S+)$", text.replace("  [", " ["), re.MULTILINE)
        wanted = (min(values), max(values), sum(values) / len(values))
        if not shown or any(abs(float(a) - b) > 1e-5 * max(abs(b), 1e-3) for a, b in zip(shown.groups(), wanted)):
            check.failures += 1
            print(f"statistics of model.hidden.weight: wanted {wanted}, shown {shown and shown.groups()}")
        check.run(["show", root], 0, "update 64")

        write_tensors(work / "a.safetensors", {"half": ("F16", [4], struct.pack("<4e", 1.5, -2.0, float("inf"), float("nan"))), "tiny": ("F16", [1], struct.pack("<e", 2.0 ** -24)),
                                               "brain": ("BF16", [2], struct.pack("<2H", 0x3FC0, 0xC000)), "whole": ("I64", [3], struct.pack("<3q", -5, 7, 1)),
                                               "none": ("F64", [0, 3], b""), "bytes": ("F8_E4M3", [2], b"\x01\x02")})
        check.run(["show", work / "a.safetensors"], 0, r"^6 tensors", r"^half +F16 +\[4\] +-2 to 1\.5, mean -0\.25, 1 NaN, 1 infinite$", r"^tiny +F16 +\[1\] +5\.96046e-08$",
                  r"^brain +BF16 +\[2\] +-2 to 1\.5, mean -0\.25$", r"^whole +I64 +\[3\] +-5 to 7, mean 1$", r"^none +F64 +\[0, 3\]$", r"^bytes +F8_E4M3 +\[2\]$")
        write_tensors(work / "b.safetensors", {"half": ("F16", [4], struct.pack("<4e", 1.5, -2.5, float("inf"), float("nan"))), "whole": ("I64", [1, 3], struct.pack("<3q", -5, 7, 1)),
                                               "bytes": ("F8_E4M3", [2], b"\x01\x03")})
        check.run(["diff", work / "a.safetensors", work / "b.safetensors"], 1, r"^half +1 of 4 elements differ, by 0\.5 at most$", r"^whole +I64 \[3\] against I64 \[1, 3\]$",
                  r"^bytes +1 of 2 elements differ$", r"^brain +only in .*a\.safetensors$", r"^6 differences in 0 values and 6 tensors$")
        check.run(["diff", newest, newest], 0, r"^equal: \d+ values, \d+ tensors$")
        check.run(["diff", newest, work / "checkpoints" / "whole"], 0, "^equal")  # the resumed run ended as the whole one
        check.run(["diff", older, newest], 1, r"^progress\.update +60 against 64$", r"^model\.hidden\.weight +256 of 256 elements differ, by [\d.e-]+ at most$")

        check.run(["prune", root, "--last", "1", "--dry-run"], 0, r"^checkpoint-0000000060 would be removed\n1 would stay$")
        if not older.is_dir():
            check.failures += 1
            print("a dry run has removed something")
        copy = work / "copy"
        shutil.copytree(root, copy)
        check.run(["prune", copy, "--last", "1"], 0, r"^checkpoint-0000000060 removed\n1 stay$")
        check.run(["list", copy], 0, "^ +64")
        check.run(["prune", copy, "--every", "60", "--last", "2"], 0, r"\A1 stay$")

        damaged = newest / "state.safetensors"
        raw = bytearray(damaged.read_bytes())
        raw[-100] ^= 1
        damaged.write_bytes(raw)
        (root / ".tmp-checkpoint-0000000070").mkdir()
        check.run(["list", root], 1, r"^ +64  .*latest, DAMAGED: \[TACIT-RS64\]", r"^\.tmp-checkpoint-0000000070 is unfinished", r"^ +60  .* -$")
        check.run(["list", root, "--quick"], 0)
        check.run(["verify", root], 1, r"checkpoint-0000000064: DAMAGED: \[TACIT-RS64\]", r"checkpoint-0000000060: whole")
        check.run(["verify", newest], 1, "DAMAGED")
        check.run(["show", root], 0, "update 60", error=["checkpoint-0000000064 is skipped"])
        check.run(["show", newest], 3, error=[r"^tacit-checkpoint: \[TACIT-RS64\]"])

        empty = work / "empty"
        empty.mkdir()
        check.run(["list", empty], 0, "^no checkpoints in ")
        check.run(["show", empty], 3, error=["TACIT-RS60.*holds no checkpoint"])
        check.run(["verify", empty], 3, error=["TACIT-RS60"])
        for command in (["list"], ["show"], ["verify"], ["prune", "--last", "1"]):
            check.run([command[0], work / "nowhere", *command[1:]], 3, error=["TACIT-RS60.*nowhere|nowhere.*"])
        (work / "pickle.pt").write_bytes(b"\x80\x02}q\x00.")
        check.run(["show", work / "pickle.pt"], 3, error=["TACIT-RS10", "safetensors.torch"])
        for arguments in ([], ["lists", root], ["list"], ["list", root, root], ["list", root, "--fast"], ["diff", root], ["prune", root], ["prune", root, "--last"],
                          ["prune", root, "--last", "many"], ["prune", root, "--last", "0"], ["prune", root, "--last", "2", "--higher"]):
            check.run(arguments, 2, error=["^tacit-checkpoint: "])
    print(f"{check.runs} runs, {check.failures} failures")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
