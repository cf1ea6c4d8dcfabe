"""Runs a program; it must end with 0 and its output must match every regular expression.

`run_program.py [--expect REGEX]... -- PROGRAM [ARGUMENT]...`
"""

import re
import sys

import tool


def main():
    split = sys.argv.index("--")
    expected = sys.argv[2:split:2]
    result = tool.run(sys.argv[split + 1:])
    print(result.stdout, end="")
    missing = [e for e in expected if not re.search(e, result.stdout, re.MULTILINE)]
    for regex in missing:
        print(f"the output does not match: {regex}")
    return result.returncode or (1 if missing else 0)


if __name__ == "__main__":
    sys.exit(main())
