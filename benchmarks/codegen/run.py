"""What the compiler makes of a step: `run.py TOOLCHAIN COMPILER FILE`.

FILE is compiled with -O2 and -DCALLBACKS=0, 1, 4, 16 (callbacks that handle nothing in a step). In each object
- no class but exceptions has a vtable of ours;
- no function of the loop or the loader calls through a pointer, except in handlers of exceptions (`what()` is virtual in
  std). Set-up and tear-down, and what switches modules to a mode and back, are not looked at: a compiler may put the virtual calls of std::shared_ptr there; nor is what
  starts and asks worker threads, for std::thread and std::function call through pointers;
- the functions of STEP have the same size for every pack.
Then FILE is compiled with -DVIRTUAL, where a callback calls a virtual function: both of the first two must be noticed.
"""

import pathlib
import re
import shutil
import sys
import tempfile

import tool

PACKS = (0, 1, 4, 16)
STEP = r"tacit::v0::detail::(?:train_run|Updater)<"
LOOP = r"(?:[\w:<>(), &*]*? )?tacit::v0::(?:detail::|data::Loader<)"
# libraries' own, and the exceptions, which derive from std::exception
OTHERS = r"(?:std|__gnu_cxx|__cxxabiv1)::|tacit::v0::\w*Error$"


def output(command):
    result = tool.run(command)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{result.stdout}")
    return result.stdout


def vtables(symbols):
    """Those defined in the object, not merely used by it."""
    found = re.findall(r"^[0-9a-f]+ (?:[0-9a-f]+ )?[^U\s] vtable for (.*)$", symbols, re.MULTILINE)
    return [name for name in found if not re.match(OTHERS, name)]


def name_of(function):
    """Without its template arguments."""
    text, depth = "", 0
    for sign in function:
        depth += (sign == "<") - (sign == ">")
        text += sign if depth == 0 else ""
    return text


def indirect_calls(disassembly):
    """Calls and jumps through a register or memory in functions of LOOP, outside handlers of exceptions."""
    found, function, cold, last_call = [], None, False, ""
    for line in disassembly.splitlines():
        if section := re.match(r"Disassembly of section (\S+):", line):
            cold = section.group(1).startswith(".text.unlikely")
        elif start := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            function, last_call = start.group(1), ""
        elif relocation := re.match(r"\s+[0-9a-f]+: R_\S+\s+(\S+)", line):
            if last_call == "direct":
                last_call = relocation.group(1)
        elif instruction := re.match(r"\s+[0-9a-f]+:\s+(?:(?:notrack|bnd) )?(call|jmp)q?\s+(\*?)", line):
            if not instruction.group(2):
                last_call = "direct" if instruction.group(1) == "call" else last_call
                continue
            ours = function and re.match(LOOP, function) and not re.search("worker|ModeScope|ModuleModes", name_of(function))
            # A jump by a table is a `switch`: its operand is scaled by the entry's size, or preceded by notrack.
            table = instruction.group(1) == "jmp" and ("notrack" in line or re.search(r",8\)", line))
            if ours and not cold and not table and not last_call.startswith("__cxa_begin_catch"):
                found.append(f"{function[:120]}: {line.strip()}")
    return found


def step_size(symbols):
    sizes = re.findall(rf"^[0-9a-f]+ ([0-9a-f]+) [tTwW] (?:\w+ )?{STEP}", symbols, re.MULTILINE)
    return sum(int(size, 16) for size in sizes)


def look(command, file, directory, *defines):
    object_file = pathlib.Path(directory, "step.o")
    output([*command, *defines, "-c", file, "-o", object_file])
    symbols = output(["nm", "-S", "-C", object_file])
    disassembly = output(["objdump", "-d", "-r", "-C", "--no-show-raw-insn", object_file])
    if not re.search(r"tacit::v0::", disassembly):
        raise SystemExit("the object has no function of tacit, nothing was looked at")
    return vtables(symbols), indirect_calls(disassembly), step_size(symbols)


def check(command, file, directory):
    failures = 0
    sizes = {}
    for callbacks in PACKS:
        tables, calls, sizes[callbacks] = look(command, file, directory, f"-DCALLBACKS={callbacks}")
        for what in [f"a vtable for {table}" for table in tables] + [f"an indirect call in {call}" for call in calls]:
            print(f"{callbacks} callbacks: {what}")
            failures += 1
    print(f"bytes of the step's functions by number of idle callbacks: {sizes}")
    if 0 in sizes.values() or len(set(sizes.values())) != 1:
        print("the step's functions are not found, or idle callbacks change their size")
        failures += 1
    tables, calls, _ = look(command, file, directory, "-DCALLBACKS=0", "-DVIRTUAL")
    print(f"self-test, virtual callback: {len(tables)} vtables, {len(calls)} indirect calls are noticed")
    if not tables or not calls:
        print("the virtual callback is not noticed: this check is blind")
        failures += 1
    return 1 if failures else 0


def main():
    toolchain, name, file = tool.Toolchain(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    if not shutil.which("objdump") or not shutil.which("nm"):
        print("SKIPPED: no objdump or nm (apt: binutils)")
        return tool.SKIP
    with tempfile.TemporaryDirectory() as directory:
        command = [toolchain.compilers[name], "-std=c++20", "-O2", "-DNDEBUG", *toolchain.includes(False),
                   "-I", toolchain.source / "tests"]
        return check(tool.precompile(command, name, file, directory), file, directory)


if __name__ == "__main__":
    sys.exit(main())
