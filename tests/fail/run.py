"""Checks pairs; `run.py TOOLCHAIN --self-test` checks the runner.

`run.py TOOLCHAIN (gcc|clang) FILE`: without -DFIX the compiler must fail, the first line with `error:` must carry the
number of the line `// expect: TACIT-E...`, and the whole output must stay within 20 lines (`// max-lines: N` lowers
that). Quoted source lines are not counted: they repeat what the user wrote. Where the compiler's own words must do,
`// expect-text: words` stands in place of a number.

`run.py TOOLCHAIN (gcc|clang) --fixed DIRECTORY`: under -DFIX the files of the directory must compile without a warning.
They do so as one translation unit, each in a namespace of its own after the includes of all, for their headers and
trainers are much the same. Those that need LibTorch, open a named namespace or specialise a template are compiled alone.
One compiler is asked, clang where it is there, for it is twice as quick.

`run.py TOOLCHAIN (gcc|clang) --precompile` makes a precompiled header that all files without LibTorch share afterwards,
and by clang a second one for files that save or load; what needs LibTorch takes the one that the build has made. They
change no message but the lines that say by which header a header was included.
"""

import pathlib
import re
import sys
import tempfile

import tool

LIMIT = 20
PLAIN = {"gcc": ["-fno-diagnostics-show-caret", "-fdiagnostics-color=never", "-fmax-errors=0"],
         "clang": ["-fno-caret-diagnostics", "-fno-color-diagnostics", "-ferror-limit=0"]}
# By clang alone the second is worth its price: five files share it, and g++ needs 17 s to make it.
COMMON = ["fake/tensor.hpp", "tacit/train/trainer.hpp"]
PRECOMPILED = {"prefix": COMMON, "state": [*COMMON, "tacit/state/state.hpp", "tacit/state/weights.hpp"]}


def command_of(toolchain, compiler, torch):
    return [toolchain.compilers[compiler], "-std=c++20", "-Wall", *PLAIN[compiler], *toolchain.includes(torch),
            "-I", toolchain.source / "tests"]


def prefix_of(toolchain, compiler, name):
    return toolchain.binary / "fail" / compiler / f"{name}.hpp"


def precompile(toolchain, compiler):
    for name in PRECOMPILED if compiler == "clang" else ["prefix"]:
        prefix = prefix_of(toolchain, compiler, name)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        prefix.write_text("".join(f'#include "{header}"\n' for header in PRECOMPILED[name]))
        options = ["-fpch-instantiate-templates"] if compiler == "clang" else []
        result = tool.run([*command_of(toolchain, compiler, False), *options, "-x", "c++-header", prefix,
                           "-o", prefix.with_suffix(".hpp.gch" if compiler == "gcc" else ".pch")])
        print(result.stdout)
        if result.returncode != 0:
            return result.returncode
    return 0


def use_precompiled(toolchain, compiler, text):
    if tool.needs(text, "libtorch"):
        prefix = toolchain.binary / "clang" / "torch.pch"
        return ["-include-pch", prefix, "-fclang-abi-compat=17"] if compiler == "clang" and prefix.exists() else []
    state = compiler == "clang" and re.search(r'^#include "tacit/state/(state|weights)\.hpp"', text, re.MULTILINE)
    prefix = prefix_of(toolchain, compiler, "state" if state else "prefix")
    if compiler == "gcc":
        return ["-include", prefix] if prefix.with_suffix(".hpp.gch").exists() else []
    return ["-include-pch", prefix.with_suffix(".pch")] if prefix.with_suffix(".pch").exists() else []


def compile_fixed(toolchain, compiler, path, *options):
    """What is wrong with the file under -DFIX; an empty list if nothing is."""
    text = path.read_text()
    command = [*command_of(toolchain, compiler, tool.needs(text, "libtorch")), "-fsyntax-only"]
    result = tool.run([*command, *use_precompiled(toolchain, compiler, text), *options, "-DFIX", path])
    if result.returncode != 0:
        return ["does not compile with -DFIX:\n" + result.stdout]
    return ["compiles with -DFIX, but not silently:\n" + result.stdout] if result.stdout.strip() else []


