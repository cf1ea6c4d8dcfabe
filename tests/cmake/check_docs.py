"""Code and tables in the guide pages are those of the source: `check_docs.py TOOLCHAIN (--update|--self-test)?`.

- A ```cpp block of README.md and docs/*.md follows a line `<!-- code: examples/x.cpp name -->` and holds the text between
  `// [name]` and `// [/name]` of that file, which the tests compile. docs/errors.md is left out: it shows code that must
  not compile, and tests/fail/ has it. A ```text block may have such a line too, for output that a program compares.
- Between `<!-- table: events -->` and `<!-- /table -->` stands what include/tacit/events/ says, likewise `contexts` and `context`.
- Links to other files lead somewhere.
- docs/from-python.md has a row for each box of the checklist, in order; each names a file that is there, or is open.

--update writes blocks and tables into the pages.
"""

import pathlib
import re
import sys
import tempfile
import textwrap

import tool

EVENTS = "include/tacit/events/events.hpp"
CONTEXT = "include/tacit/events/context.hpp"
PARTS = [("batch", "`batch()`"), ("output", "`output()`, `loss()`"), ("mask", "`mask_update()`"), ("gradients", "`gradient_norm()`, `update_mask()`"),
         ("record", "`record()`"), ("latest", "`latest()`"), ("evaluate", "`evaluate()`"), ("parameters", "`change_parameters()`"),
         ("emit", "`emit()`")]
BLOCK = re.compile(r"(?:^<!-- code: (?P<file>\S+) (?P<name>\S+) -->\n)?^```(?P<kind>cpp|text)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^<!-- table: (?P<name>\w+) -->\n(?P<text>.*?)^<!-- /table -->$", re.MULTILINE | re.DOTALL)


class Problem(Exception):
    pass


def snippet(source, file, name):
    path = source / file
    if not path.is_file():
        raise Problem(f"there is no {file}")
    found = re.findall(rf"^ *// \[{re.escape(name)}\]\n(.*?)^ *// \[/{re.escape(name)}\]$", path.read_text(), re.MULTILINE | re.DOTALL)
    if len(found) != 1:
        raise Problem(f"{file} has {len(found)} parts between // [{name}] and // [/{name}], wanted: 1")
    lines = [line for line in found[0].splitlines() if not re.fullmatch(r" *// \[/?[\w-]+\]", line)]
    return textwrap.dedent("\n".join(lines)).strip("\n") + "\n"


def read_events(source):
    """(name, comment, fields) of every event, in the order of events.hpp."""
    text = (source / EVENTS).read_text()
    body = text[text.index("namespace event {"):text.index("/// Every event that the library fires")]
    events = []
    for comment, declared, members in re.findall(r"((?:^ *///[^\n]*\n)+)(?:^template <[^\n]*>\n)?(?:^  requires[^\n]*\n)?^struct (\w+)(?: : \w+)? \{(.*?)\};$", body,
                                                 re.MULTILINE | re.DOTALL):
        # `Of` is an event within another one and has no row.
        if declared == "Of":
            continue
        words = " ".join(re.sub(r"^ *///\s?", "", line) for line in comment.splitlines())
        fields = re.findall(r"^\s*([\w:]+) (\w+);(?: *///< *(.*))?$", members, re.MULTILINE)
        events.append((declared + ("<Phase>" if declared == "Aborted" else ""), words, fields))
    return events


def read_parts(source):
    text = (source / EVENTS).read_text()
    found = re.findall(r"inline constexpr unsigned event_parts<event::(\w+(?:<Phase>)?)> =\s*([^;]*);", text)
    parts = {name: set(re.findall(r"part::(\w+)", value)) for name, value in found}
    default = set(re.findall(r"part::(\w+)", re.search(r"inline constexpr unsigned event_parts = ([^;]*);", text).group(1)))
    return lambda name: parts.get(name, default)


def events_table(source):
    rows = ["| Event | When it fires, what holds | Fields |", "| --- | --- | --- |"]
    for name, comment, fields in read_events(source):
        cells = [f"`{field}`" + (f" ({note})" if note else "") for _, field, note in fields]
        rows.append(f"| `{name}` | {comment} | {', '.join(cells) or '-'} |")
    return "\n".join(rows) + "\n"


