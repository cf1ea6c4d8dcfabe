"""The ways of consuming Tacit, each from outside the source tree: `run.py TOOLCHAIN MODE [COMPILER]`.

Modes: package, embed, subdirectory, bare, strict (with a compiler), pkg_config.
"""

import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile

import tool

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
# Stands in while README.md shows no line of its own.
FALLBACK = ("g++ -std=c++20 -I include -isystem $TORCH/include -isystem $TORCH/include/torch/csrc/api/include my_program.cpp "
            "-L $TORCH/lib -ltorch_cpu -lc10 -lz -Wl,-rpath,$TORCH/lib -o my_program")


class Failed(Exception):
    pass


def must(command, **options):
    shown = command if isinstance(command, str) else shlex.join(map(str, command))
    result = tool.run(["bash", "-c", command] if isinstance(command, str) else command, **options)
    print(f"$ {shown}\n{result.stdout}")
    if result.returncode != 0:
        raise Failed(f"ended with {result.returncode}: {shown}")
    return result.stdout


def install(toolchain, directory):
    """Installs to a prefix, then moves that: nothing in it may name where it was installed or built."""
    first, prefix = directory / "first", directory / "moved" / "prefix"
    must([toolchain.cmake, "--install", toolchain.binary, "--prefix", first])
    prefix.parent.mkdir()
    first.rename(prefix)
    for path in tool.files(prefix, "*"):
        text = path.read_text(errors="replace")
        for place in (first, toolchain.source, toolchain.binary, toolchain.torch_root):
            if place and str(place) in text:
                raise Failed(f"{path.relative_to(prefix)} names {place}")
    return prefix


def build(toolchain, directory, project, *arguments):
    """Configures and builds a consumer in a fresh place, runs its program, and looks for traces in its cache."""
    shutil.copytree(toolchain.source / "tests" / "consume", directory / "consume")
    binary = directory / "build"
    # One of them by g++; clang is the quicker one.
    compilers = ("gcc", "clang") if project == "package" else ("clang", "gcc")
    compiler = next(toolchain.compilers[name] for name in compilers if name in toolchain.compilers)
    must([toolchain.cmake, "-G", toolchain.generator, "-S", directory / "consume" / project, "-B", binary, *arguments,
          f"-DCMAKE_CXX_COMPILER={compiler}",
          f"-DTACIT_LIBTORCH={toolchain.torch_root}"])
    must([toolchain.cmake, "--build", binary])
    must([binary / "program"])
    given = {a[2:].split("=")[0] for a in arguments} | {"TACIT_LIBTORCH"}
    cache = (binary / "CMakeCache.txt").read_text()
    ours = set(re.findall(r"^((?:TACIT|TORCH|Torch|LibTorch|CAFFE2?)\w*):(?!INTERNAL|STATIC)", cache, re.MULTILINE)) - given
    # A subproject's options are cache entries by nature; all of them start with TACIT_.
    ours = {name for name in ours if project != "subdirectory" or not name.startswith("TACIT_")}
    if ours:
        raise Failed(f"cache variables set in the consumer's build: {', '.join(sorted(ours))}")


def package(toolchain, directory):
    build(toolchain, directory, "package", f"-DCMAKE_PREFIX_PATH={install(toolchain, directory)}")


def embed(toolchain, directory):
    build(toolchain, directory, "embed", f"-DCMAKE_PREFIX_PATH={install(toolchain, directory)}")


def subdirectory(toolchain, directory):
    build(toolchain, directory, "subdirectory", f"-DTACIT_SOURCE={toolchain.source}")


def pkg_config(toolchain, directory):
    if not shutil.which("pkg-config"):
        print("SKIPPED: no pkg-config (apt: pkgconf)")
        return tool.SKIP
    prefix = install(toolchain, directory)
    path = next(prefix.rglob("tacit.pc")).parent
    flags = must(["pkg-config", "--cflags", "--libs", "tacit"], environment={"PKG_CONFIG_PATH": str(path)}).split()
    includes = [pathlib.Path(f[2:]).resolve() for f in flags if f.startswith("-I")]
    if (prefix / "include").resolve() not in includes or "-lz" not in flags:
        raise Failed(f"pkg-config gives {flags}")
    return 0


def bare(toolchain, directory):
    """The line that the README shows, as it stands there, in a directory with a copy of include/."""
    readme = toolchain.source / "README.md"
    found = re.search(r"<!-- bare -->\s*```\w*\n(.*?)```", readme.read_text() if readme.exists() else "", re.DOTALL)
    if not found:
        print("README.md has no `<!-- bare -->` block, a line of the test's own is used")
    line = found.group(1).strip() if found else FALLBACK
    source = re.search(r"\S+\.cpp", line)
    program = re.search(r"-o (\S+)", line)
    if not source or not program:
        raise Failed(f"the line names no .cpp file or no -o: {line}")
    shutil.copytree(toolchain.source / "include", directory / "include")
    shutil.copy(toolchain.source / "tests" / "consume" / "program.cpp", directory / source.group(0))
    must(line, cwd=directory, environment={"TORCH": toolchain.torch_root})
    must([f"./{program.group(1)}"], cwd=directory)


def strict(toolchain, compiler):
    includes = ["-I", toolchain.source / "include"]
    for place in toolchain.core_includes + toolchain.torch_includes:
        includes += ["-isystem", place]
    must([toolchain.compilers[compiler], "-std=c++20", "-fsyntax-only", *STRICT, *includes,
          toolchain.source / "examples" / "quickstart.cpp"])


def main():
    toolchain, mode = tool.Toolchain(sys.argv[1]), sys.argv[2]
    try:
        if mode == "strict":
            strict(toolchain, sys.argv[3])
            return 0
        with tempfile.TemporaryDirectory() as directory:
            return globals()[mode](toolchain, pathlib.Path(directory).resolve()) or 0
    except Failed as problem:
        print(problem)
        return 1


if __name__ == "__main__":
    sys.exit(main())
