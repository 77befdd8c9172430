"""Pictures of where words looked; needs matplotlib and Pillow (`pip install 'dafsn-client[drawing]'`)."""

import contextlib
import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from dafsn_client.attention import WordAttention
from dafsn_client.errors import InputError
from dafsn_client.fonts import drawable, families

FORMATS = (".png", ".svg")  # that `write_figure` writes
MAX_WORDS = 12  # with a map of their own

_WIDTH = 9.6  # inches, of every figure
_DPI = 120  # pixels an inch
_MARGIN, _GAP, _LINE = 0.2, 0.18, 0.21  # inches: around all, between pictures, of a line of text
_COLUMNS = 4  # maps beside each other
_TALLEST_MAP, _TALLEST_OVERVIEW = 2.6, 3.4  # inches
_LEGEND_COLUMN = 2.35  # inches
_INK, _PALE = "#202124", "#5f6368"
_SHADE = 0.65  # how much of a map's brightness black in the photograph takes
_HINT = (
    "Yellow is where a word looked, dark is where it did not; the frame is the region it looked at most. "
    "One scale for all words: a map of one colour is of a word that preferred no place."
)


def attention_figure(
    attention: WordAttention, photograph: Image.Image, words: Sequence[int] | None = None, max_words: int = MAX_WORDS
) -> Figure:
    """Return a figure: the photograph with the words' peaks numbered, and a map of each word over it.

    All maps share one logarithmic scale, in multiples of an even share, so that they compare.

    Args:
        attention: of the photograph's pair.
        photograph: the whole picture, as the model was given it.
        words: places of the words to draw; `attention.content` where None.
        max_words: how many are drawn at most; the weightiest stay.

    Raises:
        InputError: a place that the text has no word at, or no word to draw.
    """
    drawn = _drawn(attention, words, max_words)
    overview = _fit(photograph, (_inner() - _GAP) / 2, _TALLEST_OVERVIEW)
    panel = _fit(photograph, (_inner() - (_COLUMNS - 1) * _GAP) / _COLUMNS, _TALLEST_MAP)
    page = _Page(attention.text, photograph)
    title = _wrapped(f"“{drawable(attention.text)}”", _inner(), 11, 4)
    others = _others(attention, drawn)
    legend_width = _inner() - overview[0] - _GAP
    legend_columns = max(1, int(legend_width / _LEGEND_COLUMN))
    legend_rows = max(min(len(drawn), 6), math.ceil(len(drawn) / legend_columns))
    rest = _wrapped(others, legend_width, 8.5, 6) if others else []
    middle = max(overview[1], (legend_rows + 1.6) * _LINE + len(rest) * 1.4 * 8.5 / 72)
    rows = math.ceil(len(drawn) / _COLUMNS)
    hint = _wrapped(_HINT, _inner(), 8.5, 3)
    head = _MARGIN + (len(title) + 2.6) * _LINE
    maps = rows * (panel[1] + 1.3 * _LINE + _GAP)
    height = head + middle + 1.5 * _GAP + maps + 3.4 * _LINE + len(hint) * 1.4 * 8.5 / 72 + _MARGIN
    figure = page.sized(height)

    page.write("Where the words looked", _MARGIN, _MARGIN, 13, weight="bold")
    page.write_lines(title, _MARGIN, _MARGIN + 1.4 * _LINE, 11)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in attention.scores.items())
    page.write(f"scores of the pair: {scores}", _MARGIN, head - 1.2 * _LINE, 9, _PALE)

    _number_peaks(page.picture(_MARGIN, head, overview), attention, drawn)
    left = _MARGIN + overview[0] + _GAP
    for column in range(min(legend_columns, math.ceil(len(drawn) / legend_rows))):
        page.legend_row(left + column * _LEGEND_COLUMN, head, ("", "word", "relevance", "peak"), _PALE)
    for place, word in enumerate(drawn):
        column, row = divmod(place, legend_rows)
        texts = (str(place + 1), attention.words[word], f"{attention.relevances[word]:+.2f}", _peak(attention, word))
        page.legend_row(left + column * _LEGEND_COLUMN, head + (row + 1.2) * _LINE, texts, _INK)
    page.write_lines(rest, left, head + (legend_rows + 1.6) * _LINE, 8.5, _PALE)

    shares = attention.even_shares[drawn]
    norm = LogNorm(min(0.5, float(shares.min())), max(2.0, float(shares.max())))
    top = head + middle + 1.5 * _GAP
    for place, word in enumerate(drawn):
        row, column = divmod(place, _COLUMNS)
        x = _MARGIN + column * ((_inner() - (_COLUMNS - 1) * _GAP) / _COLUMNS + _GAP)
        y = top + row * (panel[1] + 1.3 * _LINE + _GAP)
        name = f"{place + 1}  {drawable(attention.words[word])}"
        page.write(_wrapped(name, panel[0] - 0.5, 10, 1)[0], x, y, 10)
        page.write(f"{attention.relevances[word]:+.2f}", x + panel[0], y, 10, _PALE, ha="right")
        page.map(x, y + 1.1 * _LINE, panel, attention, word, norm)
    page.colour_bar(norm, top + maps)
    page.write_lines(hint, _MARGIN, top + maps + 3.3 * _LINE, 8.5, _PALE)
    return figure


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the file's suffix; aside first, so that nobody sees half a file.

    Raises:
        InputError: another suffix, or a file that cannot be written.
    """
    check_figure_path(path)
    aside = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(aside, format=path.suffix.lower()[1:], dpi=_DPI, metadata=_metadata(path))
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error


def check_figure_path(path: Path) -> None:
    """Refuse, before any work is done for it, a file that `write_figure` would not write.

    Raises:
        InputError: another suffix, a folder, or a folder above it that is not there.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} ends in neither {' nor '.join(FORMATS)}, which are written. Name such a file.")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.absolute().parent}. Make it first.")


