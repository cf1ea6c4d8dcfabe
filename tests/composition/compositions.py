"""Proves what `compositions.txt` claims; `--write` makes its compositions and the lists of types anew.

Every pair of values of two dimensions occurs in a composition or is named as impossible, with its reason, and no
impossible one occurs; every triple of the dimensions named by `triples` occurs unless it has such a pair, and what
`also` asks for; every composition has its type; every part that is shipped is in the list or tested elsewhere by name.
"""

import itertools
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
LIST = HERE / "compositions.txt"
PARTS = HERE.parent.parent / "include" / "tacit"
# What the compiler must know; the rest is chosen at run time.
TYPE_DIMENSIONS = ["form", "phases", "weights", "source", "world", "skip", "averaging", "memory", "watch", "precision",
                   "optimizer", "schedule"]
LEAST = 120


class Listing:
    def __init__(self, text):
        self.dimensions, self.impossible, self.parts, self.elsewhere, self.compositions = {}, {}, {}, {}, {}
        self.triples, self.also = [], []
        self.problems = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or line.startswith("#"):
                continue
            kind, rest = words[0], line.split(None, 1)[1]
            if kind == "dimension":
                name, values = rest.split(":")
                self.dimensions[name] = values.split()
            elif kind == "triples":
                self.triples.append(tuple(rest.split()))
            elif kind == "also":
                self.also.append(frozenset(tuple(word.split("=")) for word in rest.split()))
            elif kind == "impossible":
                pair, _, reason = rest.partition(": ")
                (a, of_a), (b, of_b) = (word.split("=") for word in pair.split())
                if not reason:
                    self.problems.append(f"line {number}: an impossible pair without a reason")
                for x, y in itertools.product(of_a.split(","), of_b.split(",")):
                    if x not in self.dimensions.get(a, []) or y not in self.dimensions.get(b, []):
                        self.problems.append(f"line {number}: there is no {a}={x} or no {b}={y}")
                    self.impossible[frozenset({(a, x), (b, y)})] = reason
            elif kind in ("part", "elsewhere"):
                name, _, reason = rest.partition(": ")
                (self.parts if kind == "part" else self.elsewhere)[name] = reason
                if not reason:
                    self.problems.append(f"line {number}: {name} without a place or a reason")
            elif kind == "composition":
                name, *values = rest.split()
                if len(values) != len(self.dimensions) or name in self.compositions:
                    self.problems.append(f"line {number}: not a value for each dimension, or a name twice")
                self.compositions[name] = dict(zip(self.dimensions, values))
            else:
                self.problems.append(f"line {number}: what is '{kind}'?")

    def all_pairs(self):
        """Pairs, and what is asked for besides, without what is impossible."""
        yield from self.also
        for names in [*itertools.combinations(self.dimensions, 2), *self.triples]:
            for values in itertools.product(*(self.dimensions[name] for name in names)):
                one = frozenset(zip(names, values))
                if not any(frozenset(pair) in self.impossible for pair in itertools.combinations(one, 2)):
                    yield one

    def pairs(self, values):
        triples = {frozenset((name, values[name]) for name in names) for names in self.triples
                   if all(name in values for name in names)}
        also = {one for one in self.also if one <= values.items()}
        return {frozenset(pair) for pair in itertools.combinations(values.items(), 2)} | triples | also


def type_of(values):
    """The template arguments of a composition's type, and the file that has it."""
    flag = lambda yes: "true" if yes else "false"
    arguments = [
        f"composition::Form::{values['form']}", values["phases"], flag(values["weights"] != "rows"),
        f"composition::Source::{values['source']}", flag(values["world"] != "process"), flag(values["skip"] == "yes"),
        f"composition::Averaging::{values['averaging']}", flag(values["memory"] == "halved"),
        flag(values["watch"] != "no"), flag(values["precision"] == "scaled"),
        flag(values["optimizer"] != "not_maskable"), flag(values["schedule"] == "lr")]
    group = values["form"] + (values["phases"] if values["form"] == "phases" else "")
    return group, f"composition::Type<{', '.join(arguments)}>"


def type_lists(compositions):
    groups = {}
    for values in compositions.values():
        group, name = type_of(values)
        groups.setdefault(group, set()).add(name)
    return {group: ",\n".join(sorted(types)) + "\n" for group, types in groups.items()}


