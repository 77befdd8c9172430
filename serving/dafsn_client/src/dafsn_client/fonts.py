"""Texts of any script in matplotlib's figures, without the boxes of glyphs that a font lacks."""

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager

_FIRST = "DejaVu Sans"  # comes with matplotlib; Latin, Greek, Cyrillic, Arabic, Hebrew
_NO_TEXT = ("Last Resort", "STIX", "cm", "DejaVu Math")  # fonts of symbols, or of boxes for everything


def families(text: str) -> list[str]:
    """Return names of fonts that together hold a text's characters: matplotlib's own first, then installed ones."""
    chosen, missing = [_FIRST], _missing(_FIRST, text)
    for name in sorted({entry.name for entry in font_manager.fontManager.ttflist}) if missing else ():
        if not name.startswith(_NO_TEXT) and (left := _missing(name, missing)) != missing:
            chosen, missing = [*chosen, name], left
            if not missing:
                break
    return chosen


def drawable(text: str) -> str:
    """Return a text that `families` can draw: a character that no installed font holds becomes its code, as U+72D7.

    Separators of any kind become a space, and a lone surrogate or a control character its code.
    """
    clean = "".join(" " if letter.isspace() else letter for letter in text)
    missing = set(clean)
    for name in families(clean):
        missing = set(_missing(name, missing))
    return "".join(f"U+{ord(letter):04X}" if letter in missing else letter for letter in clean)


def _missing(name: str, characters: Iterable[str]) -> str:
    """Return the characters that a font lacks."""
    held = _characters(name)
    return "".join(letter for letter in dict.fromkeys(characters) if ord(letter) not in held)


@cache
def _characters(name: str) -> frozenset[int]:
    try:
        return frozenset(font_manager.get_font(font_manager.findfont(name)).get_charmap())
    except (OSError, RuntimeError, ValueError):  # a font file that has gone, or is none
        return frozenset()
