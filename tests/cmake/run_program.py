"""Runs a program; it must end with 0, and its output must match every regular expression and have every file's text in it.

`run_program.py [--expect REGEX | --contains FILE]... -- PROGRAM [ARGUMENT]...`
"""

import difflib
import pathlib
import re
import sys

import tool


def main():
    split = sys.argv.index("--")
    wanted = list(zip(sys.argv[1:split:2], sys.argv[2:split:2]))
    result = tool.run(sys.argv[split + 1:])
    print(result.stdout, end="")
    missing = 0
    for kind, value in wanted:
        if kind == "--expect" and not re.search(value, result.stdout, re.MULTILINE):
            print(f"the output does not match: {value}")
            missing += 1
        if kind == "--contains" and (text := pathlib.Path(value).read_text()) not in result.stdout:
            print(f"the output does not have the text of {value}:")
            print("\n".join(difflib.unified_diff(text.splitlines(), result.stdout.splitlines(), lineterm="", n=0)))
            missing += 1
    return result.returncode or (1 if missing else 0)


if __name__ == "__main__":
    sys.exit(main())