def check(listing):
    problems = list(listing.problems)
    covered = set()
    for name, values in listing.compositions.items():
        for dimension, value in values.items():
            if value not in listing.dimensions[dimension]:
                problems.append(f"{name}: {dimension} has no value {value}")
        pairs = listing.pairs(values)
        covered |= pairs
        for pair in pairs & listing.impossible.keys():
            problems.append(f"{name} has the impossible pair {sorted(pair)}")
    wanted = set(listing.all_pairs())
    for pair in sorted(sorted(pair) for pair in wanted - covered):
        problems.append("no composition has " + " and ".join(f"{a}={x}" for a, x in pair))
    if len(listing.compositions) < LEAST:
        problems.append(f"{len(listing.compositions)} compositions, fewer than {LEAST}")
    for group, types in type_lists(listing.compositions).items():
        file = HERE / f"types_{group}.inc"
        if not file.exists() or file.read_text() != types:
            problems.append(f"{file.name} is not what the list says: compositions.py --write")

    folders = ("callbacks", "policy", "task", "schedule")
    names = {str(path.relative_to(PARTS)) for folder in folders for path in (PARTS / folder).rglob("*.hpp")}
    for name in sorted(names - listing.parts.keys() - listing.elsewhere.keys()):
        problems.append(f"{name} is shipped and in no composition: give it a value of a dimension (`part`), "
                        "or say where it is tested (`elsewhere`)")
    for name in sorted((listing.parts.keys() | listing.elsewhere.keys()) - names):
        if not (PARTS / name).exists():
            problems.append(f"{name} is listed and not shipped")
    for name, place in listing.parts.items():
        dimension, _, value = place.partition("=")
        if value not in listing.dimensions.get(dimension, []):
            problems.append(f"{name}: there is no {place}")
    for name, reason in listing.elsewhere.items():
        for file in re.findall(r"tests/\S+\.cpp|\btorch\.cpp", reason):
            place = HERE / file if file == "torch.cpp" else HERE.parent.parent / file
            if not place.exists():
                problems.append(f"{name}: {file} does not exist")

    types = sum(text.count("Type<") for text in type_lists(listing.compositions).values())
    of_size = lambda sets, size: sum(len(one) == size for one in sets)
    print(f"{len(listing.compositions)} compositions of {types} types; "
          f"{of_size(wanted & covered, 2)} of {of_size(wanted, 2)} pairs and "
          f"{of_size(wanted & covered, 3)} of {of_size(wanted, 3)} triples covered, "
          f"{len(listing.impossible)} pairs impossible by name; "
          f"{len(listing.parts)} parts in the list, {len(listing.elsewhere)} elsewhere")
    return problems


def draw(listing, generator, fixed):
    """A possible composition with these values, or None."""
    values = dict(fixed)
    names = [name for name in listing.dimensions if name not in values]
    generator.shuffle(names)
    for name in names:
        choices = [value for value in listing.dimensions[name]
                   if not any(frozenset({(name, value), other}) in listing.impossible for other in values.items())]
        if not choices:
            return None
        values[name] = generator.choice(choices)
    return {name: values[name] for name in listing.dimensions}


def write(listing, at_least, each_type):
    """A covering set: each composition is the one of many that brings most pairs; a new type must be worth it."""
    generator = random.Random(15)
    wanted = set(listing.all_pairs())
    # First as few types as cover the pairs of what the compiler must know.
    def essence(values):
        shown = {name: values[name] for name in TYPE_DIMENSIONS}
        shown["weights"] = "rows" if values["weights"] == "rows" else "stated"
        shown["world"] = "process" if values["world"] == "process" else "ranks"
        shown["watch"] = "no" if values["watch"] == "no" else "nan"
        shown["optimizer"] = "not_maskable" if values["optimizer"] == "not_maskable" else "maskable"
        return shown
    open_pairs = set()
    for _ in range(4000):
        values = draw(listing, generator, {})
        open_pairs |= listing.pairs(essence(values)) if values else set()
    types = []
    while open_pairs:
        drawn = [essence(values) for values in (draw(listing, generator, {}) for _ in range(400)) if values]
        best = max(drawn, key=lambda one: len(listing.pairs(one) & open_pairs))
        if not listing.pairs(best) & open_pairs:
            continue
        types.append(best)
        open_pairs -= listing.pairs(best)
    for one in listing.also:
        own = [essence(draw(listing, generator, dict(one))) for _ in range(200)]
        if not any(type_ in own for type_ in types):
            types.append(own[0])
    keys = {tuple(sorted(one.items())): 0 for one in types}

    chosen, seen = [], set()
    open_pairs = set(wanted)
    def of_type():
        one = generator.choice(types)
        fixed = {name: value for name, value in one.items() if name not in ("weights", "world", "watch", "optimizer")}
        fixed["weights"] = "rows" if one["weights"] == "rows" else generator.choice(["stated", "zero"])
        fixed["watch"] = "no" if one["watch"] == "no" else generator.choice(["nan", "skips"])
        fixed["world"] = "process" if one["world"] == "process" else generator.choice(["1", "2", "3"])
        fixed["optimizer"] = generator.choice([value for value in listing.dimensions["optimizer"]
                                               if (value == "not_maskable") == (one["optimizer"] == "not_maskable")])
        return draw(listing, generator, fixed)
    while open_pairs or len(chosen) < at_least or min(keys.values()) < each_type:
        drawn = [values for values in (of_type() for _ in range(300)) if values]
        drawn += [values for one in listing.also for values in [draw(listing, generator, dict(one))]
                  if values and tuple(sorted(essence(values).items())) in keys]
        drawn = [values for values in drawn if tuple(values.items()) not in seen]
        best = max(drawn, key=lambda v: (len(listing.pairs(v) & open_pairs), -keys[tuple(sorted(essence(v).items()))]))
        chosen.append(best)
        seen.add(tuple(best.items()))
        open_pairs -= listing.pairs(best)
        keys[tuple(sorted(essence(best).items()))] += 1
    chosen.sort(key=lambda v: [listing.dimensions[name].index(v[name]) for name in listing.dimensions])
    return chosen


def main():
    text = LIST.read_text()
    if "--write" in sys.argv:
        head = text.split("\n# The compositions:", 1)[0].rstrip("\n")
        listing = Listing(head)
        chosen = write(listing, LEAST, 3)
        lines = [f"\n# The compositions: a name, and a value of each dimension. Written by --write.",
                 f"# {' '.join(listing.dimensions)}"]
        lines += [f"composition c{i:03} {' '.join(values.values())}" for i, values in enumerate(chosen, 1)]
        text = head + "\n" + "\n".join(lines) + "\n"
        LIST.write_text(text)
        for group, types in type_lists(Listing(text).compositions).items():
            (HERE / f"types_{group}.inc").write_text(types)
    problems = check(Listing(text))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
