"""Every header compiles alone, and twice in one file: `run.py TOOLCHAIN (gcc|clang) (core|torch)`.

That they link together is shown by tests/odr. Those that see LibTorch find it precompiled where the build has it so; that
each names what it needs of LibTorch is shown by tests/consume, and by this script where nothing is precompiled.
"""

import pathlib
import sys
import tempfile

import tool
from includes import Tree

STRICT = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]


def main():
    toolchain = tool.Toolchain(sys.argv[1])
    compiler, torch = toolchain.compilers[sys.argv[2]], sys.argv[3] == "torch"
    tree = Tree(toolchain.source)
    headers = [h for h in tree.headers if tree.needs_libtorch(h) == torch and not tree.needs_nccl(h)]
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)

        prefix = toolchain.binary / "clang" / "torch.pch"
        precompiled = ["-include-pch", prefix, "-fclang-abi-compat=17"] if torch and sys.argv[2] == "clang" and prefix.exists() else []

        def compile_one(header):
            source = directory / (header.replace("/", "_") + ".cpp")
            source.write_text(f'#include "{header}"\n#include "{header}"\n')
            return tool.run([compiler, *STRICT, *toolchain.includes(torch), *precompiled, "-fsyntax-only", source])

        results = tool.parallel(compile_one, headers)
        failed = [(h, r.stdout) for h, r in zip(headers, results) if r.returncode != 0]
        for header, output in failed:
            print(f"{header} does not compile alone:\n{output}")
        if failed:
            return 1
    print(f"{len(headers)} headers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
