"""Pictures of what was found (`gallery`) and of where the words looked (`attention_sheet`)."""

import bisect
import contextlib
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dafsn_tf.errors import DataError, RunError

_GAP = 14  # pixels between neighbours
_THUMBNAIL = 168  # pixels, side of a gallery's cell
_QUERY_WIDTH = 230  # pixels, column of a gallery's query texts
_PANEL = 260  # pixels, longer side of an attention panel
_PANELS_A_ROW = 4
_MAX_WORDS = 15  # panels of words in one sheet
_INK, _PALE = (32, 33, 36), (120, 124, 130)
_MATCH, _MISS = (0, 114, 178), (213, 94, 0)  # blue and vermilion: apart in every common colour blindness
_VIRIDIS = np.array(
    [
        *((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142)),
        *((31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37)),
    ],
    np.float32,
)
_FUNCTION_WORD = re.compile(
    r"""a|above|across|after|against|along|also|am|among|an|and|are|around|as|at|be|been|before|behind|being|below
    |beneath|beside|between|but|by|can|each|for|from|had|has|have|he|her|here|him|his|i|in|inside|into|is|it|its
    |just|left|lies|near|next|no|not|of|off|on|onto|or|our|out|outside|over|per|right|see|she|so|some|than|that|the
    |their|them|then|there|these|they|this|those|through|to|too|toward|towards|under|up|upon|very|was|we|were|what
    |when|where|which|while|who|whom|whose|will|with|within|without|you|your|\W+""",
    re.VERBOSE,
)
_WIDE_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")  # common on some system
_NARROW_FONT = "Aileron"  # Pillow's own
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Found:
    """One result of a query; `relevant` is None where nobody knows."""

    image: Image.Image
    score: float
    relevant: bool | None


