"""What compiling costs.

`run.py TOOLCHAIN time A B LIMIT`         A may cost LIMIT times the compile time of B
`run.py TOOLCHAIN counts COMPILER FILE [--update]`
                                          the template instantiations of FILE under -DCALLBACKS=0, 1, 4, 16 against
                                          baseline.json: 3 % more is an error. --update writes that file.
Counts repeat exactly on one compiler and one standard library, so the baseline is kept per pair of them.
"""

import json
import pathlib
import re
import resource
import sys
import tempfile

import tool

PACKS = (0, 1, 4, 16)
GROWTH = 1.03
BASELINE = pathlib.Path(__file__).with_name("baseline.json")


def seconds(toolchain, file):
    """Processor time, not wall-clock: other processes do not count."""
    compiler = toolchain.compilers.get("gcc") or toolchain.compilers["clang"]
    with tempfile.TemporaryDirectory() as directory:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = tool.run([compiler, "-std=c++20", "-O2", "-DNDEBUG", *toolchain.includes(True), "-c", file, "-o", f"{directory}/out.o"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        raise SystemExit(result.stdout)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare_times(toolchain, first, second, limit):
    """The smaller of interleaved measurements; noise only ever adds, so a second look is fair."""
    best = [float("inf"), float("inf")]
    for attempt in range(4):
        best = [min(best[0], seconds(toolchain, first)), min(best[1], seconds(toolchain, second))]
        ratio = best[0] / best[1]
        print(f"{first.name}: {best[0]:.1f} s, {second.name}: {best[1]:.1f} s, ratio {ratio:.3f}, at most {limit}")
        if ratio <= limit:
            return 0
    return 1


def library(compiler):
    result = tool.run([compiler, "-std=c++20", "-dM", "-E", "-x", "c++", "-include", "version", "/dev/null"])
    release = re.search(r"#define _GLIBCXX_RELEASE (\d+)", result.stdout)
    return f"libstdc++ {release.group(1)}" if release else "another library"


def traced(file):
    """Options by which clang writes each instantiation to the file."""
    return ["-Xclang", f"-ftime-trace={file}", "-Xclang", "-ftime-trace-granularity=0"]


def events(file):
    return sum(event["name"] in ("InstantiateClass", "InstantiateFunction")
               for event in json.loads(pathlib.Path(file).read_text())["traceEvents"])


def instantiations(toolchain, name, file):
    """By the number of callbacks. The includes are precompiled once; their instantiations count for each number."""
    with tempfile.TemporaryDirectory() as directory:
        includes = toolchain.includes(tool.needs(file.read_text(), "libtorch"))
        command = [toolchain.compilers[name], "-std=c++20", "-O0", *includes, "-I", toolchain.source / "tests"]
        included, own = f"{directory}/included.json", f"{directory}/own.json"
        command = tool.precompile(command, name, file, directory, *(traced(included) if name == "clang" else []))
        counts = {}
        for callbacks in PACKS:
            # -fstats prints how many specialisations the compiler holds at the end, those of the includes among them.
            result = tool.run([*command, f"-DCALLBACKS={callbacks}", "-fsyntax-only", file,
                               *(traced(own) if name == "clang" else ["-fstats"])])
            if result.returncode != 0:
                raise SystemExit(result.stdout)
            if name == "clang":
                counts[str(callbacks)] = events(included) + events(own)
                continue
            found = re.findall(r"^(?:decl|type)_specializations: size \d+, (\d+) elements", result.stdout, re.MULTILINE)
            if len(found) != 2:
                raise SystemExit(f"-fstats printed no counts:\n{result.stdout}")
            counts[str(callbacks)] = sum(map(int, found))
        return counts


def compare_counts(toolchain, name, file, update):
    compiler = toolchain.compilers[name]
    major = tool.run([compiler, "-dumpversion"]).stdout.split(".")[0].strip()
    key = f"{name} {major}, {library(compiler)}"
    counts = instantiations(toolchain, name, file)
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if update:
        baseline[key] = counts
        BASELINE.write_text(json.dumps(dict(sorted(baseline.items())), indent=2) + "\n")
    if key not in baseline:
        print(f"{key}: {counts}\nSKIPPED: baseline.json has no counts for {key}; `--update` writes them")
        return tool.SKIP
    failures = 0
    for pack, count in counts.items():
        old = baseline[key][pack]
        failures += count > old * GROWTH
        print(f"{key}, {pack} callbacks: {count} instantiations, baseline {old} ({count / old - 1:+.1%})"
              + (": TOO MANY" if count > old * GROWTH else ""))
    return 1 if failures else 0


def main():
    toolchain = tool.Toolchain(sys.argv[1])
    if sys.argv[2] == "time":
        return compare_times(toolchain, pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4]), float(sys.argv[5]))
    return compare_counts(toolchain, sys.argv[3], pathlib.Path(sys.argv[4]), "--update" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
