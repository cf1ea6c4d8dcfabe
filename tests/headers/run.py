"""Every header compiles alone, and twice in one file: `run.py TOOLCHAIN (gcc|clang) (core|torch)`.

That they link together is shown by tests/odr, which the compiler of the build makes. LibTorch's tensor, which every header
that sees LibTorch includes, is precompiled for them.
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

        tensor = []
        if torch and sys.argv[2] == "clang":
            precompiled = directory / "tensor.pch"
            (directory / "tensor.hpp").write_text("#include <ATen/core/Tensor.h>\n")
            made = tool.run([compiler, *STRICT, *toolchain.includes(True), "-fpch-instantiate-templates", "-x", "c++-header",
                             directory / "tensor.hpp", "-o", precompiled])
            tensor = ["-include-pch", precompiled] if made.returncode == 0 else []

        def compile_one(header):
            source = directory / (header.replace("/", "_") + ".cpp")
            source.write_text(f'#include "{header}"\n#include "{header}"\n')
            return tool.run([compiler, *STRICT, *toolchain.includes(torch), *tensor, "-fsyntax-only", source])

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
