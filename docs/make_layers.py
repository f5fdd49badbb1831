"""Draws docs/layers.svg from the imports: `python docs/make_layers.py`; with --check it only compares.

A row is one part of the house, with its files; its dots are the parts that it imports. Rows and columns have
the same order, so that a dot to the left of the diagonal is an import upwards; it is drawn in red.
"""

import sys
import textwrap
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from helpers.import_graph import LAYERS, PUBLIC_FACE, edges, modules, package_of  # noqa: E402

PICTURE = Path(__file__).with_name("layers.svg")
HIDDEN = {"prb._checkout", "prb.__main__"}
WHAT = {
    "prb.cli": "the command line",
    "prb.bench": "prb bench",
    PUBLIC_FACE: "the public names",
    "prb.torch": "pictures for autograd",
    "prb.jax": "pictures for jax.grad",
    "prb.recover": "optimisers, recovery from pictures",
    "prb.checking": "prb check: methods against each other",
    "prb.report": "pictures of derivatives",
    "prb.api": "render, backward, forward",
    "prb.estimators": "pictures and gradients: work, sums, methods",
    "prb.losses": "losses, their derivatives, and sums of them",
    "prb.schedules": "learning rates",
    "prb.device": "a model as arrays on the device",
    "prb.scene": "what a scene is, and reading one",
    "prb.io": "image files, progress",
    "prb.errors": "one line for each mistake of a user",
    "prb.kernels": "what runs on the device; imports Taichi only",
}
LEFT, TEXT, CELL, LINE, PAD, GAP, TOP = 16, 640, 26, 15, 8, 6, 132
COLUMNS = 88  # characters in a line of file names
INK, SOFT, BOX, EDGE, DOT, WRONG = "#1b2733", "#5b6875", "#eef3f8", "#c3d0dd", "#2c6fb3", "#cc2222"
TITLE = "The layers of prb, from the command line to the kernels"
STYLE = f"""
text {{ font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: {INK} }}
.head {{ font-size: 18px; font-weight: bold }}
.note, .column {{ font-size: 12px }}
.part {{ font-size: 14px; font-weight: bold }}
.what {{ font-size: 12px; font-weight: normal; fill: {SOFT} }}
.file {{ font-size: 11px; font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace }}
"""


def files_of(part, names):
    """Lines that list a part's files, its folders first by name."""
    if part in names and not any(name.startswith(f"{part}.") for name in names) or part == PUBLIC_FACE:
        return []
    folders = {}
    for name in sorted(names):
        if package_of(name) == part and name != part:
            *folder, file = name.removeprefix(f"{part}.").split(".")
            is_folder = any(other.startswith(f"{name}.") for other in names)
            if not is_folder:
                folders.setdefault("/".join(folder), []).append(file)
    lines = []
    for folder, files in sorted(folders.items()):
        head = f"{folder}/  " if folder else ""
        lines += textwrap.wrap(head + " ".join(files), COLUMNS, subsequent_indent="    " if folder else "")
    return lines


def grid(x1, y1, x2, y2):
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{EDGE}" stroke-width="0.7"/>'


def draw():
    names, graph = modules(), edges()
    parts = [part for layer in reversed(LAYERS) for part in layer if part not in HIDDEN]
    layer_of = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    imported = {part: set() for part in parts}
    for importer, found in graph.items():
        if package_of(importer) in imported:
            imported[package_of(importer)] |= {package_of(name) for name in found} & set(parts)

    out, tops, y = [], {}, TOP
    for i, part in enumerate(parts):
        lines = files_of(part, names)
        height = max(2 * PAD + LINE * (1 + len(lines)), CELL)
        y += GAP if i and layer_of[part] != layer_of[parts[i - 1]] else 1 if i else 0
        tops[part] = y, height
        title = part.replace("prb.kernels", "kernels").replace(".", "/")
        if part == PUBLIC_FACE:
            title = "prb/__init__"
        elif any(name.startswith(f"{part}.") for name in names):
            title += "/"
        place = f'x="{LEFT}" y="{y}" width="{TEXT}" height="{height}"'
        out.append(f'<rect {place} rx="4" fill="{BOX}" stroke="{EDGE}"/>')
        base = y + PAD + LINE - 4
        what = f'<tspan class="what" dx="10">{escape(WHAT.get(part, ""))}</tspan>'
        out.append(f'<text x="{LEFT + 10}" y="{base}" class="part">{title}{what}</text>')
        for k, line in enumerate(lines):
            place = f'x="{LEFT + 10}" y="{base + LINE * (k + 1)}"'
            out.append(f'<text {place} class="file" xml:space="preserve">{line}</text>')
        y += height
    bottom = y

    x0 = LEFT + TEXT + 20
    for column, part in enumerate(parts):
        x = x0 + CELL * column + CELL / 2
        title = "__init__" if part == PUBLIC_FACE else part.removeprefix("prb.")
        out.append(grid(x, TOP, x, bottom))
        turn = f"translate({x + 4},{TOP - 8}) rotate(-55)"
        out.append(f'<text class="column" transform="{turn}">{title}</text>')
    for row, part in enumerate(parts):
        top, height = tops[part]
        middle = top + height / 2
        out.append(grid(x0, middle, x0 + CELL * len(parts), middle))
        for column, other in enumerate(parts):
            x = x0 + CELL * column + CELL / 2
            if row == column:
                square = f'x="{x - 5}" y="{middle - 5}" width="10" height="10"'
                out.append(f'<rect {square} fill="#fff" stroke="{SOFT}" stroke-width="1.2"/>')
            elif other in imported[part]:
                colour = DOT if layer_of[other] < layer_of[part] else WRONG
                out.append(f'<circle cx="{x}" cy="{middle}" r="6" fill="{colour}"/>')
    width, height = x0 + CELL * len(parts) + 70, bottom + 16
    notes = [
        "A dot: the part in this row imports the part in that column. Dots lie right of the diagonal:",
        "imports go downwards only. Boxes that touch are one layer, and do not import each other.",
        "Made by docs/make_layers.py from the imports themselves.",
    ]
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f"<title>{TITLE}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="34" class="head">{TITLE}</text>',
    ]
    head += [f'<text x="{LEFT}" y="{58 + 17 * i}" class="note">{n}</text>' for i, n in enumerate(notes)]
    return "\n".join([*head, *out, "</svg>"]) + "\n"


def main():
    picture = draw()
    if "--check" in sys.argv[1:]:
        if not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture:
            sys.exit(f"{PICTURE.name} is not what the imports say; run python docs/make_layers.py")
        return
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
