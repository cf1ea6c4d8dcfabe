"""The drawings of docs/architecture.md: `draw.py TOOLCHAIN (--check|--write)`.

Folders, events and files are looked up in the sources: a drawing that names something that is no longer there is an error.
"""

import html
import re
import sys

import tool
from check_tree import LAYERS

NAMESPACE = "http:" + "//www.w3.org/2000/svg"  # check_tree.py takes an address for a host
FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" font-size="13"'
COLORS = {"plain": "#f4f6f8", "ours": "#dbe9f6", "ranks": "#fbe8d3", "disk": "#efe6f5"}


class Drawing:
    """Boxes, arrows and texts; the title and the description are what a screen reader reads."""

    def __init__(self, name, width, height, title, description):
        self.name, self.parts = name, []
        self.head = (f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                     f'role="img" aria-labelledby="title description" {FONT}>\n'
                     f'<title id="title">{html.escape(title)}</title>\n<desc id="description">{html.escape(description)}</desc>\n'
                     '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
                     '<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>\n'
                     f'<rect width="{width}" height="{height}" fill="white"/>\n')

    def text(self, x, y, text, anchor="middle", style=""):
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#222" {style}>{html.escape(text)}</text>')

    def box(self, x, y, width, height, lines, color="plain"):
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{COLORS[color]}" stroke="#667"/>')
        lines = [lines] if isinstance(lines, str) else lines
        first = y + height / 2 + 5 - 9 * (len(lines) - 1)
        for i, line in enumerate(lines):
            self.text(x + width / 2, first + 18 * i, line, style='font-weight="bold"' if i == 0 and len(lines) > 1 else "")

    def arrow(self, x1, y1, x2, y2):
        self.parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444" stroke-width="1.4" marker-end="url(#tip)"/>')

    def svg(self):
        return self.head + "\n".join(self.parts) + "\n</svg>\n"


def layers(source):
    present = [[folder for folder in row if (source / "include/tacit" / folder).is_dir()] for row in LAYERS]
    drawing = Drawing("layers", 860, 70 + 66 * (len(present) + 1), "Include layers",
                      "Folders of include/tacit from top to bottom; a header includes headers of its own row and of rows below. "
                      + "; ".join(", ".join(row) for row in reversed(present)))
    drawing.text(430, 26, "A header includes headers of its own row and of the rows below it")
    drawing.box(30, 44, 800, 46, "tacit.hpp, auto.hpp", "ours")
    for i, row in enumerate(reversed(present)):
        width = (800 - 10 * (len(row) - 1)) / len(row)
        for j, folder in enumerate(row):
            drawing.box(30 + j * (width + 10), 110 + 66 * i, round(width, 1), 46, folder,
                        "ours" if folder == "train" else "plain")
    return drawing


def composition(_):
    drawing = Drawing("composition", 860, 330, "From arguments to bound objects",
                      "The arguments of Trainer in any order fill slots; each policy is bound when the model is on its device, in the "
                      "order device, distribution, precision, task, optimizer, callbacks; the bound objects live in Core.")
    columns = [("Cuda{}", "device"), ("Ddp<Gloo>{}", "distribution"), ("Bf16{}", "precision"),
               ("model, loss", "task"), ("AdamW{.lr}", "optimizer"), ("CallbackPack", "callbacks")]
    drawing.text(430, 24, "Trainer{model, loss, AdamW{.lr}, Bf16{}, Cuda{}, Ddp<Gloo>{}, CallbackPack{...}}: arguments in any order")
    for i, (argument, slot) in enumerate(columns):
        x = 20 + 140 * i
        drawing.box(x, 44, 124, 40, argument)
        drawing.arrow(x + 62, 84, x + 62, 112)
        drawing.box(x, 114, 124, 46, ["slot", slot], "ours")
        drawing.arrow(x + 62, 160, x + 62, 190)
        drawing.box(x, 192, 124, 46, [f"{i + 1}. bind", {"task": "parameters", "callbacks": "bound<...>"}.get(slot, f"bound {slot}")])
        drawing.arrow(x + 62, 238, x + 62, 266)
    drawing.box(20, 268, 824, 44, "Core: one object that the loop, sessions and callbacks share; every type is known at compile time", "ours")
    return drawing


def update(source):
    events = (source / "include/tacit/events/events.hpp").read_text()
    rows = ["DataFetchStart", "DataFetchEnd", "TrainStepStart", "TrainLossComputed", "TrainStepEnd", "UpdateStart", "UpdateEnd"]
    for name in rows:
        if not re.search(rf"struct {name}\b", events):
            raise SystemExit(f"draw.py: events.hpp has no {name}")
    drawing = Drawing("update", 960, 380, "One update of an accumulation window of two micro-batches",
                      "Per micro-batch: DataFetchStart, DataFetchEnd, TrainStepStart, forward and loss, TrainLossComputed, backward, "
                      "TrainStepEnd. After the last one: window reduction over the ranks, unscale and clip, UpdateStart, the optimizer's "
                      "step, UpdateEnd.")
    drawing.text(480, 24, "Time runs from left to right; events above, work in the middle, collectives below")

    def event(x, name):
        drawing.parts.append(f'<text transform="translate({x + 4},190) rotate(-60)" fill="#222">{name}</text>')
        drawing.arrow(x, 196, x, 222)

    for name, x in [("micro-batch 1", 20), ("micro-batch 2", 336)]:
        drawing.text(x + 150, 56, name, style='font-weight="bold"')
        for at, title in zip([0, 106, 130, 210, 290], rows):
            event(x + at, title)
        for at, width, work in [(3, 100, ["fetch", "to device"]), (133, 74, "forward"), (213, 74, "backward")]:
            drawing.box(x + at, 226, width, 44, work)
    drawing.box(646, 226, 126, 44, "unscale and clip")
    event(780, rows[5])
    drawing.box(786, 226, 80, 44, "step", "ours")
    event(874, rows[6])
    drawing.box(541, 300, 90, 44, ["gradients", "over ranks"], "ranks")
    drawing.box(646, 300, 150, 44, ["window reduction", "weights, skip flags"], "ranks")
    drawing.arrow(586, 272, 586, 298)
    drawing.arrow(709, 298, 709, 272)
    drawing.text(480, 368, "A program of one process has nothing of the lower row. The window reduction begins beside the last backward pass.")
    return drawing


def window(_):
    drawing = Drawing("window", 860, 300, "A window and its weights",
                      "Three micro-batches of weights 4, 4 and 2 are accumulated; each contributes its mean loss times weight over the "
                      "total, so that the gradient is that of the mean over all ten samples.")
    for i, (weight, share) in enumerate([(4, "4/10"), (4, "4/10"), (2, "2/10")]):
        x = 40 + 200 * i
        drawing.box(x, 40, 170, 60, [f"micro-batch {i + 1}", f"{weight} samples: weight {weight}"])
        drawing.arrow(x + 85, 100, x + 85, 138)
        drawing.text(x + 95, 124, f"mean loss x {share}", anchor="start")
        drawing.box(x, 140, 170, 44, "gradient +=", "ours")
    drawing.arrow(610, 162, 641, 162)
    drawing.box(642, 140, 190, 44, "one update")
    drawing.text(430, 226, "Total known beforehand (a planned source, no stated weights): the share is the seed of backward.")
    drawing.text(430, 250, "Total known at the end (stated weights, skipped batches): the seed is the weight, and 1/total scales the gradients.")
    drawing.text(430, 274, "Over ranks the total is the sum of all ranks' weights. A total of 0 makes no update.")
    return drawing


def checkpoint(source):
    text = (source / "docs/checkpoints.md").read_text()
    for name in ("manifest.json", ".tmp-checkpoint"):
        if name not in text:
            raise SystemExit(f"draw.py: docs/checkpoints.md has no {name}")
    drawing = Drawing("checkpoint", 860, 250, "How a checkpoint is committed",
                      "Files are written into a temporary directory and synced, then the manifest, then the directory; a rename commits "
                      "the checkpoint; the parent directory is synced; older checkpoints are removed last.")
    steps = [["write and sync", "state and tensors"], ["write and sync", "manifest.json"], ["sync", "the directory"],
             ["rename:", "committed"], ["sync", "the parent"], ["remove", "what is not kept"]]
    for i, lines in enumerate(steps):
        x = 16 + 140 * i
        drawing.box(x, 60, 124, 56, lines, "ours" if i == 3 else "disk")
        if i:
            drawing.arrow(x - 16, 88, x - 1, 88)
    drawing.text(226, 40, "inside .tmp-checkpoint-...")
    drawing.text(430, 152, "A program that ends before the rename leaves no checkpoint, and one that ends after it a whole one.")
    drawing.text(430, 178, "The manifest lists every file with size and checksum and ends with its own checksum.")
    drawing.text(430, 204, "A checkpoint that is damaged later is noticed when it is read; the newest whole one is taken.")
    return drawing


def main():
    source = tool.Toolchain(sys.argv[1]).source
    stale = []
    for draw in (layers, composition, update, window, checkpoint):
        drawing = draw(source)
        path = source / "docs" / "drawings" / f"{drawing.name}.svg"
        if sys.argv[2] == "--write":
            path.write_text(drawing.svg())
        elif not path.exists() or path.read_text() != drawing.svg():
            stale.append(path.name)
    if stale:
        print(f"not as the sources say: {', '.join(stale)}; write them with `draw.py TOOLCHAIN --write`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
