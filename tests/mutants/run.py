"""Shows that a test bites: `run.py TOOLCHAIN UNIT_CORE PATCH` or `run.py TOOLCHAIN --self-test`.

The patch breaks include/ in a copy; its line `# kills: tests/<file> [:: <Catch2 test name or tag>]` names what must notice:
  tests/unit/..., laws, order, composition, reliability :: name   the named test, built without the file's others, must fail
  tests/static/...                                   the file must not compile any more
  tests/fail/...                                     the pair must be reported by its runner
`# composition: c017` beside it names the one composition that must notice; the others are not built.
A patch that does not apply, a test that does not exist and a file that cannot be built are errors, not kills.
"""

import importlib.util
import pathlib
import re
import shutil
import sys
import tempfile

import tool


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alone(text, name):
    """The file with no other test case than the named one; whole, if its cases cannot be told apart."""
    case = re.compile(r"^(?:TEMPLATE_)?TEST_CASE\(.*?^}\n", re.MULTILINE | re.DOTALL)
    named = [found for found in case.findall(text) if f'"{name}"' in found.split("{")[0]]
    return case.sub(lambda found: found[0] if found[0] in named else "", text) if named else text


def with_one_type(text, composition, folder):
    """A file of compositions with the type of one of them."""
    script = load(folder / "compositions.py")
    values = script.Listing((folder / "compositions.txt").read_text()).compositions[composition]
    group, name = script.type_of(values)
    return text.replace(f'#include "composition/types_{group}.inc"\n', name + "\n")


def survives(toolchain, unit_core, patch):
    """The reason why a mutant is not killed; None if it is."""
    found = re.findall(r"^# kills: *(tests/\S+\.cpp)(?: *:: *(.+?))?\s*$", patch.read_text(), re.MULTILINE)
    if len(found) != 1:
        return "no single line `# kills: tests/<file>.cpp [:: <test name>]`"
    file, name = toolchain.source / found[0][0], found[0][1]
    if not file.exists():
        return f"{found[0][0]} does not exist"
    if tool.needs(file.read_text(), "libtorch"):
        return f"{found[0][0]} needs LibTorch; name a test that does not, for it builds in seconds"
    compiler = toolchain.compilers.get("clang") or toolchain.compilers["gcc"]  # clang is the quicker one

    with tempfile.TemporaryDirectory() as name_of_directory:
        directory = pathlib.Path(name_of_directory)
        shutil.copytree(toolchain.source / "include", directory / "include")
        applied = tool.run(["patch", "-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-i", patch], cwd=directory)
        if applied.returncode != 0:
            return f"the patch does not apply as it is:\n{applied.stdout}"
        flags = [compiler, "-std=c++20", "-O0", *toolchain.includes(False, directory / "include"), "-I", toolchain.source / "tests",
                 f'-DTACIT_TESTS_DIRECTORY="{toolchain.source / "tests"}"']

        kind = found[0][0].split("/")[1]
        if kind == "static":
            if tool.run([*flags[:3], *toolchain.includes(False), *flags[3:], "-fsyntax-only", file]).returncode != 0:
                return "the file does not compile before the mutation"
            result = tool.run([*flags, "-fsyntax-only", file])
            print(result.stdout)
            return "the file still compiles" if result.returncode == 0 else None
        if kind == "fail":
            runner = load(toolchain.source / "tests" / "fail" / "run.py")
            name_of_compiler = "clang" if "clang" in toolchain.compilers else "gcc"
            runner.use_precompiled = lambda *_: []  # it has the headers as they were before the mutation
            if runner.check(toolchain, name_of_compiler, file):
                return "the pair is not right before the mutation"
            mutated = toolchain
            mutated.includes = lambda torch, include=None: tool.Toolchain.includes(toolchain, torch, directory / "include")
            return None if runner.check(mutated, name_of_compiler, file) else "the pair is still right"

        if not name:
            return "no `:: <Catch2 test name or tag>`"
        text, environment = alone(file.read_text(), name), {}
        for composition in re.findall(r"^# composition: *(\S+)$", patch.read_text(), re.MULTILINE):
            text, environment = with_one_type(text, composition, file.parent), {"TACIT_COMPOSITION": composition}
        only = directory / file.name
        only.write_text(text)
        name = name.replace(",", "\\,")  # a bare comma would make two names of it
        before = tool.run([unit_core, name], environment=environment)
        if before.returncode != 0:
            return f"the test does not pass before the mutation:\n{before.stdout}"
        built = tool.run([*flags, only, *toolchain.catch2_libraries, *toolchain.core_libraries, "-o", directory / "test"])
        if built.returncode != 0:
            return ("the mutant does not compile, so no test ran (a kill by compiling is named tests/static/ or tests/fail/):\n"
                    + built.stdout)
        try:
            result = tool.run([directory / "test", name, "--abort"], timeout=20, environment=environment)
        except tool.subprocess.TimeoutExpired:
            print("the test does not end")
            return None
        print(result.stdout)
        if "No test cases matched" in result.stdout:
            return f"{found[0][0]} has no test {name}"
        return "the test still passes" if result.returncode == 0 else None