def is_compiled_alone(text):
    return tool.needs(text, "libtorch") or re.search(r"^(namespace [\w:]+ \{|template <>)", text, re.MULTILINE)


def check_fixed(toolchain, compiler, directory):
    """The problems of all pairs of a directory under -DFIX."""
    texts = {path: path.read_text() for path in tool.files(directory, "*.cpp")}
    if not texts:
        return [f"{directory} has no pairs"]
    if not toolchain.torch_includes:
        texts = {path: text for path, text in texts.items() if not tool.needs(text, "libtorch")}
    alone = [path for path, text in texts.items() if is_compiled_alone(text)]
    problems = [f"{path}: {problem}" for path in alone for problem in compile_fixed(toolchain, compiler, path)]
    together = {path: text for path, text in texts.items() if path not in alone}
    lines = sorted({line for text in together.values() for line in re.findall(r"^#include .*$", text, re.MULTILINE)})
    for number, (path, text) in enumerate(together.items()):
        # In a namespace `main` is a function like others, which returns what it says.
        text = re.sub(r"^int main\(", "auto main(", text, flags=re.MULTILINE)
        lines += [f"namespace pair_{number} {{", f'#line 1 "{path}"', text, "}"]
    # Behind #line g++ takes a file for a header and its unnamed namespaces for ones that others see.
    options = ["-Wno-subobject-linkage"] if compiler == "gcc" else []
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch, "together.cpp")
        file.write_text("\n".join(lines) + "\n")
        problems += compile_fixed(toolchain, compiler, file, *options)
    return problems


def check(toolchain, compiler, path):
    """The problems of a pair without -DFIX; none if it is right."""
    text = path.read_text()
    expected = tool.comment(text, "expect")
    words = tool.comment(text, "expect-text")
    if len(expected) + len(words) != 1 or not all(re.fullmatch(r"TACIT-E\w*\d{2}", number) for number in expected):
        return ["no single line `// expect: TACIT-E<area><nn>`"]
    wanted = (expected + words)[0]
    pattern = re.escape(wanted) + (r"(?!\w)" if expected else "")
    if "FIX" not in text:
        return ["nothing depends on FIX, so this is no pair"]
    limits = [int(n) for n in tool.comment(text, "max-lines")]
    limit = min(limits + [LIMIT])
    torch = tool.needs(text, "libtorch")
    command = [*command_of(toolchain, compiler, torch), "-fsyntax-only", *use_precompiled(toolchain, compiler, text)]
    problems = []
    broken = tool.run([*command, path])
    lines = [line for line in broken.stdout.splitlines() if line.strip()]
    first = next((line for line in lines if "error:" in line), None)
    if broken.returncode == 0:
        problems.append("compiles without -DFIX")
    elif first is None:
        problems.append("fails without a line with `error:`:\n" + broken.stdout)
    elif not re.search(pattern, first):
        problems.append(f"the first error does not carry {wanted}:\n" + broken.stdout)
    if broken.returncode != 0 and len(lines) > limit:
        problems.append(f"{len(lines)} lines of output, at most {limit} are allowed:\n" + broken.stdout)
    if not problems:
        print(f"{wanted}, {len(lines)} lines:\n{first}")
    return problems


