"""Shows that a test bites: `run.py TOOLCHAIN UNIT_CORE PATCH` or `run.py TOOLCHAIN --self-test`.
`run.py TOOLCHAIN --precompile` makes a precompiled header that all mutants share afterwards. It has those headers of the
killing tests that no patch changes: headers of others, and ours that include no patched header, directly or not. A mutant
takes all other headers from the copy, and its list of dependencies must name the mutated one.

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

KILLS = re.compile(r"^# kills: *(tests/\S+\.cpp)(?: *:: *(.+?))?\s*$", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


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


def patched(text):
    """The headers that a patch changes, as one includes them."""
    return set(re.findall(r"^(?:---|\+\+\+) [^/\s]+/include/(\S+)", text, re.MULTILINE))


def shared(source, patches):
    """The headers of the killing tests that no patch changes: those of others, and ours."""
    texts = [patch.read_text() for patch in patches]
    changed = set().union(*map(patched, texts))
    pending = [source / file for text in texts for file, _ in KILLS.findall(text) if (source / file).exists()]
    pending = [name for path in pending for name in INCLUDE.findall(path.read_text())]
    includes = {}
    while pending:
        name = pending.pop()
        if name not in includes:
            path = next((path for folder in ("include", "tests") if (path := source / folder / name).is_file()), None)
            includes[name] = INCLUDE.findall(path.read_text()) if path else None
            pending += includes[name] or []
    while more := {name for name, of_name in includes.items() if changed.intersection(of_name or [])} - changed:
        changed |= more
    ours = {name for name, of_name in includes.items() if of_name is not None and name.endswith(".hpp")}
    return [name for name in sorted(includes) if includes[name] is None], sorted(ours - changed)


def command_of(toolchain, compiler, *includes):
    flags = [flag for include in includes for flag in toolchain.includes(False, include)]
    return [compiler, "-std=c++20", "-O0", "-pthread", *flags, "-I", toolchain.source / "tests",
            f'-DTACIT_TESTS_DIRECTORY="{toolchain.source / "tests"}"']


def prefix_of(toolchain):
    return toolchain.binary / "mutants" / "prefix.hpp"


def precompile(toolchain):
    """By clang; without it the mutants share nothing."""
    if "clang" not in toolchain.compilers:
        return 0
    others, ours = shared(toolchain.source, tool.files(toolchain.source / "tests" / "mutants", "*.patch"))
    prefix = prefix_of(toolchain)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.write_text("".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in others)
                      + "".join(f'#include "{name}"\n' for name in ours))
    result = tool.run([*command_of(toolchain, toolchain.compilers["clang"], None), "-fpch-instantiate-templates",
                       "-x", "c++-header", prefix, "-o", prefix.with_suffix(".pch")])
    print(result.stdout)
    return result.returncode


def use_precompiled(toolchain, patch, copy):
    """Flags for a mutant, after the copy was relieved of the headers that are precompiled."""
    prefix = prefix_of(toolchain)
    if "clang" not in toolchain.compilers or not prefix.with_suffix(".pch").exists():
        return []
    names = re.findall(r'^#include "(\S+)"', prefix.read_text(), re.MULTILINE)
    if patched(patch.read_text()) & set(names):
        return []  # the patch is newer than the precompiled header
    for name in names:
        (copy / name).unlink(missing_ok=True)
    return ["-include-pch", prefix.with_suffix(".pch")]


def survives(toolchain, unit_core, patch):
    """The reason why a mutant is not killed; None if it is."""
    found = KILLS.findall(patch.read_text())
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
        flags = command_of(toolchain, compiler, directory / "include")

        kind = found[0][0].split("/")[1]
        if kind == "static":
            if tool.run([*command_of(toolchain, compiler, None), "-fsyntax-only", file]).returncode != 0:
                return "the file does not compile before the mutation"
            result = tool.run([*flags, "-fsyntax-only", file])
            print(result.stdout)
            return "the file still compiles" if result.returncode == 0 else None
        if kind == "fail":
            runner = load(toolchain.source / "tests" / "fail" / "run.py")
            name_of_compiler = "clang" if "clang" in toolchain.compilers else "gcc"
            runner.use_precompiled = lambda *_: []  # it has the headers as they were before the mutation

            def check():
                return (runner.compile_fixed(toolchain, name_of_compiler, file)
                        or runner.check(toolchain, name_of_compiler, file))

            if check():
                return "the pair is not right before the mutation"
            toolchain.includes = lambda torch, include=None: tool.Toolchain.includes(toolchain, torch, directory / "include")
            return None if check() else "the pair is still right"

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
        if precompiled := use_precompiled(toolchain, patch, directory / "include"):
            flags = [*command_of(toolchain, compiler, directory / "include", None), *precompiled]
        read = directory / "test.d"
        built = tool.run([*flags, "-MD", "-MF", read, only, *toolchain.catch2_libraries, *toolchain.core_libraries,
                          "-o", directory / "test"])
        if built.returncode != 0:
            return ("the mutant does not compile, so no test ran (a kill by compiling is named tests/static/ or tests/fail/):\n"
                    + built.stdout)
        headers = patched(patch.read_text())
        if not headers or any(str(directory / "include" / header) not in read.read_text() for header in headers):
            return f"{found[0][0]} is not compiled with the mutated {', '.join(headers) or 'header'}"
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
    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name)
        for path, text in {"include/changed.hpp": "", "include/reaches.hpp": '#include "over.hpp"\n',
                           "include/over.hpp": '#include "changed.hpp"\n#include "same.hpp"\n',
                           "include/same.hpp": "#include <vector>\n", "tests/part.inc": "", "tests/helper.hpp": "",
                           "include/unused.hpp": "",
                           "tests/a.cpp": '#include "reaches.hpp"\n#include "helper.hpp"\n#include "part.inc"\n',
                           "one.patch": "# kills: tests/a.cpp :: a\n--- a/include/changed.hpp\n+++ b/include/changed.hpp\n",
                           }.items():
            (source / path).parent.mkdir(exist_ok=True)
            (source / path).write_text(text)
        found = shared(source, [source / "one.patch"])
        if found != (["vector"], ["helper.hpp", "same.hpp"]):
            failures += 1
            print(f"precompiled would be {found}")

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
    if sys.argv[2] == "--precompile":
        return precompile(toolchain)
    reason = survives(toolchain, sys.argv[2], pathlib.Path(sys.argv[3]).resolve())
    if reason:
        print(f"{sys.argv[3]}: {reason}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