def gallery(queries: Sequence[str], results: Sequence[Sequence[Found]], path: Path) -> None:
    """Write a picture of what was found: a row a query, its text and its results in rank order.

    A relevant result has a thick frame, a tick and the word "match"; one that is not a thin frame and a cross; one of
    which nobody knows no mark.

    Args:
        queries: texts of any length and script; what the font lacks shows as empty boxes.
        results: of each query, best first; rows may differ in length.
        path: the PNG to write; its folder is made.

    Raises:
        DataError: no query, as many rows as queries are not given, or the file cannot be written.
    """
    if not queries or len(queries) != len(results):
        raise DataError(f"A gallery needs a row of results for each query; found {len(queries)} and {len(results)}.")
    text_font, small_font = _font(16, queries), ImageFont.load_default(14)
    columns = max(1, *(len(row) for row in results))
    row_height = _THUMBNAIL + 24 + _GAP
    sheet = Image.new(
        "RGB", (_GAP + _QUERY_WIDTH + columns * (_THUMBNAIL + _GAP) + _GAP, len(queries) * row_height + _GAP), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for row, (query, founds) in enumerate(zip(queries, results, strict=True)):
        top = _GAP + row * row_height
        if row:
            draw.line((_GAP, top - _GAP // 2, sheet.width - _GAP, top - _GAP // 2), fill=(225, 226, 230))
        lines = _wrap(query, text_font, _QUERY_WIDTH - _GAP, max_lines=8)
        draw.multiline_text((_GAP, top + 2), "\n".join(lines), fill=_INK, font=text_font, spacing=5)
        for rank, found in enumerate(founds):
            _draw_found(sheet, found, _GAP + _QUERY_WIDTH + rank * (_THUMBNAIL + _GAP), top, small_font)
        if not founds:
            draw.text((_GAP + _QUERY_WIDTH, top + 2), "nothing found", fill=_PALE, font=text_font)
    _write(sheet, path)


def attention_sheet(
    image: Image.Image,
    words: Sequence[str],
    relevance: Sequence[float] | np.ndarray,
    attention: np.ndarray,
    region_centres: np.ndarray,
    path: Path,
) -> None:
    """Write a picture of where the words of a text looked: the photograph, then a panel for each content word.

    A panel bears the word and its relevance; a heat map, each panel scaled to its own range, lies over the photograph,
    and a circle marks the centre of the region with the greatest attention. English function words have no panel;
    of more than 15 content words, the most relevant have one.

    Args:
        image: the photograph.
        words: T words in the text's order.
        relevance: (T,), of each word with the image (Eq 10's r_t).
        attention: (T, R), of each word over the regions.
        region_centres: (R, 2), x and y of each region's centre in [0, 1] of width and height.
        path: the PNG to write; its folder is made.

    Raises:
        RunError: shapes that do not fit, or attention that is not finite.
        DataError: no word, or the file cannot be written.
    """
    attention, centres = np.asarray(attention, np.float64), np.asarray(region_centres, np.float64)
    if not words:
        raise DataError("An attention sheet needs at least one word; the text has none.")
    if attention.shape != (len(words), len(centres)) or len(relevance) != len(words):
        raise RunError(
            f"{len(words)} words and {len(centres)} region centres need a relevance of each word and attention of "
            f"shape ({len(words)}, {len(centres)}); found {len(relevance)} relevances and attention {attention.shape}."
        )
    if not np.isfinite(attention).all():
        raise RunError("The attention holds NaN or infinity: the run has diverged. Train it anew.")
    font, title_font = _font(15, words), _font(17, words)
    photograph = _fit(image, _PANEL)
    shown = _content_words(words, relevance)
    panels = [photograph, *(_overlay(photograph, attention[word], centres) for word in shown)]
    titles = [("picture", ""), *((words[word], f"{float(relevance[word]):+.2f}") for word in shown)]
    columns = min(_PANELS_A_ROW, len(panels))
    rows = math.ceil(len(panels) / columns)
    cell_width, cell_height = photograph.width + _GAP, photograph.height + 26 + _GAP
    width = columns * cell_width + _GAP
    lines = _wrap(" ".join(words), title_font, width - 2 * _GAP, max_lines=4)
    head = _GAP + 24 * len(lines) + 6
    sheet = Image.new("RGB", (width, head + rows * cell_height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.multiline_text((_GAP, _GAP - 4), "\n".join(lines), fill=_INK, font=title_font, spacing=6)
    for number, (panel, (word, figure)) in enumerate(zip(panels, titles, strict=True)):
        left, top = _GAP + number % columns * cell_width, head + number // columns * cell_height
        room = panel.width - draw.textlength(figure, font) - 10
        draw.text((left, top), _wrap(word, font, room, max_lines=1)[0], fill=_INK if number else _PALE, font=font)
        draw.text((left + panel.width, top), figure, fill=_PALE, font=font, anchor="ra")
        sheet.paste(panel, (left, top + 24))
    _write(sheet, path)


def heat_map(attention: np.ndarray, region_centres: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return attention (R,) spread smoothly over a picture, (height, width) from 0 to 1; all 0 where it is flat.

    Every pixel is the mean of the regions, weighted by a Gaussian of its distance from their centres, so any layout of
    centres will do.
    """
    bandwidth = 0.45 * _spacing(region_centres)
    columns, rows = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    across, down = (
        -(((points[:, None] - region_centres[None, :, axis]) / bandwidth) ** 2) / 2
        for axis, points in enumerate((columns, rows))
    )
    # Far from every centre all weights would vanish; the factor cancels in the mean and keeps the nearest at 1.
    across, down = (np.exp(part - part.max(1, keepdims=True)) for part in (across, down))
    heat = (down * attention) @ across.T / (down @ across.T)
    low, high = heat.min(), heat.max()
    if high - low <= 1e-9 * max(abs(high), abs(low)):
        return np.zeros((height, width))
    return (heat - low) / (high - low)


def _spacing(region_centres: np.ndarray) -> float:
    """Return the median distance from a centre to its nearest neighbour; 1 for a single one."""
    if len(region_centres) == 1:
        return 1.0
    distances = np.linalg.norm(region_centres[:, None] - region_centres[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(1)))


def _overlay(photograph: Image.Image, attention: np.ndarray, centres: np.ndarray) -> Image.Image:
    """Return the photograph, greyed, under the heat map of one word, its peak marked."""
    heat = heat_map(attention, centres, photograph.width, photograph.height)
    steps = heat * (len(_VIRIDIS) - 1)
    colours = np.stack([np.interp(steps, np.arange(len(_VIRIDIS)), channel) for channel in _VIRIDIS.T], axis=-1)
    pixels = np.asarray(photograph, np.float64)
    greyed = 0.4 * pixels + 0.6 * pixels.mean(2, keepdims=True)
    opacity = (0.1 + 0.65 * heat)[:, :, None]
    panel = Image.fromarray(np.rint(greyed * (1 - opacity) + colours * opacity).astype(np.uint8))
    x, y = centres[attention.argmax()] * (panel.width, panel.height)
    draw = ImageDraw.Draw(panel)
    for radius, colour, line in ((8, "black", 4), (7, "white", 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=line)
    return panel


def _content_words(words: Sequence[str], relevance: Sequence[float] | np.ndarray) -> list[int]:
    """Return the places of the words to show, in the text's order: of too many, the most relevant."""
    content = [place for place, word in enumerate(words) if not _FUNCTION_WORD.fullmatch(word.casefold())]
    content = content or list(range(len(words)))
    return sorted(sorted(content, key=lambda place: -relevance[place])[:_MAX_WORDS])


def _draw_found(sheet: Image.Image, found: Found, left: int, top: int, font: _Font) -> None:
    draw = ImageDraw.Draw(sheet)
    thumbnail = _fit(found.image, _THUMBNAIL - 12)
    draw.rectangle((left, top, left + _THUMBNAIL - 1, top + _THUMBNAIL - 1), fill=(244, 245, 247))
    offset = ((_THUMBNAIL - thumbnail.width) // 2, (_THUMBNAIL - thumbnail.height) // 2)
    sheet.paste(thumbnail, (left + offset[0], top + offset[1]))
    colour = _PALE if found.relevant is None else _MATCH if found.relevant else _MISS
    draw.rectangle(
        (left, top, left + _THUMBNAIL - 1, top + _THUMBNAIL - 1), outline=colour, width=5 if found.relevant else 1
    )
    x, y = left + 2, top + _THUMBNAIL + 6
    if found.relevant:
        draw.line((x, y + 7, x + 5, y + 12, x + 14, y + 1), fill=colour, width=3, joint="curve")
    elif found.relevant is not None:
        draw.line((x + 1, y + 1, x + 12, y + 12), fill=colour, width=3)
        draw.line((x + 1, y + 12, x + 12, y + 1), fill=colour, width=3)
    label = f"{found.score:.3f}" + ("  match" if found.relevant else "")
    draw.text((x if found.relevant is None else x + 20, y - 2), label, fill=_INK, font=font)


def _fit(image: Image.Image, side: int) -> Image.Image:
    """Return the picture in RGB, its longer side `side` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _wrap(text: str, font: _Font, width: float, max_lines: int) -> list[str]:
    """Return one to `max_lines` lines that fit into `width` pixels; what is left over becomes an ellipsis."""
    lines, line = [], ""
    for word in _printable(text[: int(width) * max_lines], font).split():  # hardly a letter is narrower than a pixel
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width:
            line = joined
            continue
        lines += [line] if line else []
        while font.getlength(word) > width and len(lines) <= max_lines:
            fitting = bisect.bisect_right(
                range(len(word)), width, key=lambda end, word=word: font.getlength(word[:end])
            )
            end = max(1, fitting - 1)
            lines.append(word[:end])
            word = word[end:]
        line = word
        if len(lines) > max_lines:
            break
    lines.append(line)
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while last and font.getlength(last + "…") > width:
            last = last[:-1]
        lines[max_lines - 1 :] = [last.rstrip() + "…"]
    return lines


def _font(size: int, texts: Sequence[str]) -> _Font:
    """Return Pillow's own font, the same everywhere, or for texts beyond ASCII a wide font of the system."""
    if not all(text.isascii() for text in texts):
        for name in _WIDE_FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _printable(text: str, font: _Font) -> str:
    """Return the text without lone surrogates and, where the font is Pillow's own, without the accents it lacks."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    if clean.isascii() or font.getname()[0] != _NARROW_FONT:
        return clean
    return "".join(part for part in unicodedata.normalize("NFKD", clean) if not unicodedata.combining(part))


def _write(sheet: Image.Image, path: Path) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(aside, "PNG")
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error
