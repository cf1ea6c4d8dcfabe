"""Runs a program that is linked with LibTorch's CUDA library, where the libraries behind that are: `run.py TOOLCHAIN PROGRAM`."""

import os
import re
import subprocess
import sys


def main():
    program = sys.argv[2]
    libraries = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    missing = re.findall(r"^\s*(\S+) => not found", libraries, re.MULTILINE)
    if missing:
        print("compiled and linked, not run: this machine lacks " + ", ".join(missing))
        return 77
    result = subprocess.run([program], env=os.environ | {"OMP_NUM_THREADS": "1"})
    return 77 if result.returncode == 4 else result.returncode


if __name__ == "__main__":
    sys.exit(main())
