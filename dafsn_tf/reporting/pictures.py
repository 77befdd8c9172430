"""A picture of what was found, `gallery`; of where words looked: `attention.py`."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dafsn_client.fonts import best_file
from dafsn_client.images import as_seen
from dafsn_tf.errors import DataError
from dafsn_tf.files import written_aside

_GAP = 14  # pixels between neighbours
_THUMBNAIL = 168  # pixels, side of a gallery's cell
_QUERY_WIDTH = 230  # pixels, column of a gallery's query texts
_LONGEST = 4  # times as wide as high, or as high as wide
_INK, _PALE = (32, 33, 36), (120, 124, 130)
_MATCH, _MISS = (0, 114, 178), (213, 94, 0)  # blue and vermilion: apart in every common colour blindness
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
        queries: texts of any length and script, each in the font that holds most of it; what that lacks shows as empty
            boxes.
        results: of each query, best first; rows may differ in length.
        path: the PNG to write; its folder is made.

    Raises:
        DataError: no query, as many rows as queries are not given, or the file cannot be written.
    """
    if not queries or len(queries) != len(results):
        raise DataError(f"A gallery needs a row of results for each query; found {len(queries)} and {len(results)}.")
    small_font = ImageFont.load_default(14)
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
        text_font = _font(16, query)
        lines = _wrap(query, text_font, _QUERY_WIDTH - _GAP, max_lines=8)
        draw.multiline_text((_GAP, top + 2), "\n".join(lines), fill=_INK, font=text_font, spacing=5)
        for rank, found in enumerate(founds):
            _draw_found(sheet, found, _GAP + _QUERY_WIDTH + rank * (_THUMBNAIL + _GAP), top, small_font)
        if not founds:
            draw.text((_GAP + _QUERY_WIDTH, top + 2), "nothing found", fill=_PALE, font=text_font)
    _write(sheet, path)


def _draw_found(sheet: Image.Image, found: Found, left: int, top: int, font: _Font) -> None:
    draw = ImageDraw.Draw(sheet)
    thumbnail = fitted(found.image, _THUMBNAIL - 12)
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


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Return the picture in RGB, its longer side `side` pixels; a strip is drawn less long, to be legible."""
    scale, least = side / max(image.size), side // _LONGEST
    size = (max(least, round(image.width * scale)), max(least, round(image.height * scale)))
    return as_seen(image).resize(size, Image.Resampling.LANCZOS)


def _wrap(text: str, font: _Font, width: float, max_lines: int) -> list[str]:
    """Return one to `max_lines` lines that fit into `width` pixels; what is left over becomes an ellipsis."""
    lines, line = [], ""
    for word in _without_surrogates(text[: int(width) * max_lines]).split():  # hardly a letter is narrower than a pixel
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


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _font(size: int, text: str) -> _Font:
    """Return Pillow's own font, the same everywhere, or for a text beyond ASCII the installed one that holds most."""
    return ImageFont.load_default(size) if text.isascii() else ImageFont.truetype(best_file(text), size)


def _write(sheet: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            sheet.save(aside, "PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error