class _Page:
    """A figure that is laid out in inches from its upper left corner."""

    def __init__(self, text: str, photograph: Image.Image) -> None:
        self._families = families(drawable(text))
        self._photograph = photograph.convert("RGB")
        self._height = 0.0
        self._figure = Figure()

    def sized(self, height: float) -> Figure:
        """Return the empty figure, so many inches high."""
        self._height = height
        self._figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self._figure)
        return self._figure

    def write(self, text: str, x: float, y: float, size: float, color: str = _INK, **options: Any) -> None:
        """Write a line; (x, y) is the upper left corner of its letters, or the upper right one with ha="right"."""
        place = (x / _WIDTH, 1 - (y + 0.8 * size / 72) / self._height)
        options = {"va": "baseline", "family": self._families, "parse_math": False, **options}
        self._figure.text(*place, text, size=size, color=color, **options)

    def write_lines(self, lines: Sequence[str], x: float, y: float, size: float, color: str = _INK) -> None:
        """Write lines one below the other."""
        for number, line in enumerate(lines):
            self.write(line, x, y + number * 1.4 * size / 72, size, color)

    def picture(self, x: float, y: float, size: tuple[float, float]) -> Axes:
        """Draw the photograph; coordinates of the axes are shares of its width and height."""
        return self._image(x, y, size, np.asarray(self._resized(size)))

    def map(
        self, x: float, y: float, size: tuple[float, float], attention: WordAttention, word: int, norm: LogNorm
    ) -> None:
        """Draw a word's map, shaded by the photograph's greys, and the frame of its peak region."""
        grey = np.asarray(self._resized(size).convert("L"), np.float64) / 255
        heat = attention.upsampled(word, grey.shape[1], grey.shape[0])
        shade = 1 - _SHADE * (1 - grey)
        axes = self._image(x, y, size, colormaps["viridis"](norm(heat))[..., :3] * shade[..., None])
        left, top, right, bottom = attention.region_boxes[attention.peaks[word]]
        for colour, line in (("black", 2.4), ("white", 1.2)):
            frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(frame)

    def _resized(self, size: tuple[float, float]) -> Image.Image:
        pixels = (max(1, round(size[0] * _DPI)), max(1, round(size[1] * _DPI)))
        return self._photograph.resize(pixels, Image.Resampling.LANCZOS)

    def _image(self, x: float, y: float, size: tuple[float, float], pixels: np.ndarray) -> Axes:
        width, height = size
        axes: Axes = self._figure.add_axes(
            (x / _WIDTH, 1 - (y + height) / self._height, width / _WIDTH, height / self._height)
        )
        axes.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto")
        axes.set(xlim=(0, 1), ylim=(1, 0))
        axes.set_axis_off()
        return axes

    def legend_row(self, x: float, y: float, texts: Sequence[str], color: str) -> None:
        """Write number, word, relevance and peak into their columns."""
        number, word, relevance, peak = texts
        self.write(number, x + 0.22, y, 9.5, color, ha="right", weight="bold")
        self.write(_wrapped(drawable(word), 0.85, 9.5, 1)[0], x + 0.3, y, 9.5, color)
        self.write(relevance, x + 1.75, y, 9.5, color, ha="right")
        self.write(peak, x + 2.2, y, 9.5, color, ha="right")

    def colour_bar(self, norm: LogNorm, y: float) -> None:
        """Draw the scale of all maps."""
        place = (_MARGIN / _WIDTH + 0.01, 1 - (y + 0.13) / self._height, 4.4 / _WIDTH, 0.13 / self._height)
        bar = self._figure.colorbar(
            ScalarMappable(norm, "viridis"), cax=self._figure.add_axes(place), orientation="horizontal"
        )
        bar.ax.xaxis.set_major_locator(LogLocator(base=2))
        bar.ax.xaxis.set_minor_locator(NullLocator())
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        bar.ax.tick_params(labelsize=9, colors=_INK)
        bar.set_label("attention, in multiples of an even share", size=9, color=_INK)


