"""The texts of a picture as they are stored: white space tidied, those without a word reported and left out."""

import unicodedata

from dafsn_tf.data.items import Item
from dafsn_tf.data.problems import Problems

_NO_LETTERS = (
    "\u30fc\uff70\uff9e\uff9f\u115f\u1160\u3164\uffa0"  # kana marks and Hangul fillers; see preprocessing.text
)
_SHOWN = 40  # characters of a text in a report


def tidy_texts(item: Item, problems: Problems) -> tuple[str, ...]:
    """Return the item's texts that hold a word, runs of white space as one space; the others are reported."""
    texts = []
    for number, text in enumerate(item.texts, start=1):
        tidy = " ".join(text.split())
        which = f"text {number} of {len(item.texts)}" + (f" in {item.line}" if item.line else "")
        if not tidy:
            problems.add("empty_text", item.place, f"{which} is empty")
        elif not is_unicode(tidy):
            problems.add("bad_text", item.place, f"{which} is not valid Unicode")
        elif not holds_word(tidy):
            problems.add("empty_text", item.place, f"{which} holds no word: {tidy[:_SHOWN]!r}")
        else:
            texts.append(tidy)
    return tuple(texts)


def holds_word(text: str) -> bool:
    """Return whether the tokeniser finds a word in a text: a letter, number, symbol or emoji of any script."""
    return any(
        (character.isalnum() or unicodedata.category(character) == "So") and character not in _NO_LETTERS
        for character in text
    )


def is_unicode(*texts: str) -> bool:
    """Return whether texts can be written as UTF-8: JSON can hold halves of characters."""
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