def contexts_table(source):
    parts_of = read_parts(source)
    used = set().union(*(parts_of(name) for name, _, _ in read_events(source))) - {"none"}
    if used != {part for part, _ in PARTS}:
        raise Problem(f"the parts of contexts are {sorted(used)}, {pathlib.Path(__file__).name} knows {[p for p, _ in PARTS]}")
    rows = ["| Event | " + " | ".join(title for _, title in PARTS) + " |", "| --- |" + " :-: |" * len(PARTS)]
    for name, _, _ in read_events(source):
        rows.append(f"| `{name}` | " + " | ".join("x" if part in parts_of(name) else "" for part, _ in PARTS) + " |")
    return "\n".join(rows) + "\n"


def context_table(source):
    """What every context has: the public functions of context_base."""
    text = (source / CONTEXT).read_text()
    body = text[text.index("class context_base {"):]
    body = body[:body.index(" protected:")]
    functions = re.findall(r"((?:^ *///[^\n]*\n)*)^  (?:typename core_type::)?(\w+)(?: const&| const\*)? (\w+)\(([^)]*)\) const \{", body, re.MULTILINE)
    rows = ["| Member | |", "| --- | --- |"]
    for comment, returned, name, parameters in functions:
        words = " ".join(re.sub(r"^ *///\s?", "", line) for line in comment.splitlines())
        what = words or {"Progress": "Epoch, step and counts so far.", "RunPlan": "What the run is going to do.",
                         "history_type": "Everything recorded in the trainer's training runs.", "Sink": "Where text goes.",
                         "int": "Of the processes that train together."}[returned]
        rows.append(f"| `{name}({'reason' if parameters else ''})` | {what} |")
    return "\n".join(rows) + "\n"


TABLES = {"events": events_table, "contexts": contexts_table, "context": context_table}


def renewed(source, text, problems):
    def code(match):
        if match["file"] is None and match["kind"] == "text":
            return match[0]
        if match["file"] is None:
            problems.append("a ```cpp block has no line `<!-- code: examples/x.cpp name -->` before it:\n" + match["text"])
            return match[0]
        try:
            return f"<!-- code: {match['file']} {match['name']} -->\n```{match['kind']}\n{snippet(source, match['file'], match['name'])}```"
        except Problem as problem:
            problems.append(str(problem))
            return match[0]

    def table(match):
        try:
            if match["name"] not in TABLES:
                raise Problem(f"there is no table {match['name']}")
            return f"<!-- table: {match['name']} -->\n{TABLES[match['name']](source)}<!-- /table -->"
        except (Problem, OSError, ValueError, KeyError) as problem:
            problems.append(str(problem))
            return match[0]

    return TABLE.sub(table, BLOCK.sub(code, text))


def check_links(source, page, text):
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if not re.match(r"\w+:", target) and not (page.parent / target).exists():
            yield f"the link to {target} leads nowhere"


# How many boxes the checklist of the Python library has in each section.
BOXES = {"A": 7, "B": 4, "C": 9, "D": 5, "E": 5, "F": 4, "G": 4, "H": 3, "I": 14, "J": 7, "K": 4, "L": 3, "M": 2, "N": 5, "O": 1, "P": 6}


def check_boxes(source, text):
    rows = re.findall(r"^\| ([A-Z]\d+) \| (.*) \| (.*) \| (.*?) ?\|$", text, re.MULTILINE)
    wanted = [f"{section}{n + 1}" for section, count in BOXES.items() for n in range(count)]
    if [row[0] for row in rows] != wanted:
        yield f"the boxes are {' '.join(row[0] for row in rows)}, wanted: {' '.join(wanted)}"
    for box, _, here, shown in rows:
        files = re.findall(r"`([^`]+)`", shown)
        if not files and not re.search(r"\bopen\b", here):
            yield f"{box} names no file that shows it, and is not open"
        for file in files:
            if not (source / file).exists():
                yield f"{box}: there is no {file}"


def pages(source):
    found = [source / "README.md"] if (source / "README.md").exists() else []
    return found + [page for page in tool.files(source / "docs", "*.md") if page.parent.name == "docs"]


