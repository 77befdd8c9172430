"""Texts to words and ids, with the bytes where each word stands in the caller's own string."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from dafsn_tf.errors import ConfigError, DataError
from dafsn_tf.preprocessing.status import Status

_UNSPACED_SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
_APOSTROPHES = r"'‘’＇"
_TEXTS_A_BATCH = 4096
BYTES_A_WORD = 256  # on average, what is read of a text for each word kept; the longest words of a language stay below


def _token_pattern() -> str:
    """Return the RE2 pattern of one token.

    RE2 has no intersection of classes, but `[^\\P{A}\\P{B}]` is A and B, and `[^\\P{A}\\p{B}]` is A without B.
    """
    unspaced = "".join(rf"\p{{{script}}}" for script in _UNSPACED_SCRIPTS)
    kana_marks = r"\x{30FC}\x{FF70}\x{FF9E}\x{FF9F}"  # long vowels and voicing: letters to Unicode, marks to a reader
    fillers = r"\x{115F}\x{1160}\x{3164}\x{FFA0}"  # Hangul fillers: letters that normalisation deletes
    spaced = rf"[^\P{{L}}{unspaced}{kana_marks}{fillers}]|[^\P{{N}}{unspaced}]"
    joiners = rf"[{_APOSTROPHES}]|[\x{{AD}}\x{{200C}}\x{{200D}}\x{{2060}}]"  # the invisible ones vanish in folding
    word = rf"(?:{spaced})(?:{spaced}|\p{{M}}|(?:{joiners})(?:{spaced}))*"
    characters = "|".join(rf"[^\P{{{kind}}}\P{{{script}}}]" for script in _UNSPACED_SCRIPTS for kind in ("L", "N"))
    character = rf"(?:{characters})[\p{{M}}{kana_marks}]*"
    return rf"{word}|{character}|\p{{So}}"


_TOKEN = _token_pattern()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def tokenize(texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Return the normalised words of texts (N,), and the first byte and the byte after the last of each.

    A word is a run of letters, marks and numbers, apostrophes inside it included. In scripts written without spaces
    each character with its marks is a word, elsewhere each symbol or emoji; everything else separates, hyphens and
    bytes that are not UTF-8 too. Offsets (int64) count bytes of the given string: words are cut out of it first,
    and only then brought to NFKC, case-folded and given one apostrophe.

    Returns:
        Words (string), starts and ends, all ragged (N, T).
    """
    texts = tf.strings.regex_replace(texts, r"\x00", " ")  # the splitter takes a zero for the string's end
    # Every byte belongs to a match, a token or a separator of one byte, so nothing is left between matches.
    segments: Any = tf_text.regex_split_with_offsets(texts, rf"{_TOKEN}|\C", _TOKEN)
    tokens, starts, ends = segments
    return tokens.with_flat_values(_normalize(tokens.flat_values)), starts, ends


def _normalize(tokens: tf.Tensor) -> tf.Tensor:
    folded = tf_text.case_fold_utf8(tf_text.normalize_utf8(tokens, "NFKC"))
    return tf.strings.regex_replace(folded, r"[‘’ʼ]", "'")