def self_test(toolchain):
    """On the version header and a test written here, so that it stays true whatever becomes of the library."""
    failures = 0
    header = (toolchain.source / "include/tacit/version.hpp").read_text().splitlines()
    line = next(i for i, text in enumerate(header) if "version_patch = " in text)
    mutated = re.sub(r"= \d+;", "= 7777;", header[line])

    def diff(kills, old):
        return (f"# kills: {kills}\n--- a/include/tacit/version.hpp\n+++ b/include/tacit/version.hpp\n@@ -{line + 1},1 +{line + 1},1 @@\n"
                f"-{old}\n+{mutated}\n")

    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name)
        for folder in ("include", "tests/fail"):
            shutil.copytree(toolchain.source / folder, source / folder)
        patch_value = re.search(r"= (\d+);", header[line]).group(1)
        for path, text in {
            "tests/static/bites.cpp": f'#include "tacit/version.hpp"\nstatic_assert(tacit::version_patch == {patch_value});\n',
            "tests/static/blind.cpp": '#include "tacit/version.hpp"\n',
            "tests/fail/bites.cpp": '// expect: TACIT-E101\n#include "tacit/version.hpp"\n#ifndef FIX\nstatic_assert('
                                    f'tacit::version_patch != {patch_value}, "TACIT-E101");\n#endif\n',
        }.items():
            (source / path).parent.mkdir(exist_ok=True)
            (source / path).write_text(text)
        toolchain.source = source
        for text, wanted in [(diff("tests/static/bites.cpp", header[line]), None),
                             (diff("tests/static/blind.cpp", header[line]), "still compiles"),
                             (diff("tests/static/none.cpp", header[line]), "does not exist"),
                             (diff("tests/static/bites.cpp", "something else"), "does not apply"),
                             ("no header\n" + diff("x", header[line]), "no single line"),
                             (diff("tests/fail/bites.cpp", header[line]), None)]:
            (source / "one.patch").write_text(text)
            fresh = tool.Toolchain(sys.argv[1])
            fresh.source = source
            reason = survives(fresh, None, source / "one.patch")
            if (wanted not in (reason or "")) if wanted else reason:
                failures += 1
                print(f"wanted {wanted!r}, got {reason!r} for\n{text}")
    print(f"self-test: {failures} failures")
    return 1 if failures else 0


def main():
    toolchain = tool.Toolchain(sys.argv[1])
    if sys.argv[2] == "--self-test":
        return self_test(toolchain)
    reason = survives(toolchain, sys.argv[2], pathlib.Path(sys.argv[3]).resolve())
    if reason:
        print(f"{sys.argv[3]}: {reason}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