def check(source, update):
    result = []
    blocks = 0
    for page in pages(source):
        text = page.read_text()
        problems = []
        if page.name != "errors.md":
            blocks += len(BLOCK.findall(text))
            new = renewed(source, text, problems)
            if new != text and update:
                page.write_text(new)
            elif new != text:
                was, now = next((a, b) for a, b in zip(text.splitlines() + [""], new.splitlines() + [""]) if a != b)
                problems.append(f"differs from the source (tests/cmake/check_docs.py TOOLCHAIN --update renews it):\n  page   {was}\n  source {now}")
        problems += check_links(source, page, text)
        if page.name == "from-python.md":
            problems += check_boxes(source, text)
        result += [f"{page.relative_to(source)}: {problem}" for problem in problems]
    print(f"{blocks} blocks of code in {len(pages(source))} pages")
    return result


GOOD = "<!-- code: examples/a.cpp part -->\n```cpp\nint x;\n```\n"
EXAMPLE = "// [part]\n  int x;\n// [/part]\n"
HEADER = ("namespace event {\n/// Once.\nstruct A {};\n/// Twice.\nstruct B {\n  int n;  ///< count\n};\n/// Every event that the library fires\n"
          "inline constexpr unsigned event_parts = part::latest;\n"
          "inline constexpr unsigned event_parts<event::B> = " + " | ".join(f"part::{p}" for p, _ in PARTS) + ";\n")
EVENT_ROWS = ("<!-- table: events -->\n| Event | When it fires, what holds | Fields |\n| --- | --- | --- |\n| `A` | Once. | - |\n"
              "| `B` | Twice. | `n` (count) |\n<!-- /table -->\n")
BOX_ROWS = "".join(f"| {section}{n + 1} | there | here, or open | |\n" for section, count in BOXES.items() for n in range(count))
SELF_TEST = [
    ({"docs/from-python.md": BOX_ROWS}, None),
    ({"docs/from-python.md": BOX_ROWS.replace("| A2 ", "| A3 ")}, "the boxes are A1 A3"),
    ({"docs/from-python.md": BOX_ROWS.replace("here, or open | |", "here | |", 1)}, "A1 names no file"),
    ({"docs/from-python.md": BOX_ROWS.replace("here, or open | |", "here | `tests/a.cpp` |", 1)}, "there is no tests/a.cpp"),
    ({"docs/a.md": GOOD, "examples/a.cpp": EXAMPLE}, None),
    ({"README.md": GOOD, "examples/a.cpp": EXAMPLE.replace("x", "y")}, "differs"),
    ({"docs/a.md": GOOD.split("\n", 1)[1], "examples/a.cpp": EXAMPLE}, "has no line"),
    ({"docs/a.md": GOOD}, "there is no examples/a.cpp"),
    ({"docs/a.md": GOOD, "examples/a.cpp": "int x;\n"}, "has 0 parts"),
    ({"docs/a.md": GOOD, "examples/a.cpp": EXAMPLE * 2}, "has 2 parts"),
    ({"docs/a.md": "```text\nint x;\n```\n"}, None),
    ({"docs/a.md": GOOD.replace("cpp\n", "text\n"), "examples/a.cpp": EXAMPLE.replace("x", "y")}, "differs"),
    ({"docs/errors.md": "```cpp\nint x\n```\n"}, None),
    ({"docs/a.md": "[b](b.md)\n"}, "leads nowhere"),
    ({"docs/a.md": "`[](auto&) {}`\n"}, None),
    ({"docs/a.md": "[b](b.md#c) [d](https" + "://example.org)\n", "docs/b.md": ""}, None),
    ({"docs/a.md": EVENT_ROWS, EVENTS: HEADER}, None),
    ({"docs/a.md": EVENT_ROWS.replace("Twice", "Never"), EVENTS: HEADER}, "differs"),
    ({"docs/a.md": "<!-- table: contexts -->\n<!-- /table -->\n", EVENTS: HEADER.replace("part::emit", "part::other")}, "the parts of contexts"),
]


def self_test():
    failures = 0
    for files, wanted in SELF_TEST:
        with tempfile.TemporaryDirectory() as directory:
            source = pathlib.Path(directory)
            for name, text in files.items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_text(text)
            problems = "\n".join(check(source, False))
            if wanted == "differs":
                check(source, True)
                problems = problems if not check(source, False) else "--update did not help"
        if (wanted not in problems) if wanted else problems:
            failures += 1
            print(f"{files}: wanted {wanted!r}, got {problems!r}")
    print(f"self-test: {failures} failures in {len(SELF_TEST)} trees")
    return 1 if failures else 0


def main():
    if "--self-test" in sys.argv[2:]:
        return self_test()
    problems = check(tool.Toolchain(sys.argv[1]).source, "--update" in sys.argv[2:])
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