class TextPreprocessor(tf.Module):
    """Texts to word ids: 0 pads, 1 to `oov_buckets` share the unknown words by hash, then the vocabulary in order.

    Arguments:
        vocabulary: words as `tokenize` writes them (see `build_vocabulary`).
        max_words: T, words kept of a text; the rest is cut. Bytes after the first `BYTES_A_WORD` x T are not read, so
            that a text costs no more than that, however long it is: a word that goes on there ends there.
        oov_buckets: ids for words outside the vocabulary, at least 1.

    Raises:
        ConfigError: `max_words` or `oov_buckets` below 1.
        DataError: a vocabulary that is empty or holds a word twice.
    """

    def __init__(self, vocabulary: Sequence[str], max_words: int, oov_buckets: int):
        super().__init__(name="text_preprocessor")
        for name, value in (("max_words", max_words), ("oov_buckets", oov_buckets)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1.")
        if not vocabulary:
            raise DataError("The vocabulary is empty; build it from training texts that hold words.")
        repeated = [word for word, count in Counter(vocabulary).items() if count > 1]
        if repeated:
            raise DataError(f"The vocabulary holds '{repeated[0]}' more than once; list each word once.")
        self.max_words = max_words
        self.max_bytes = BYTES_A_WORD * max_words
        self.oov_buckets = oov_buckets
        self.vocabulary_size = 1 + oov_buckets + len(vocabulary)  # all ids, padding and unknown words included
        ids = tf.range(1 + oov_buckets, self.vocabulary_size, dtype=tf.int64)
        words = tf.constant(list(vocabulary), tf.string)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, ids), default_value=0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `word_ids` (N, T), `word_offsets` (N, T, 2) and `status` (N,) of texts (N,), all int32.

        Offsets are the bytes [start, end) of a word in the given text; ids and offsets of padding are 0.
        """
        # A cut within a character leaves bytes that are not UTF-8, which separate as any others do.
        tokens, starts, ends = tokenize(tf.strings.substr(texts, 0, self.max_bytes))
        return {
            "word_ids": self._pad(tokens.with_flat_values(self._look_up(tokens.flat_values))),
            "word_offsets": tf.stack([self._pad(starts), self._pad(ends)], axis=-1),
            "status": tf.where(tokens.row_lengths() == 0, int(Status.EMPTY_TEXT), int(Status.OK)),
        }

    def unknown_words(self, text: str) -> list[str]:
        """Return those of the words kept of a text that the vocabulary lacks, as they stand in the text."""
        row = self(tf.constant([text]))
        ids, offsets = row["word_ids"][0].numpy(), row["word_offsets"][0].numpy()
        unknown = (ids > 0) & (ids <= self.oov_buckets)
        return [text.encode()[start:end].decode() for start, end in offsets[unknown]]

    def _look_up(self, words: tf.Tensor) -> tf.Tensor:
        known = self.table.lookup(words)
        return tf.where(known > 0, known, 1 + tf.strings.to_hash_bucket_fast(words, self.oov_buckets))

    def _pad(self, ragged: tf.RaggedTensor) -> tf.Tensor:
        return tf.cast(ragged.to_tensor(shape=[None, self.max_words]), tf.int32)


def whole_words(words: Iterable[str]) -> Iterator[str]:
    """Yield those of normalised words that `tokenize` leaves as they are, in order: the others never occur."""
    words = iter(words)
    while batch := list(islice(words, _TEXTS_A_BATCH)):
        tokens = tokenize(tf.constant(batch, tf.string))[0].to_list()
        yield from (word for word, found in zip(batch, tokens, strict=True) if found == [word.encode()])


def build_vocabulary(texts: Iterable[str], max_size: int, min_count: int) -> list[str]:
    """Return the words of texts, most frequent first and ties in the order of their code points.

    Arguments:
        texts: of the training split only.
        max_size: words kept at most.
        min_count: occurrences below which a word is left out.
    """
    counts: Counter[bytes] = Counter()
    for tokens in _tokens(texts):
        counts.update(tokens.flat_values.numpy().tolist())
    frequent = [(-count, word) for word, count in counts.items() if count >= min_count]
    return [word.decode() for _, word in sorted(frequent)[:max_size]]  # UTF-8 sorts as its code points


def count_longer(texts: Iterable[str], max_words: int) -> int:
    """Return how many texts have more than `max_words` words."""
    return sum(int((tokens.row_lengths().numpy() > max_words).sum()) for tokens in _tokens(texts))


def _tokens(texts: Iterable[str]) -> Iterator[tf.RaggedTensor]:
    """Yield the words of texts as `tokenize` writes them, a batch of texts at a time."""
    encoded = (text.encode("utf-8", "replace") for text in texts)  # a lone surrogate has no UTF-8
    while batch := list(islice(encoded, _TEXTS_A_BATCH)):
        tokens, _, _ = tokenize(tf.constant(batch))
        yield tokens
