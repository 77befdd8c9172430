"""Texts of any script in matplotlib's figures, without the boxes of glyphs that a font lacks."""

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager

_FIRST = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic, Hebrew
_NO_TEXT = ("Last Resort", "STIX", "cm", "DejaVu Math")  # fonts of symbols, or of boxes for everything


def families(text: str) -> list[str]:
    """Return names of fonts that together hold a text's characters: matplotlib's own first, then installed ones."""
    files = _files()
    chosen, missing = [_FIRST], _missing(files.get(_FIRST, ""), text)
    for name, file in files.items():
        left = _missing(file, missing)
        if left != missing:
            chosen, missing = [*chosen, name], left
    return chosen


def best_file(text: str) -> str:
    """Return the font file that lacks fewest of a text's characters; of equals, matplotlib's."""
    files = _files()
    named = {_FIRST: files[_FIRST], **files}
    return min(named.values(), key=lambda file: len(_missing(file, text)))


def drawable(text: str) -> str:
    """Return a text that `families` can draw: a character that no installed font holds becomes its code, as U+72D7.

    Separators of any kind become a space, and a lone surrogate or a control character its code.
    """
    clean = "".join(" " if letter.isspace() else letter for letter in text)
    files = _files()
    missing = set(clean)
    for name in families(clean):
        missing = set(_missing(files.get(name, ""), missing))
    return "".join(f"U+{ord(letter):04X}" if letter in missing else letter for letter in clean)


@cache
def _files() -> dict[str, str]:
    """Return the file of each upright font of plain weight by its name, that of plain width where there are several."""
    entries = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and str(entry.weight) in ("400", "normal") and not entry.name.startswith(_NO_TEXT)
    ]
    entries.sort(key=lambda entry: (entry.name, entry.stretch == "normal", entry.fname))
    return {entry.name: entry.fname for entry in entries}  # of one name the last


def _missing(file: str, characters: Iterable[str]) -> str:
    """Return the characters that a font's file lacks, each once."""
    held = _characters(file)
    return "".join(letter for letter in dict.fromkeys(characters) if ord(letter) not in held)


@cache
def _characters(file: str) -> frozenset[int]:
    try:
        return frozenset(font_manager.get_font(file).get_charmap())
    except (OSError, RuntimeError, ValueError):  # a font file that has gone, or is none
        return frozenset()
