"""How every figure of a report is drawn and kept: one look, readable on light, dark and paper, and to a screen reader.

Text and axes are drawn in one ink, which in the page's own copy becomes the page's text colour; what is drawn in
colours (Okabe and Ito's, or viridis) also differs by line style or marker, so that nothing hangs on colour alone.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dafsn_tf.errors import DataError
from dafsn_tf.files import written_aside

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "^", "s", "D", "v", "P")
PALE = "#808690"  # grid, joins and chance: visible on white and on black
WIDTH, HEIGHT = 5.4, 4.0  # inches of one panel: two stand side by side on a screen, one on a telephone

_INK = "#1b1f24"
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "grid.alpha": 0.35,
    "grid.color": PALE,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "svg.fonttype": "path",  # the same letters everywhere, whatever fonts a reader has
    "svg.hashsalt": "dafsn",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True)
class Drawing:
    """A figure that has been drawn.

    Attributes:
        name: of its files, without an ending.
        svg: for the page, in the page's text colour.
        alt: what it shows, in words.
        caption: one sentence that says what to see.
    """

    name: str
    svg: str
    alt: str
    caption: str


class Canvas:
    """Draws the figures of one report and keeps each as PNG and SVG in a folder, which exists.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def axes(self, title: str, x: str, y: str, *, height: float = HEIGHT) -> Iterator[Axes]:
        """Give axes with a title and named axes, to draw on and then to `keep`; the report's look holds meanwhile."""
        with matplotlib.rc_context(rc=_STYLE):
            axes = Figure(figsize=(WIDTH, height), layout="constrained").add_subplot()
            axes.set_title(title, wrap=True)
            axes.set_xlabel(x)
            axes.set_ylabel(y)
            yield axes

    def legend(self, axes: Axes, columns: int = 3) -> None:
        """Name the lines below the axes, where they hide nothing."""
        axes.get_figure().legend(loc="outside lower center", ncols=columns)

    def keep(self, axes: Axes, name: str, alt: str, caption: str) -> Drawing:
        """Return the drawing of axes after writing `name`.png and `name`.svg.

        Raises:
            DataError: a file that cannot be written.
        """
        figure = axes.figure
        write_file(self.folder / f"{name}.png", _saved(figure, "png", facecolor="white", dpi=150))
        transparent = _saved(figure, "svg", transparent=True, metadata={"Date": None}).decode()
        write_file(self.folder / f"{name}.svg", _on_white(transparent).encode())
        return Drawing(name, _for_page(transparent, name), alt, caption)


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a reader finds complete or not at all.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with written_aside(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error


def _saved(figure: Any, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=form, **options)
    return stream.getvalue()


def _on_white(svg: str) -> str:
    start = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:start]}<rect width="100%" height="100%" fill="white"/>{svg[start:]}'


def _for_page(svg: str, name: str) -> str:
    """Return the element alone, in the page's text colour, its ids told from those of other figures."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'((?:xlink:)?href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).replace(_INK, "currentColor")
