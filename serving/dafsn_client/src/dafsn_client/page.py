"""A page of a photograph, maps over it and lines of text, laid out in inches from its upper left corner."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from dafsn_client.fonts import drawable, families
from dafsn_client.images import as_seen

DPI = 120  # pixels an inch
INK, PALE = "#202124", "#5f6368"
SPACING = 1.4  # of lines, in heights of letters

_SHADE = 0.65  # how much of a map's brightness black in the photograph takes
_LONGEST = 3  # times as wide as high, or as high as wide; models see squares
_LONG_WORD = 26  # letters; longer ones are broken anywhere

Size = tuple[float, float]


class Page:
    """What is drawn is kept until `figure`, when the height is known.

    Args:
        width: inches.
        photograph: that all pictures on the page show.
        text: in whose characters the page is written.
    """

    def __init__(self, width: float, photograph: Image.Image, text: str) -> None:
        self.width = width
        self._photograph = as_seen(photograph)
        self._families = families(drawable(text))
        self._parts: list[Callable[[Figure, float], None]] = []

    def figure(self, height: float) -> Figure:
        """Return the page as a figure, so many inches high."""
        figure = Figure(figsize=(self.width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        for draw in self._parts:
            draw(figure, height)
        return figure

    def wrapped(self, text: str, width: float, size: float, max_lines: int) -> list[str]:
        """Return one to `max_lines` lines of a text that fit into so many inches; the rest becomes an ellipsis."""
        lines, line = [], ""
        for part in _parts(text):
            if line and self._inches(line + part.rstrip(), size) > width:
                lines, line = [*lines, line.rstrip()], ""
            line += part
        lines.append(line.rstrip())
        if len(lines) > max_lines:
            lines = [*lines[: max_lines - 1], lines[max_lines - 1] + "…"]
        while len(lines[-1]) > 1 and self._inches(lines[-1], size) > width:
            lines[-1] = lines[-1].rstrip("…")[:-1] + "…"
        return lines

    def _inches(self, text: str, size: float) -> float:
        fonts = FontProperties(family=self._families, size=size)
        return text_to_path.get_text_width_height_descent(text, fonts, False)[0] / 72

    def write(self, line: str, x: float, y: float, size: float, color: str = INK, **options: Any) -> None:
        """Write a line; (x, y) is the upper left corner of its letters, or the upper right one with ha="right"."""
        baseline = y + 0.8 * size / 72
        options = {"va": "baseline", "family": self._families, "parse_math": False, **options}

        def draw(figure: Figure, height: float) -> None:
            figure.text(x / self.width, 1 - baseline / height, line, size=size, color=color, **options)

        self._parts.append(draw)

    def write_lines(self, lines: Sequence[str], x: float, y: float, size: float, color: str = INK) -> float:
        """Write lines one below the other; return where they end."""
        step = SPACING * size / 72
        for number, line in enumerate(lines):
            self.write(line, x, y + number * step, size, color)
        return y + len(lines) * step

    def fit(self, width: float, height: float) -> Size:
        """Return width and height in inches of the photograph in a box; a strip is drawn less long, to be legible."""
        ratio = float(np.clip(self._photograph.width / self._photograph.height, 1 / _LONGEST, _LONGEST))
        return min(width, height * ratio), min(height, width / ratio)

    def picture(self, x: float, y: float, size: Size, labels: Sequence[tuple[str, float, float]]) -> None:
        """Draw the photograph, and labels over it whose middles are shares of its width and height."""
        box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": INK, "linewidth": 1}

        def draw(figure: Figure, height: float) -> None:
            axes = self._image(figure, height, x, y, size, np.asarray(self._resized(size)))
            for label, at_x, at_y in labels:
                axes.text(at_x, at_y, label, ha="center", va="center", size=9, weight="bold", color=INK, bbox=box)

        self._parts.append(draw)

    def map(
        self, x: float, y: float, size: Size, heat: Callable[[int, int], np.ndarray], frame: np.ndarray, norm: LogNorm
    ) -> None:
        """Draw a map in viridis, shaded by the photograph's greys.

        Args:
            x: of its upper left corner.
            y: of its upper left corner.
            size: width and height.
            heat: gives the map's values (H, W) for a width and a height in pixels.
            frame: left, top, right, bottom of a frame, as shares of width and height.
            norm: from values to the colour scale.
        """

        def draw(figure: Figure, height: float) -> None:
            grey = np.asarray(self._resized(size).convert("L"), np.float64) / 255
            colours = colormaps["viridis"](norm(heat(grey.shape[1], grey.shape[0])))[..., :3]
            pixels = colours * (1 - _SHADE * (1 - grey))[..., None]
            axes = self._image(figure, height, x, y, size, pixels)
            left, top, right, bottom = frame
            for colour, line in (("black", 2.4), ("white", 1.2)):
                corner = (left, top)
                axes.add_patch(
                    Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=colour, linewidth=line)
                )

        self._parts.append(draw)

    def colour_bar(self, x: float, y: float, size: Size, norm: LogNorm, label: str) -> None:
        """Draw the scale of the maps, in powers of two; its ticks and its label stand below `size`."""

        def draw(figure: Figure, height: float) -> None:
            axes = figure.add_axes(self._place(height, x, y, size))
            bar = figure.colorbar(ScalarMappable(norm, "viridis"), cax=axes, orientation="horizontal")
            bar.ax.xaxis.set_major_locator(LogLocator(base=2))
            bar.ax.xaxis.set_minor_locator(NullLocator())
            bar.ax.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"{Fraction(value).limit_denominator(64)}×")
            )
            bar.ax.tick_params(labelsize=9, colors=INK)
            bar.set_label(label, size=9, color=INK)

        self._parts.append(draw)

    def _resized(self, size: Size) -> Image.Image:
        pixels = (max(1, round(size[0] * DPI)), max(1, round(size[1] * DPI)))
        return self._photograph.resize(pixels, Image.Resampling.LANCZOS)

    def _image(self, figure: Figure, height: float, x: float, y: float, size: Size, pixels: np.ndarray) -> Axes:
        """Return axes over pixels, whose coordinates are shares of their width and height."""
        axes: Axes = figure.add_axes(self._place(height, x, y, size))
        axes.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto")
        axes.set(xlim=(0, 1), ylim=(1, 0))
        axes.set_axis_off()
        return axes

    def _place(self, height: float, x: float, y: float, size: Size) -> tuple[float, float, float, float]:
        return x / self.width, 1 - (y + size[1]) / height, size[0] / self.width, size[1] / height


def _parts(text: str) -> list[str]:
    """Return what lines may be broken after: words with their space, and pieces of very long ones."""
    words = text.split(" ")
    spaced = [word + " " for word in words[:-1]] + words[-1:]
    return [
        piece
        for word in spaced
        for piece in ([word] if len(word) <= _LONG_WORD else (word[at : at + 8] for at in range(0, len(word), 8)))
    ]
