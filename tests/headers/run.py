"""Every header compiles alone, and twice in one file: `run.py TOOLCHAIN (gcc|clang) (core|torch) [--quick]`.

That they link together is shown by tests/odr. With --quick and clang, the headers of LibTorch that ours name are
precompiled; a header that forgets one is then found by the presets that do without.
"""

import pathlib
import sys
import tempfile

import tool
from includes import LIBTORCH, Tree

STRICT = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]


def precompile(command, tree, headers, directory):
    """The options for what the headers name of LibTorch, precompiled, but for Gloo's: it is empty without a macro."""
    named = {name for h in headers for name in tree.includes[h] if LIBTORCH.match(name) and not name.endswith("Gloo.hpp")}
    prefix = directory / "libtorch.hpp"
    prefix.write_text("".join(f"#include <{name}>\n" for name in sorted(named)))
    out = prefix.with_suffix(".pch")
    result = tool.run([*command, "-fpch-instantiate-templates", "-x", "c++-header", prefix, "-o", out])
    if result.returncode != 0:
        raise SystemExit(result.stdout)
    return ["-include-pch", out]


def main():
    toolchain = tool.Toolchain(sys.argv[1])
    compiler, torch = toolchain.compilers[sys.argv[2]], sys.argv[3] == "torch"
    tree = Tree(toolchain.source)
    headers = [h for h in tree.headers if tree.needs_libtorch(h) == torch and not tree.needs_nccl(h)]
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        command = [compiler, *STRICT, *toolchain.includes(torch)]
        if torch and sys.argv[2] == "clang" and "--quick" in sys.argv:
            command += precompile(command, tree, headers, directory)

        def compile_one(header):
            source = directory / (header.replace("/", "_") + ".cpp")
            source.write_text(f'#include "{header}"\n#include "{header}"\n')
            return tool.run([*command, "-fsyntax-only", source])

        results = [compile_one(header) for header in headers]
        failed = [(h, r.stdout) for h, r in zip(headers, results) if r.returncode != 0]
        for header, output in failed:
            print(f"{header} does not compile alone:\n{output}")
        if failed:
            return 1
    print(f"{len(headers)} headers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
