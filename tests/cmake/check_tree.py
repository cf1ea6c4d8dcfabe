"""Rules on the source tree that no compiler checks: `check_tree.py TOOLCHAIN (CHECK|--self-test)`."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tool
from includes import LIBTORCH, Tree

LAYERS = [["core", "detail"], ["concepts"], ["events"], ["policy", "task", "data", "state", "schedule", "metric"],
          ["train"], ["callbacks", "report", "launch", "interop"]]
RANK = {folder: rank for rank, folders in enumerate(LAYERS) for folder in folders}
NO_LIBTORCH = {"state", "core", "concepts", "events", "schedule", "metric", "train", "callbacks"}
TOO_WIDE = {"torch/torch.h", "torch/all.h", "torch/nn.h", "torch/optim.h", "torch/data.h", "torch/extension.h"}
TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "include", "examples", "tests", "benchmarks", "docs"}
TEXT = {".hpp", ".cpp", ".cmake", ".in", ".txt", ".json", ".py", ".md", ".patch", ".h", ""}


def rank_of(header):
    """A header in no folder is above all folders, but for the two that everybody may include."""
    parts = header.split("/")
    if len(parts) == 2:
        return {"version.hpp": -1, "fwd.hpp": RANK["events"]}.get(parts[1], len(LAYERS))
    if header in ("tacit/launch/environment.hpp", "tacit/launch/world.hpp", "tacit/launch/devices.hpp"):  # leaves that policies read too: docs/design/folders.md
        return RANK["core"]
    return RANK.get(parts[1])


def direction(source):
    tree = Tree(source)
    problems = []
    for header in tree.headers:
        rank = rank_of(header)
        folder = header.split("/")[1]
        if rank is None:
            problems.append(f"{header}: folder {folder}/ has no place in the order")
            continue
        for name in tree.includes[header]:
            if name in TOO_WIDE:
                problems.append(f"{header}: includes <{name}>, which is too wide")
            if not name.startswith("tacit/"):
                continue
            if name not in tree.text:
                problems.append(f"{header}: includes {name}, which does not exist")
                continue
            other = rank_of(name)
            if name == "tacit/fwd.hpp":
                other = RANK["core"]
            if other is not None and other > rank:
                problems.append(f"{header}: includes {name}, which lies above it")
        if folder == "callbacks" and "tacit/train/trainer.hpp" in tree.reach(header):
            problems.append(f"{header}: reaches train/trainer.hpp; callbacks see concepts and events only")
        if folder in NO_LIBTORCH and not header.startswith("tacit/state/torch/"):
            for name in sorted(n for n in tree.reach(header) if LIBTORCH.match(n)):
                via = [h for h in [header, *tree.reach(header)] if name in tree.includes.get(h, [])]
                problems.append(f"{header}: reaches <{name}> of LibTorch through {via[0]}")
        if header in tree.reach(header):
            problems.append(f"{header}: includes itself")
    return problems + loop(tree)


def loop(tree):
    header = "tacit/train/loop.hpp"
    if header not in tree.text:
        return []
    problems = []
    lines = tree.text[header].count("\n")
    if lines > 250:
        problems.append(f"{header}: {lines} lines, at most 250 are allowed")
    if re.search(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b", tree.text[header], re.MULTILINE):
        problems.append(f"{header}: has a preprocessor conditional")
    for name in tree.includes[header]:
        if name.startswith("tacit/") and name.split("/")[1] not in ("core", "concepts", "events", "version.hpp"):
            problems.append(f"{header}: includes {name}; only core, concepts and events are allowed")
    return problems


def umbrella(source):
    """Every header is reached from tacit.hpp or named in its comment; no expensive one is reached."""
    tree = Tree(source)
    top = "tacit/tacit.hpp"
    if top not in tree.text:
        return [f"{top} does not exist"]
    named = [h for h in tree.headers if re.search(r"^\s*//.*\b" + re.escape(h), tree.text[top], re.MULTILINE)]
    reached = tree.reach(top).union(named, *(tree.reach(h) for h in named), [top])
    problems = [f"{h}: neither reached from {top} nor named in its comment" for h in tree.headers if h not in reached]
    for name in sorted(tree.reach(top)):
        if re.match(r"torch/csrc/distributed/|c10/cuda/|ATen/cuda/|cuda|nccl", name):
            problems.append(f"{top}: reaches <{name}>")
    return problems


def numbers(text, letter):
    return set(re.findall(rf"TACIT-{letter}[A-Z]?[0-9]{{2,}}\b", text))


def errors(source):
    """The numbers in the code, in docs/errors.md and in the tests are the same ones."""
    source = pathlib.Path(source)
    tree = Tree(source)
    code = "\n".join(tree.text.values())
    page = source / "docs" / "errors.md"
    docs = page.read_text() if page.exists() else ""
    pairs = {e for p in tool.files(source / "tests" / "fail", "*.cpp") for e in tool.comment(p.read_text(), "expect")}
    tests = "\n".join(p.read_text() for p in tool.files(source / "tests", "*.cpp", "*.hpp"))
    problems = []

    def same(left, left_name, right, right_name):
        problems.extend(f"{n}: in {left_name}, not in {right_name}" for n in sorted(left - right))

    compile_time, run_time = numbers(code, "E"), numbers(code, "R")
    same(compile_time, "include/", numbers(docs, "E"), "docs/errors.md")
    same(numbers(docs, "E"), "docs/errors.md", compile_time, "include/")
    same(compile_time, "include/", pairs, "any `// expect:` of tests/fail/")
    same(pairs, "tests/fail/", compile_time, "include/")
    same(run_time, "include/", numbers(docs, "R"), "docs/errors.md")
    same(numbers(docs, "R"), "docs/errors.md", run_time, "include/")
    same(run_time, "include/", numbers(tests, "R"), "any test")
    print(f"{len(compile_time)} numbers at compile time, {len(run_time)} at run time")
    return problems


def tracked(source):
    """The files that are or would be committed; without git, all but the build tree."""
    git = shutil.which("git")
    listed = git and subprocess.run([git, "-C", str(source), "ls-files", "-co", "--exclude-standard", "-z"],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if listed and listed.returncode == 0:
        paths = [source / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [p for p in source.rglob("*") if p.relative_to(source).parts[0] not in ("build", ".git")]
    return [p for p in paths if p.is_file() and "__pycache__" not in p.parts]


def style(source):
    source = pathlib.Path(source)
    problems = []
    for path in tracked(source):
        name = path.relative_to(source)
        if name.parts[0] not in TOP_LEVEL and not name.parts[0].startswith("."):
            problems.append(f"{name}: the top level holds {', '.join(sorted(TOP_LEVEL))} and dot-files only")
        if path.suffix not in TEXT or name.name == "check_tree.py":
            continue
        text = path.read_text(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"(?<![\w.$}/*-])/(root|home|work|Users|opt/libtorch|tmp)/\w", line):
                problems.append(f"{name}:{number}: a path of one machine: {line.strip()[:100]}")
            links_allowed = name.parts[0] in ("docs", "README.md", "LICENSE") or name.name == "TacitFetch.cmake"
            if not links_allowed and re.search(r"https?://", line):
                problems.append(f"{name}:{number}: names a host: {line.strip()[:100]}")
    for header, text in Tree(source).text.items():
        if not text.startswith("#pragma once") and "\n#pragma once" not in text:
            problems.append(f"{header}: no #pragma once")
        code = re.sub(r"//[^\n]*", "", text)
        for pattern, message in [(r"^\s*using namespace\b", "has `using namespace`"),
                                 (r"\bthread_local\b", "has a thread_local variable"),
                                 (r"\b(std::exit|quick_exit|_Exit)\b|(?<![\w.>:])exit\(", "may end the process")]:
            if re.search(pattern, code, re.MULTILINE):
                problems.append(f"{header}: {message}")
        # TERM belongs to a terminal as its width does: core/sink.hpp asks for both.
        if not header.startswith("tacit/launch/") and re.search(r"\bgetenv\b(?!\(\"TERM\"\))", code):
            problems.append(f"{header}: reads an environment variable; only launch/ does")
        # LibTorch's own switch of its headers.
        if header != "tacit/core/config.hpp" and re.search(r"^\s*#\s*define\b(?! USE_C10D_)", code, re.MULTILINE):
            problems.append(f"{header}: defines a macro; only core/config.hpp does")
    return problems


UNSAFE_CALL = re.compile(r"\b(torch::load\s*\(|jit::(load|import_ir_module|pickle_load|unpickle)\b|InputArchive\b|Unpickler\b)")
UNSAFE_SYMBOL = re.compile(r"torch::jit::(load|import_ir_module|pickle_load|unpickle)\(|InputArchive::load_from\(|Unpickler::")


def loading(source, *programs):
    """Archives that may run code when they are read are read nowhere: by no source and by no program that was linked."""
    source = pathlib.Path(source)
    problems = []
    for path in tool.files(source / "include", "*.hpp") + tool.files(source / "examples", "*.cpp"):
        code = re.sub(r"//[^\n]*", "", path.read_text())
        for found in UNSAFE_CALL.finditer(code):
            problems.append(f"{path.relative_to(source)}: {found.group(0)}: reads pickles or TorchScript")
    for program in programs:
        symbols = subprocess.run(["nm", "-DC", "--undefined-only", program], check=True, capture_output=True, text=True).stdout
        if "at::" not in symbols:
            problems.append(f"{program}: no symbol of LibTorch to be seen")
        problems += [f"{program}: links {line.split(maxsplit=1)[-1]}" for line in symbols.splitlines() if UNSAFE_SYMBOL.search(line)]
    return problems


CHECKS = {"loading": loading, "direction": direction, "umbrella": umbrella, "errors": errors, "style": style}

# A tree per rule, each broken in one place, with words of the report; `header` is include/tacit/<key>.
ONCE = "#pragma once\n"
SELF_TEST = [
    ("direction", {"core/a.hpp": ONCE, "events/b.hpp": ONCE + '#include "tacit/core/a.hpp"\n'}, None),
    ("direction", {"core/a.hpp": '#include "tacit/events/b.hpp"\n', "events/b.hpp": ""}, "lies above it"),
    ("direction", {"core/a.hpp": '#include "tacit/tacit.hpp"\n', "tacit.hpp": ""}, "lies above it"),
    ("direction", {"core/a.hpp": '#include "tacit/core/b.hpp"\n'}, "does not exist"),
    ("direction", {"new/a.hpp": ""}, "has no place"),
    ("direction", {"data/a.hpp": "#include <torch/torch.h>\n"}, "too wide"),
    ("direction", {"data/a.hpp": "#include <ATen/ATen.h>\n", "train/b.hpp": '#include "tacit/data/a.hpp"\n'}, "of LibTorch through"),
    ("direction", {"callbacks/a.hpp": '#include "tacit/train/trainer.hpp"\n', "train/trainer.hpp": ""}, "reaches train/trainer.hpp"),
    ("direction", {"core/a.hpp": '#include "tacit/core/b.hpp"\n', "core/b.hpp": '#include "tacit/core/a.hpp"\n'}, "includes itself"),
    ("direction", {"train/loop.hpp": "\n" * 251}, "at most 250"),
    ("direction", {"train/loop.hpp": "#ifdef X\n#endif\n"}, "conditional"),
    ("direction", {"train/loop.hpp": '#include "tacit/task/a.hpp"\n', "task/a.hpp": ""}, "only core, concepts and events"),
    ("umbrella", {"tacit.hpp": '// tacit/auto.hpp\n#include "tacit/core/a.hpp"\n', "core/a.hpp": "", "auto.hpp": ""}, None),
    ("umbrella", {"tacit.hpp": "", "core/a.hpp": ""}, "neither reached"),
    ("umbrella", {"tacit.hpp": "#include <torch/csrc/distributed/c10d/Store.hpp>\n"}, "tacit.hpp: reaches"),
    ("errors", {"a.hpp": "TACIT-EA01 TACIT-R01", "../../docs/errors.md": "TACIT-EA01 TACIT-R01",
                "../../tests/fail/a.cpp": "// expect: TACIT-EA01\n", "../../tests/unit/a.cpp": "TACIT-R01"}, None),
    ("errors", {"a.hpp": "TACIT-EA01", "../../tests/fail/a.cpp": "// expect: TACIT-EA01\n"}, "not in docs/errors.md"),
    ("errors", {"a.hpp": "", "../../docs/errors.md": "TACIT-EA01"}, "not in include/"),
    ("errors", {"a.hpp": "TACIT-EA01", "../../docs/errors.md": "TACIT-EA01"}, "not in any `// expect:`"),
    ("errors", {"a.hpp": "TACIT-R07", "../../docs/errors.md": "TACIT-R07"}, "not in any test"),
    ("loading", {"a.hpp": "// torch::load(\nauto x = fix(\"torch.load(\");"}, None),
    ("loading", {"a.hpp": "torch::load(x, path);"}, "reads pickles"),
    ("loading", {"a.hpp": "", "../../examples/a.cpp": "auto m = torch::jit::load(p);"}, "reads pickles"),
    ("style", {"a.hpp": ONCE + '/// text\n'}, None),
    ("style", {"a.hpp": ""}, "no #pragma once"),
    ("style", {"a.hpp": ONCE + "using namespace std;\n"}, "using namespace"),
    ("style", {"a.hpp": ONCE + "auto x = std::getenv(\"X\");\n"}, "environment variable"),
    ("style", {"a.hpp": ONCE + "#define X\n"}, "defines a macro"),
    ("style", {"a.hpp": ONCE + "// " + "https" + "://example.org\n"}, "names a host"),
    ("style", {"a.hpp": ONCE + "// see " + "/home" + "/me/x\n"}, "one machine"),
    ("style", {"a.hpp": ONCE, "../../stray.txt": ""}, "top level"),
]


def self_test():
    failures = 0
    for check, files, wanted in SELF_TEST:
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = (pathlib.Path(directory) / "include" / "tacit" / name).resolve()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            problems = "\n".join(CHECKS[check](pathlib.Path(directory).resolve()))
        if (wanted not in problems) if wanted else problems:
            failures += 1
            print(f"{check}: {files}: wanted {wanted!r}, got {problems!r}")
    print(f"self-test: {failures} failures in {len(SELF_TEST)} trees")
    return 1 if failures else 0


def main():
    if sys.argv[2] == "--self-test":
        return self_test()
    problems = CHECKS[sys.argv[2]](tool.Toolchain(sys.argv[1]).source, *sys.argv[3:])
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
