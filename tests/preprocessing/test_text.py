import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dafsn_tf.errors import ConfigError, DataError
from dafsn_tf.preprocessing.status import Status
from dafsn_tf.preprocessing.text import BYTES_A_WORD, TextPreprocessor, build_vocabulary, count_longer, tokenize


def words_and_slices(text: str | bytes) -> tuple[list[str], list[bytes]]:
    data = text.encode() if isinstance(text, str) else text
    tokens, starts, ends = tokenize(tf.constant([data]))
    spans = zip(starts.to_list()[0], ends.to_list()[0], strict=True)
    return [token.decode() for token in tokens.to_list()[0]], [data[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog, running.", ["a", "dog", "running"]),
        ("Don’t DON'T don‘t don＇t", ["don't"] * 4),
        ("the dog's dogs' 'tis", ["the", "dog's", "dogs", "tis"]),
        ("rock-n-roll x_y 1,000 3rd", ["rock", "n", "roll", "x", "y", "1", "000", "3rd"]),
        ("a\u00a0b\u3000c\u2028d", ["a", "b", "c", "d"]),
        ("Straße ΟΔΟΣ Ünï", ["strasse", "οδοσ", "ünï"]),
        ("cafe\u0301 ＤＯＧ ﬁsh ½", ["café", "dog", "fish", "1⁄2"]),
        ("日本語が犬。", ["日", "本", "語", "が", "犬"]),
        ("ラーメン ｶﾞ か\u3099", ["ラー", "メ", "ン", "ガ", "が"]),
        ("ที่น้ำ", ["ที่", "น้", "ํา"]),
        ("red犬dog二〇", ["red", "犬", "dog", "二", "〇"]),
        ("हिन्दी 한국어 עברית", ["हिन्दी", "한국어", "עברית"]),
        ("dog🐶🐶 👍🏽 ❤️!", ["dog", "🐶", "🐶", "👍", "❤"]),
        ("co\u00adoperate می\u200cخواهم", ["cooperate", "میخواهم"]),
        ("ﷺ", ["صلى الله عليه وسلم"]),
        ("\u3164 \u115f", []),
        ("a\0b\0\0 c", ["a", "b", "c"]),
        ("... \t\n", []),
        ("", []),
    ],
)
def test_words(text, expected):
    assert words_and_slices(text)[0] == expected


def test_offsets_point_into_the_callers_own_string():
    _, slices = words_and_slices("“Don’t” — ＤＯＧ\u3000½ 犬🐶")
    assert [part.decode() for part in slices] == ["Don’t", "ＤＯＧ", "½", "犬", "🐶"]


def test_invalid_bytes_separate_and_shift_nothing():
    words, slices = words_and_slices(b"\xff a\xe7\x8ab \xed\xa0\x80caf\xc3\xa9 \xe7\x8a\xac\xe7\x8a")
    assert words == ["a", "b", "café", "犬"]
    assert slices == [b"a", b"b", "café".encode(), "犬".encode()]


@given(st.lists(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode()), min_size=1))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_ordered_offsets_of_whole_code_points(texts):
    rows = (ragged.to_list() for ragged in tokenize(tf.constant(texts)))
    for data, *row in zip(texts, *rows, strict=True):
        position = 0
        for token, start, end in zip(*row, strict=True):
            assert position <= start < end <= len(data)
            assert data[start:end].decode()
            assert token.decode()
            position = end


ALPHABET = "abzÀß９७٣é日犬がカーไทำ\u0301\u0e34ｶﾞ'’‘-_ .,\u00a0\u3000🐶❤\ufe0f™½ʼ"


def reference_words(text: str) -> list[tuple[str, str]]:
    """Split by the rules as plain code: (normalised word, its slice)."""

    def kind(character):
        if character in "ーﾞ":
            return "kana mark"
        category = unicodedata.category(character)
        scripts = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "THAI")
        if category[0] in "LN" and unicodedata.name(character).startswith(scripts):
            return "unspaced"
        return {"L": "letter", "N": "letter", "M": "mark"}.get(category[0], "symbol" if category == "So" else "other")

    words, position = [], 0
    while position < len(text):
        end = position + 1
        first = kind(text[position])
        if first == "unspaced":
            while end < len(text) and kind(text[end]) in ("mark", "kana mark"):
                end += 1
        elif first == "letter":
            while end < len(text):
                apostrophe = text[end] in "'’‘" and end + 1 < len(text) and kind(text[end + 1]) == "letter"
                if not apostrophe and kind(text[end]) not in ("letter", "mark"):
                    break
                end += 1
        if first in ("unspaced", "letter", "symbol"):
            part = text[position:end]
            bare = unicodedata.normalize("NFKC", part).casefold().replace("\ufe0f", "")  # toNFKC_Casefold drops it
            words.append((unicodedata.normalize("NFKC", bare).translate(str.maketrans("‘’ʼ", "'''")), part))
        position = end
    return words


