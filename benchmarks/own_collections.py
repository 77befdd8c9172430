"""Three generated collections of different look and wording, as a user would bring them: pictures and a .jsonl file.

    python benchmarks/own_collections.py faces DIRECTORY     cartoon faces, English texts
    python benchmarks/own_collections.py streets DIRECTORY   streets by day and night, German texts
    python benchmarks/own_collections.py charts DIRECTORY    charts of made-up numbers, English texts

`dafsn prepare jsonl` divides them, eight to one to one; `--split 320 40` lets the first 320 pictures train and the next
40 validate, so that a small collection is judged by many other pictures.

Nothing in the package knows them: they show what `dafsn prepare jsonl` and the preset `default` make of a collection
that nobody tuned for. Picture i is a function of (seed, i) alone.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFilter

from dafsn_tf.data.output import new_folder
from dafsn_tf.errors import DafsnError, DataError

SIDE = 320  # pixels of a picture
SMOOTH = 2  # drawn so many times larger, then scaled down

Colour = tuple[int, int, int]

SKIN: dict[str, Colour] = {"pale": (250, 220, 195), "tanned": (215, 165, 120), "dark": (120, 78, 52)}
HAIR: dict[str, Colour] = {
    "black": (35, 30, 30),
    "blond": (235, 200, 95),
    "red": (190, 75, 35),
    "grey": (165, 165, 165),
    "brown": (110, 70, 40),
}
CLOTH: dict[str, Colour] = {
    "red": (205, 45, 45),
    "green": (50, 150, 75),
    "blue": (50, 90, 200),
    "yellow": (240, 205, 50),
    "purple": (130, 60, 160),
}
WALL: dict[str, Colour] = {"white": (245, 245, 245), "pink": (250, 190, 205), "teal": (60, 150, 150)}

PAINT: dict[str, Colour] = {
    "rot": (190, 50, 45),
    "gelb": (235, 200, 80),
    "blau": (70, 110, 180),
    "grün": (90, 150, 90),
    "weiß": (235, 235, 230),
}
NUMBERS = {1: "ein", 2: "zwei", 3: "drei"}

INK = {
    "blue": "tab:blue",
    "orange": "tab:orange",
    "green": "tab:green",
    "red": "tab:red",
    "purple": "tab:purple",
    "black": "black",
    "pink": "hotpink",
    "grey": "grey",
}
PAPER = {
    "white": "on white",
    "lightyellow": "on a pale yellow ground",
    "lavender": "on a lilac ground",
    "#222222": "on a dark ground",
}
COUNTS = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}
TRENDS = {
    1: ("rising", "going up", "that climbs", "with growing values"),
    -1: ("falling", "going down", "that declines", "with shrinking values"),
    0: ("flat", "without a trend", "that stays level"),
}


def face(chance: random.Random) -> tuple[Image.Image, list[str]]:
    """Return a cartoon face and three texts about it."""
    skin, hair, cloth, wall = (chance.choice(list(shades)) for shades in (SKIN, HAIR, CLOTH, WALL))
    style = chance.choice(("short", "long", "curly"))
    mouth = chance.choice(("smiling", "frowning", "surprised"))
    glasses = chance.choice(("", "round", "square"))
    hat = chance.choice(("", *CLOTH))
    image = Image.new("RGB", (SIDE * SMOOTH,) * 2, _shade(WALL[wall], chance))
    pen = ImageDraw.Draw(image)
    x, y, r = chance.uniform(0.42, 0.58), chance.uniform(0.45, 0.52), chance.uniform(0.19, 0.25)

    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [place * SIDE * SMOOTH for place in (x + left * r, y + top * r, x + right * r, y + bottom * r)]

    strands, clothes, line = _shade(HAIR[hair], chance), _shade(CLOTH[cloth], chance), int(SIDE * SMOOTH * r / 12)
    if style == "long":
        pen.rounded_rectangle(box(-1.2, -0.9, 1.2, 1.9), SIDE * SMOOTH * r * 0.5, strands)
    pen.rounded_rectangle(box(-1.7, 1.15, 1.7, 4), SIDE * SMOOTH * r * 0.6, clothes)
    if style == "curly":
        for turn in range(14):
            angle = math.pi * (0.9 + 1.2 * turn / 13)
            across, down = 1.05 * math.cos(angle), 1.0 * math.sin(angle)
            pen.ellipse(box(across - 0.38, down - 0.38, across + 0.38, down + 0.38), strands)
    else:
        pen.ellipse(box(-1.12, -1.25, 1.12, 0.7), strands)
    pen.ellipse(box(-1, -1, 1, 1.15), _shade(SKIN[skin], chance))
    if style != "curly":
        pen.chord(box(-1.05, -1.15, 1.05, 0.5), 195, 345, strands)
    for side in (-0.38, 0.38):
        pen.ellipse(box(side - 0.1, -0.17, side + 0.1, 0.08), (30, 30, 40))
        if glasses == "round":
            pen.ellipse(box(side - 0.3, -0.33, side + 0.3, 0.25), None, (20, 20, 20), line)
        if glasses == "square":
            pen.rectangle(box(side - 0.3, -0.3, side + 0.3, 0.22), None, (20, 20, 20), line)
    if mouth == "surprised":
        pen.ellipse(box(-0.17, 0.45, 0.17, 0.85), (120, 30, 40))
    elif mouth == "smiling":
        pen.arc(box(-0.5, 0.1, 0.5, 0.8), 20, 160, (120, 30, 40), line)
    else:
        pen.arc(box(-0.45, 0.5, 0.45, 1.1), 200, 340, (120, 30, 40), line)
    if hat:
        pen.pieslice(box(-1.05, -1.75, 1.05, 0.1), 180, 360, _shade(CLOTH[hat], chance))
        pen.rectangle(box(-1.4, -0.87, 1.4, -0.7), _shade(CLOTH[hat], chance))

    worn = [f"{glasses} glasses"] * bool(glasses) + [f"a {hat} hat"] * bool(hat)
    with_worn = f" with {' and '.join(worn)}" if worn else " without hat or glasses"
    texts = [
        f"a {mouth} person with {style} {hair} hair and a {cloth} shirt{with_worn}",
        f"portrait of somebody with {skin} skin in front of a {wall} wall, {hair} {style} hair, wearing {cloth}",
        f"the {mouth} face{with_worn}, {hair} hair, before a {wall} background",
    ]
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), texts


def street(chance: random.Random) -> tuple[Image.Image, list[str]]:
    """Return a street of one to three houses and three German texts about it."""
    night, houses, trees = chance.random() < 0.5, chance.randint(1, 3), chance.randint(0, 2)
    wall, car = chance.choice(list(PAINT)), chance.choice(("", *PAINT))
    weather = chance.choice(("", "Schnee", "Regen"))
    roof, left = chance.choice(("spitz", "flach")), chance.random() < 0.5
    size = SIDE * SMOOTH
    sky, ground = ((25, 30, 65), (45, 60, 50)) if night else ((150, 200, 240), (115, 165, 90))
    image = Image.new("RGB", (size, size), _shade(sky, chance))
    pen = ImageDraw.Draw(image)
    horizon = chance.uniform(0.62, 0.7) * size
    pen.rectangle([0, horizon, size, size], _shade((230, 235, 240) if weather == "Schnee" else ground, chance))
    pen.rectangle([0, 0.8 * size, size, 0.94 * size], (70, 70, 75))
    at, high = chance.uniform(0.1, 0.9) * size, chance.uniform(0.08, 0.16) * size
    pen.ellipse([at - 38, high - 38, at + 38, high + 38], (240, 240, 215) if night else (255, 215, 70))
    if night:
        pen.ellipse([at - 18, high - 46, at + 54, high + 26], sky)
    step = 0.19 * size
    start = 0.05 * size if left else size - 0.05 * size - houses * step
    for number in range(houses):
        x, tall = start + number * step, chance.uniform(0.17, 0.24) * size
        pen.rectangle([x, horizon - tall, x + 0.9 * step, horizon + 8], _shade(PAINT[wall], chance))
        if roof == "spitz":
            top = horizon - tall
            peak = [(x - 8, top), (x + 0.45 * step, top - 0.1 * size), (x + 0.9 * step + 8, top)]
            pen.polygon(peak, (120, 60, 45))
        else:
            pen.rectangle([x - 6, horizon - tall - 12, x + 0.9 * step + 6, horizon - tall], (80, 80, 85))
        for column in (0.15, 0.55):
            window = (255, 225, 120) if night else (120, 150, 175)
            pen.rectangle(
                [x + column * step, horizon - 0.7 * tall, x + (column + 0.2) * step, horizon - 0.4 * tall], window
            )
    for number in range(trees):
        x = (size - 0.12 * size - number * 0.15 * size) if left else (0.12 * size + number * 0.15 * size)
        pen.rectangle([x - 8, horizon - 50, x + 8, horizon + 20], (95, 65, 40))
        pen.ellipse([x - 45, horizon - 150, x + 45, horizon - 35], _shade((40, 110, 50), chance))
    if car:
        x = chance.uniform(0.1, 0.65) * size
        pen.rounded_rectangle([x, 0.8 * size, x + 140, 0.88 * size], 18, _shade(PAINT[car], chance))
        pen.rounded_rectangle([x + 30, 0.755 * size, x + 105, 0.83 * size], 14, _shade(PAINT[car], chance))
        for wheel in (28, 108):
            pen.ellipse([x + wheel - 17, 0.86 * size, x + wheel + 17, 0.86 * size + 34], (20, 20, 20))
    for _ in range(220 if weather else 0):
        x, y = chance.uniform(0, size), chance.uniform(0, size)
        if weather == "Schnee":
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], (250, 250, 255))
        else:
            pen.line([x, y, x - 6, y + 26], (170, 185, 215), 2)

    time, lamp = ("Nacht", "Mond") if night else ("Tag", "Sonne")
    many = f"{NUMBERS[houses]} {_ending(wall, houses)} {'Haus' if houses == 1 else 'Häuser'}"
    driving = f"ein {car}es Auto fährt vorbei" if car else "kein Auto ist unterwegs"
    green = ("kein Baum", "ein Baum", "zwei Bäume")[trees]
    falling = f", es gibt {weather}" if weather else ""
    texts = [
        f"{many} mit {roof}em Dach bei {time}, {driving}",
        f"Unter {'dem' if night else 'der'} {lamp}: {many}, {green}{falling}",
        f"Straße bei {time}{falling}; {driving}, daneben {green}",
    ]
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.6)), texts


def chart(chance: random.Random) -> tuple[Image.Image, list[str]]:
    """Return a chart of made-up numbers and two texts about it."""
    kind = chance.choice(("bar", "line", "pie", "scatter", "area", "histogram"))
    ink, paper = chance.choice(list(INK)), chance.choice(list(PAPER))
    count, trend = chance.choice(list(COUNTS)), chance.choice(list(TRENDS))
    grid = kind != "pie" and chance.random() < 0.4
    figure = Figure(figsize=(chance.choice((4, 5, 6)), chance.choice((3, 4))), dpi=80, facecolor=paper)
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot(facecolor=paper)
    if paper == "#222222":
        axes.tick_params(colors="white")
    lying = kind == "bar" and chance.random() < 0.3
    _plot(axes, "lying bar" if lying else kind, INK[ink], count, trend, chance)
    axes.grid(grid)
    canvas.draw()

    def text() -> str:
        way, many = chance.choice(TRENDS[trend]), COUNTS[count]
        said = chance.choice(
            {
                "bar": (
                    f"a {ink} bar chart with {many} bars {way}",
                    f"{many} {ink} bars{' lying on their side' * lying}, {way}",
                    f"{'horizontal' if lying else 'vertical'} bars in {ink}, {many} of them",
                ),
                "line": (f"a {ink} line {way}", f"line plot in {ink}, {way}", f"a time series drawn in {ink} {way}"),
                "area": (f"a filled {ink} area {way}", f"area chart in {ink}, {way}"),
                "scatter": (f"{ink} dots, a cloud {way}", f"scatter plot of {ink} points {way}"),
                "histogram": (
                    f"a {ink} histogram shaped like a bell",
                    f"distribution of values in {ink} with {'few' if count < 5 else 'many'} bins",
                ),
                "pie": (f"a pie in shades of {ink} cut in {many} slices", f"pie chart, {many} sectors, {ink}"),
            }[kind]
        )
        said += chance.choice((" with grid lines", " over a grid")) if grid and chance.random() < 0.6 else ""
        return said + (f" {PAPER[paper]}" if chance.random() < 0.6 else "")

    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]), [text(), text()]


def _plot(axes: Axes, kind: str, colour: str, count: int, trend: int, chance: random.Random) -> None:
    def values(number: int, noise: float) -> list[float]:
        return [5 + trend * 6 * (at / (number - 1) - 0.5) + chance.gauss(0, noise) for at in range(number)]

    if kind == "bar":
        axes.bar(range(count), values(count, 0.4), color=colour)
    elif kind == "lying bar":
        axes.barh(range(count), values(count, 0.4), color=colour)
    elif kind == "line":
        axes.plot(values(30, 0.5), color=colour, linewidth=2.5)
    elif kind == "area":
        axes.fill_between(range(30), values(30, 0.3), color=colour)
    elif kind == "scatter":
        axes.scatter(range(60), values(60, 0.7), color=colour, s=18)
    elif kind == "histogram":
        axes.hist([chance.gauss(0, 1) for _ in range(400)], bins=5 * count, color=colour)
    else:
        fades = [0.75 * slice_ / count for slice_ in range(count)]  # towards white, slice by slice
        shades = [tuple(part + fade * (1 - part) for part in to_rgb(colour)) for fade in fades]
        axes.pie([chance.uniform(1, 3) for _ in range(count)], colors=shades)


SCENES: dict[str, Callable[[random.Random], tuple[Image.Image, list[str]]]] = {
    "faces": face,
    "streets": street,
    "charts": chart,
}


def write(name: str, out: Path, images: int, seed: int, split: tuple[int, int] | None = None) -> None:
    """Write pictures and captions.jsonl, with each picture's split if the sizes of training and validation are given.

    Raises:
        DataError: `split` leaves no picture for the test.
    """
    if split and not (min(split) > 0 and sum(split) < images):
        raise DataError(f"--split {split[0]} {split[1]} of {images} pictures; all three splits need some.")
    with new_folder(out) as folder, (folder / "captions.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(images):
            image, texts = SCENES[name](random.Random(f"{name} {seed} {number}"))
            image.save(folder / f"{number:05}.jpg", quality=92)
            line: dict[str, object] = {"image": f"{number:05}.jpg", "texts": texts}
            if split:
                line["split"] = "train" if number < split[0] else "validation" if number < sum(split) else "test"
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")


def _shade(colour: Colour, chance: random.Random) -> Colour:
    red, green, blue = (min(255, max(0, round(part + chance.uniform(-12, 12)))) for part in colour)
    return red, green, blue


def _ending(colour: str, houses: int) -> str:
    return f"{colour}es" if houses == 1 else f"{colour}e"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SCENES)
    parser.add_argument("out", type=Path, help="folder that does not exist yet")
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", type=int, nargs=2, metavar=("TRAIN", "VALIDATION"), help="pictures; the others test")
    options = parser.parse_args()
    write(options.name, options.out, options.images, options.seed, (*options.split,) if options.split else None)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
