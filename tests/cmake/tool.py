"""What the test scripts share: the toolchain file, marker comments, compiling."""

import json
import os
import pathlib
import re
import subprocess

SKIP = 77


class Toolchain:
    def __init__(self, path):
        data = json.loads(pathlib.Path(path).read_text())
        self.source = pathlib.Path(data["source"])
        self.binary = pathlib.Path(data["binary"])
        self.compilers = {name: data[name] for name in ("gcc", "clang") if data[name]}
        self.core_includes = [d for d in data["core_includes"] if d]
        self.core_libraries = [f for f in data["core_libraries"] if f]
        self.torch_includes = [d for d in data["torch_includes"] if d]
        self.torch_root = data["torch_root"]
        self.catch2_libraries = [f for f in data["catch2_libraries"] if f]
        self.cmake = data["cmake"]
        self.generator = data["generator"]

    def includes(self, torch, include=None):
        """Ours by -I, so that their warnings show; those of others by -isystem."""
        flags = ["-I", str(include or self.source / "include")]
        for directory in self.core_includes + (self.torch_includes if torch else []):
            flags += ["-isystem", directory]
        return flags


def comment(text, key):
    """The values of `// key: value` lines."""
    return re.findall(rf"^// {re.escape(key)}: *(.*?)\s*$", text, re.MULTILINE)


def needs(text, what):
    return any(value.split()[:1] == [what] for value in comment(text, "needs"))


def run(command, **options):
    """Output and errors in one text, as a person sees them."""
    environment = dict(os.environ, LC_ALL="C", **options.pop("environment", {}))
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", env=environment, **options)


def precompile(command, compiler, file, directory, *options):
    """The command with the includes of the file precompiled in the directory; it makes the same code."""
    prefix = pathlib.Path(directory, "prefix.hpp")
    prefix.write_text("\n".join(re.findall(r"^#include .*$", file.read_text(), re.MULTILINE)) + "\n")
    out = prefix.with_suffix(".hpp.gch" if compiler == "gcc" else ".pch")
    command = [*command, "-I", file.parent]
    result = run([*command, *options, "-x", "c++-header", prefix, "-o", out])
    if result.returncode != 0:
        raise SystemExit(result.stdout)
    # Without the option g++ would read the header itself where it cannot use the precompiled one.
    return [*command, *(["-Werror=invalid-pch", "-include", prefix] if compiler == "gcc" else ["-include-pch", out])]


def files(root, *patterns):
    return sorted(p for pattern in patterns for p in pathlib.Path(root).rglob(pattern) if p.is_file())
