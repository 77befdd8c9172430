"""Pictures of where words looked; needs matplotlib and Pillow, the extra `drawing`."""

import contextlib
import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

from dafsn_client.attention import MAX_WORDS, WordAttention
from dafsn_client.errors import InputError
from dafsn_client.fonts import drawable
from dafsn_client.page import DPI, INK, PALE, Page

FORMATS = (".png", ".svg")  # that `write_figure` writes

_WIDTH, _MARGIN, _GAP, _LINE = 9.6, 0.2, 0.18, 0.21  # inches: the figure; around all, between pictures, a table's line
_INNER = _WIDTH - 2 * _MARGIN
_COLUMNS = 4  # maps beside each other
_CELL = (_INNER - (_COLUMNS - 1) * _GAP) / _COLUMNS  # inches, width of a map
_TALLEST_MAP, _TALLEST_OVERVIEW = 2.6, 3.4  # inches
_TABLE = 2.35  # inches, width of a table of words
_ROWS = 6  # of a table before a second one stands beside it
_HINT = (
    "Yellow is where a word looked, dark is where it did not; the frame is the region it looked at most. "
    "One scale for all words: a map of one colour is of a word that preferred no place."
)
_LEAST_SHARE = 1 / 16  # of an even share; what has less is as dark


def attention_figure(
    attention: WordAttention, photograph: Image.Image, words: Sequence[int] | None = None, max_words: int = MAX_WORDS
) -> Figure:
    """Return a figure: the photograph with the words' peaks numbered, and a map of each word over it.

    All maps share one logarithmic scale, in multiples of an even share, so that they compare; it ends at a sixteenth.

    Args:
        attention: of the photograph's pair.
        photograph: the whole picture, as the model was given it.
        words: places of the words to draw; `attention.content` where None.
        max_words: how many are drawn at most; the weightiest stay.

    Raises:
        InputError: as `WordAttention.drawn`.
    """
    drawn = attention.drawn(words, max_words)
    shares = attention.even_shares[drawn]
    low, high = min(0.5, float(shares.min())), max(2.0, float(shares.max()))
    norm = LogNorm(max(low, _LEAST_SHARE), high, clip=True)
    page = Page(_WIDTH, photograph, attention.text)
    y = _write_head(page, attention, _MARGIN)
    y = _draw_overview(page, attention, drawn, y) + 1.5 * _GAP
    y = _draw_maps(page, attention, drawn, norm, y)
    page.colour_bar(_MARGIN + 0.1, y, (4.4, 0.13), norm, "attention, in multiples of an even share")
    y = page.write_lines(page.wrapped(_HINT, _INNER, 8.5, 3), _MARGIN, y + 3.3 * _LINE, 8.5, PALE)
    return page.figure(y + _MARGIN)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the file's suffix; aside first, so that nobody sees half a file.

    Raises:
        InputError: another suffix, or a file that cannot be written.
    """
    check_figure_path(path)
    suffix = path.suffix.lower()
    aside = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(aside, format=suffix[1:], dpi=DPI, metadata={"Date": None} if suffix == ".svg" else {})
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


def _write_head(page: Page, attention: WordAttention, y: float) -> float:
    """Write what is shown; return where it ends."""
    page.write("Where the words looked", _MARGIN, y, 13, weight="bold")
    lines = page.wrapped(f"“{drawable(attention.text)}”", _INNER, 11, 4)
    y = page.write_lines(lines, _MARGIN, y + 1.4 * _LINE, 11)
    scores = ", ".join(f"{name} {value:.2f}" for name, value in attention.scores.items())
    return page.write_lines([f"scores of the pair: {scores}"], _MARGIN, y + 0.04, 9, PALE) + 0.06


def _draw_overview(page: Page, attention: WordAttention, drawn: Sequence[int], y: float) -> float:
    """Draw the photograph with the peaks' numbers, and what they stand for beside it; return where both end."""
    size = page.fit((_INNER - _GAP) / 2, _TALLEST_OVERVIEW)
    page.picture(_MARGIN, y, size, _numbered_peaks(attention, drawn))
    left = _MARGIN + size[0] + _GAP
    width = _WIDTH - _MARGIN - left
    tables = max(1, int(width / _TABLE))
    rows = max(min(len(drawn), _ROWS), math.ceil(len(drawn) / tables))
    for place, word in enumerate(drawn):
        table, row = divmod(place, rows)
        x = left + table * _TABLE
        if row == 0:
            _write_row(page, x, y, ("", "word", "relevance", "peak"), PALE)
        peak = f"{attention.even_shares[word].max():.1f}×"
        texts = (str(place + 1), drawable(attention.words[word]), f"{attention.relevances[word]:+.2f}", peak)
        _write_row(page, x, y + (row + 1.2) * _LINE, texts, INK)
    others = [
        f"{word} {relevance:+.2f}"
        for place, (word, relevance) in enumerate(zip(attention.words, attention.relevances, strict=True))
        if place not in drawn
    ]
    lines = page.wrapped(drawable("No map: " + ", ".join(others)), width, 8.5, 6) if others else []
    return max(y + size[1], page.write_lines(lines, left, y + (rows + 1.6) * _LINE, 8.5, PALE))


def _write_row(page: Page, x: float, y: float, texts: Sequence[str], color: str) -> None:
    number, word, relevance, peak = texts
    page.write(number, x + 0.22, y, 9.5, color, ha="right", weight="bold")
    page.write(page.wrapped(word, 0.85, 9.5, 1)[0], x + 0.3, y, 9.5, color)
    page.write(relevance, x + 1.75, y, 9.5, color, ha="right")
    page.write(peak, x + 2.2, y, 9.5, color, ha="right")


def _draw_maps(page: Page, attention: WordAttention, drawn: Sequence[int], norm: LogNorm, y: float) -> float:
    """Draw a map of each word, in rows; return where they end."""
    size = page.fit(_CELL, _TALLEST_MAP)
    title_width = max(size[0], 1.4)
    row_height = size[1] + 1.3 * _LINE + _GAP
    for place, word in enumerate(drawn):
        row, column = divmod(place, _COLUMNS)
        x, top = _MARGIN + column * (_CELL + _GAP), y + row * row_height
        name = f"{place + 1}  {drawable(attention.words[word])}"
        page.write(page.wrapped(name, title_width - 0.5, 10, 1)[0], x, top, 10)
        page.write(f"{attention.relevances[word]:+.2f}", x + title_width, top, 10, PALE, ha="right")
        frame = attention.region_boxes[attention.peaks[word]]
        page.map(x, top + 1.1 * _LINE, size, partial(attention.upsampled, word), frame, norm)
    return y + math.ceil(len(drawn) / _COLUMNS) * row_height


def _numbered_peaks(attention: WordAttention, drawn: Sequence[int]) -> list[tuple[str, float, float]]:
    """Return the words' numbers with x and y of the regions they looked at most; those of one region in one."""
    numbers: dict[int, list[str]] = {}
    for number, word in enumerate(drawn, start=1):
        numbers.setdefault(int(attention.peaks[word]), []).append(str(number))
    centres = attention.region_centres.tolist()
    return [(", ".join(group), centres[region][0], centres[region][1]) for region, group in numbers.items()]