@given(st.lists(st.text(alphabet=ALPHABET, max_size=30), min_size=1))
@example(["a\ufe0f\u0301"])  # what is left composes
@settings(max_examples=60, deadline=None)
def test_words_equal_the_reference(texts):
    rows = (ragged.to_list() for ragged in tokenize(tf.constant(texts)))
    for text, tokens, starts, ends in zip(texts, *rows, strict=True):
        slices = [text.encode()[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        assert list(zip([token.decode() for token in tokens], slices, strict=True)) == reference_words(text)


def test_no_character_is_normalised_away():
    letters_and_symbols = [
        chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Lo", "Lm", "Nl", "So")
    ]
    tokens, _, _ = tokenize(tf.constant(letters_and_symbols))
    assert len(tokens.flat_values) > 100_000
    assert not bool(tf.reduce_any(tokens.flat_values == ""))


class TestTextPreprocessor:
    def test_ids_offsets_and_status(self):
        preprocessor = TextPreprocessor(["dog", "a"], max_words=4, oov_buckets=2)
        result = preprocessor(["A DOG!", "...", "a a dog a dog"])
        assert preprocessor.vocabulary_size == 5
        assert result["word_ids"].numpy().tolist() == [[4, 3, 0, 0], [0, 0, 0, 0], [4, 4, 3, 4]]
        assert result["word_offsets"].numpy()[0].tolist() == [[0, 1], [2, 5], [0, 0], [0, 0]]
        assert result["status"].numpy().tolist() == [Status.OK, Status.EMPTY_TEXT, Status.OK]
        assert {value.dtype for value in result.values()} == {tf.int32}

    def test_unknown_words_share_the_buckets(self):
        preprocessor = TextPreprocessor(["dog"], max_words=40, oov_buckets=3)
        ids = preprocessor([" ".join(f"unknown{number}" for number in range(40)), "unknown7 x unknown7"])["word_ids"]
        assert set(ids.numpy()[0]) == {1, 2, 3}
        assert ids[1, 0] == ids[1, 2] == ids[0, 7]

    def test_bytes_beyond_the_limit_are_not_read(self):
        preprocessor = TextPreprocessor(["dog", "a"], max_words=3, oov_buckets=1)
        limit = preprocessor.max_bytes
        assert limit == 3 * BYTES_A_WORD
        texts = [
            b" " * (limit - 4) + b"dog",
            b" " * (limit - 3) + b"dog",
            b" " * (limit - 2) + b"dog",
            b" " * limit + b"a",
        ]
        result = preprocessor([*texts, b"a dog" + b" " * 4_000_000])
        assert result["word_ids"].numpy().tolist() == [[2, 0, 0], [2, 0, 0], [1, 0, 0], [0, 0, 0], [3, 2, 0]]
        assert result["word_offsets"].numpy()[2, 0].tolist() == [limit - 2, limit]
        assert result["status"].numpy().tolist() == [0, 0, 0, Status.EMPTY_TEXT, 0]

    @pytest.mark.parametrize(
        ("text", "word"),
        [("é" * 200, "é" * 128), ("a" + "é" * 200, "a" + "é" * 127), (" " * 253 + "犬", "犬"), (" " * 254 + "犬", "")],
    )
    def test_a_cut_within_a_character_leaves_it_out(self, text, word):
        result = TextPreprocessor(["dog"], max_words=1, oov_buckets=1)([text])
        start, end = result["word_offsets"].numpy()[0, 0]
        assert text.encode()[start:end].decode() == word
        assert result["status"][0] == (Status.OK if word else Status.EMPTY_TEXT)

    def test_no_texts(self):
        result = TextPreprocessor(["dog"], max_words=4, oov_buckets=2)(tf.zeros([0], tf.string))
        assert [value.shape for value in result.values()] == [(0, 4), (0, 4, 2), (0,)]

    def test_a_dataset_gives_what_a_direct_call_gives(self):
        preprocessor = TextPreprocessor(["dog", "a"], max_words=5, oov_buckets=2)
        texts = ["A dog", "", "two 犬", "…", "dog’s"]
        direct = preprocessor(texts)
        batched = next(iter(tf.data.Dataset.from_tensor_slices(texts).batch(5).map(preprocessor)))
        single = [preprocessor([text]) for text in texts]
        for name, value in direct.items():
            assert value.shape[1:] == batched[name].shape[1:]
            assert (value.numpy() == batched[name].numpy()).all()
            assert (value.numpy() == tf.concat([row[name] for row in single], 0).numpy()).all()

    def test_refuses_a_repeated_word(self):
        with pytest.raises(DataError, match="holds 'dog' more than once"):
            TextPreprocessor(["dog", "a", "dog"], max_words=4, oov_buckets=2)

    def test_refuses_an_empty_vocabulary(self):
        with pytest.raises(DataError, match="vocabulary is empty"):
            TextPreprocessor([], max_words=4, oov_buckets=2)

    @pytest.mark.parametrize("name", ["max_words", "oov_buckets"])
    def test_refuses_numbers_below_one(self, name):
        with pytest.raises(ConfigError, match=f"{name} is 0; it must be at least 1"):
            TextPreprocessor(["dog"], **{"max_words": 4, "oov_buckets": 2, name: 0})


class TestBuildVocabulary:
    TEXTS = ("A dog and a cat.", "The Dog", "zebra DOG a", "ärger")

    def test_most_frequent_first_and_ties_by_code_point(self):
        assert build_vocabulary(self.TEXTS, 100, 1) == ["a", "dog", "and", "cat", "the", "zebra", "ärger"]

    def test_limits(self):
        assert build_vocabulary(self.TEXTS, 100, 2) == ["a", "dog"]
        assert build_vocabulary(self.TEXTS, 1, 1) == ["a"]

    def test_counts_over_batches(self):
        assert build_vocabulary(("dog" if index % 2 else "cat dog" for index in range(9000)), 5, 4500) == ["dog", "cat"]

    def test_texts_without_words(self):
        assert build_vocabulary(["", "\ud83d"], 5, 1) == []
        assert build_vocabulary([], 5, 1) == []


def test_texts_of_more_words_than_are_read_are_counted():
    texts = ["one two three", "one, two.", "", "one two three four"]
    assert [count_longer(texts, words) for words in (1, 2, 3, 4)] == [3, 2, 1, 0]
    assert count_longer(("a b" for _ in range(9000)), 1) == 9000  # more than a batch
    assert count_longer([], 1) == 0