def _inner() -> float:
    return _WIDTH - 2 * _MARGIN


def _drawn(attention: WordAttention, words: Sequence[int] | None, max_words: int) -> list[int]:
    places = attention.content if words is None else list(words)
    if not places or not all(0 <= place < len(attention.words) for place in places):
        raise InputError(f"Words {places} cannot be drawn: the text has words 0 to {len(attention.words) - 1}.")
    return sorted(sorted(places, key=lambda place: -attention.weights[place])[:max_words])


def _others(attention: WordAttention, drawn: Sequence[int]) -> str:
    left = [
        f"{word} {relevance:+.2f}"
        for place, (word, relevance) in enumerate(zip(attention.words, attention.relevances, strict=True))
        if place not in drawn
    ]
    return drawable("No map: " + ", ".join(left)) if left else ""


def _peak(attention: WordAttention, word: int) -> str:
    return f"{attention.even_shares[word].max():.1f}×"


def _number_peaks(axes: Axes, attention: WordAttention, drawn: Sequence[int]) -> None:
    """Write the words' numbers where they looked most; those of one region side by side."""
    numbers: dict[int, list[str]] = {}
    for number, word in enumerate(drawn, start=1):
        numbers.setdefault(int(attention.peaks[word]), []).append(str(number))
    for region, group in numbers.items():
        x, y = attention.region_centres[region]
        box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": _INK, "linewidth": 1}
        axes.text(x, y, ", ".join(group), ha="center", va="center", size=9, weight="bold", color=_INK, bbox=box)


def _fit(photograph: Image.Image, width: float, height: float) -> tuple[float, float]:
    """Return width and height in inches of the photograph in a box."""
    scale = min(width / photograph.width, height / photograph.height)
    return photograph.width * scale, photograph.height * scale


def _wrapped(text: str, width: float, size: float, max_lines: int) -> list[str]:
    """Return one to `max_lines` lines of a text that fit into so many inches; what is left over becomes an ellipsis."""
    room = width * 72 / size  # ems
    lines, line = [], ""
    for part in _parts(text):
        if line and _ems(line + part.rstrip()) > room:
            lines, line = [*lines, line.rstrip()], ""
        line += part
    lines.append(line.rstrip())
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1] + "…"]
    while len(lines[-1]) > 1 and _ems(lines[-1]) > room:
        lines[-1] = lines[-1].rstrip("…")[:-1] + "…"
    return lines


def _parts(text: str) -> list[str]:
    """Return what lines may be broken after: words with their space, and pieces of those without any for long."""
    words = text.split(" ")
    spaced = [word + " " for word in words[:-1]] + words[-1:]
    return [word[start : start + 12] for word in spaced for start in range(0, len(word), 12)]


def _ems(text: str) -> float:
    """Return about how wide a text is; generous, as nothing is drawn to measure it."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.56 for letter in text)


def _metadata(path: Path) -> dict[str, Any]:
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