# Each must be reported with these words; those with None are pairs as they should be.
SELF_TEST = {
    "empty": ("", "no single line"),
    "nonsense": ("// expect: TACIT-E101\n#ifdef FIX\n#endif\nthis is not C++\n", "does not compile with -DFIX"),
    "no_fix": ("// expect: TACIT-E101\nstatic_assert(false, \"TACIT-E101\");\n", "nothing depends on FIX"),
    "compiles": ("// expect: TACIT-E101\n#ifdef FIX\n#endif\nint main() {}\n", "compiles without -DFIX"),
    "other_number": ("// expect: TACIT-E101\n#ifndef FIX\nstatic_assert(false, \"TACIT-E1011\");\n#endif\n",
                     "does not carry TACIT-E101"),
    "not_first": ("// expect: TACIT-E101\n#ifndef FIX\nint x = y;\nstatic_assert(false, \"TACIT-E101\");\n#endif\n",
                  "does not carry TACIT-E101"),
    "warning": ("// expect: TACIT-E101\n#ifndef FIX\nstatic_assert(false, \"TACIT-E101\");\n#endif\nint f() { int unused; return 0; }\n",
                "not silently"),
    "long": ("// expect: TACIT-E101\n#ifndef FIX\nstatic_assert(false, \"TACIT-E101\");\n"
             + "".join(f"static_assert(false, \"{i}\");\n" for i in range(20)) + "#endif\n", "21 lines of output"),
    "lower_limit": ("// expect: TACIT-E101\n// max-lines: 1\n#ifndef FIX\nstatic_assert(false, \"TACIT-E101\");\n"
                    "static_assert(false, \"two\");\n#endif\n", "at most 1"),
    "other_words": ("// expect-text: no such words\n#ifndef FIX\nint x = y;\n#endif\n", "does not carry no such words"),
    "number_and_words": ("// expect: TACIT-E101\n// expect-text: y\n#ifndef FIX\nint x = y;\n#endif\n", "no single line"),
    "words": ("// expect-text: 'y'\n#ifndef FIX\nint x = y;\n#endif\n", None),
    "right": ("// expect: TACIT-E101\n#ifndef FIX\nstatic_assert(false, \"[TACIT-E101] text\");\n#endif\n", None),
}


def self_test(toolchain):
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        for compiler in toolchain.compilers:
            for name, (text, wanted) in SELF_TEST.items():
                path = pathlib.Path(directory) / f"{name}.cpp"
                path.write_text(text)
                problems = "\n".join([*compile_fixed(toolchain, compiler, path), *check(toolchain, compiler, path)])
                if (wanted not in problems) if wanted else problems:
                    failures += 1
                    print(f"{compiler}: {name}: wanted {wanted!r}, got {problems!r}")
        for path in pathlib.Path(directory).glob("*.cpp"):
            if path.stem not in ("right", "words"):
                path.unlink()
        nonsense = pathlib.Path(directory, "nonsense.cpp")
        for compiler in toolchain.compilers:
            for text in ("int x = y;\n", "namespace tacit {\nint x = y;\n}\n"):  # one among others, one alone
                nonsense.write_text("#ifdef FIX\n" + text + "#endif\n")
                problems = check_fixed(toolchain, compiler, directory)
                if len(problems) != 1 or not re.search(r"nonsense.cpp:[23]:", problems[0]) or "right.cpp" in problems[0]:
                    failures += 1
                    print(f"{compiler}: --fixed: wanted nonsense.cpp alone, got {problems!r}")
            nonsense.unlink()
            if problems := check_fixed(toolchain, compiler, directory):
                failures += 1
                print(f"{compiler}: --fixed: wanted nothing, got {problems!r}")
    print(f"self-test: {failures} failures")
    return 1 if failures else 0


def main():
    toolchain = tool.Toolchain(sys.argv[1])
    if sys.argv[2] == "--self-test":
        return self_test(toolchain)
    if sys.argv[3] == "--precompile":
        return precompile(toolchain, sys.argv[2])
    if sys.argv[3] == "--fixed":
        problems = check_fixed(toolchain, sys.argv[2], pathlib.Path(sys.argv[4]))
    else:
        problems = [f"{sys.argv[3]}: {problem}" for problem in check(toolchain, sys.argv[2], pathlib.Path(sys.argv[3]))]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
