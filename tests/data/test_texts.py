import unicodedata
from pathlib import Path

import pytest
import tensorflow as tf

from dafsn_tf.data.items import Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.texts import holds_word, tidy_texts
from dafsn_tf.preprocessing.text import tokenize


def test_texts_are_tidied_and_those_without_a_word_reported():
    texts = ("  Two \n lines ", "!!!", "", " ... ", "\ud800", "7", "\u72ac", "\U0001f600", "-" * 99)
    problems = Problems()
    assert tidy_texts(Item("x", Path("a/x.png"), texts), problems) == ("Two lines", "7", "\u72ac", "\U0001f600")
    assert [(problem.kind, problem.path, problem.detail) for problem in problems.entries] == [
        ("empty_text", "a/x.png", "text 2 of 9 holds no word: '!!!'"),
        ("empty_text", "a/x.png", "text 3 of 9 is empty"),
        ("empty_text", "a/x.png", "text 4 of 9 holds no word: '...'"),
        ("bad_text", "a/x.png", "text 5 of 9 is not valid Unicode"),
        ("empty_text", "a/x.png", f"text 9 of 9 holds no word: '{'-' * 40}'"),
    ]


@pytest.mark.parametrize("text", ["!!!", "...", "-", "\u0301", "\u30fc", "\u3164", "\u2014\u00a0\u2026", "$ + %"])
def test_what_the_tokeniser_finds_no_word_in(text):
    assert not holds_word(text)
    assert not tokenize(tf.constant([text]))[0].flat_values.numpy().size


def test_characters_are_judged_as_the_tokeniser_does():
    """Those of Unicode 3.2 and the emoji of 6.0: RE2 and Python know them all, of later ones each knows its own."""
    characters = [chr(code) for code in range(0x30000) if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs")]
    characters += [chr(code) for code in range(0x1F300, 0x1F650)]
    words = tokenize(tf.constant(characters))[0].row_lengths().numpy() > 0
    differing = [character for character, word in zip(characters, words, strict=True) if holds_word(character) != word]
    assert differing == []
