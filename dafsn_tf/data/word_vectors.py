"""Pre-trained word vectors, from a GloVe or fastText text file or from the ones that the package ships.

GloVe: Pennington et al., EMNLP 2014; fastText: Bojanowski et al., TACL 2017.

A line of such a file is a word and its values, separated by spaces; a first line `count dimensions` is passed over.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from dafsn_tf.errors import ConfigError, DataError

SHIPPED = "glove"  # the name that stands for the package's own file, assets/glove.npz
INITIAL_DEVIATION = 0.1  # of the values that word embeddings begin with
_APOSTROPHES = str.maketrans("‘’ʼ", "'''")


def word_vectors(source: str, words: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `words` (V,) have a vector, bool (V,), and those vectors (found, d) float32, in order.

    A vocabulary is folded (`Straße` is `strasse` in it), the words of a file may not be: a word takes the vector of the
    first line that has it as it is, else of the first that has it once folded.

    Args:
        source: "glove", or the path of a text file.
        words: a vocabulary, folded as `preprocessing.text` does.

    Raises:
        ConfigError: no such file.
        DataError: a file of another form, named with the line; of other words' lines the numbers are only counted.
    """
    places = {word: place for place, word in enumerate(words)}
    exact: dict[int, np.ndarray] = {}
    folded: dict[int, np.ndarray] = {}

    def wanted(word: str) -> bool:
        return word in places or _folded(word) in places

    for word, values in _shipped() if source == SHIPPED else _read(Path(source), wanted):
        if (place := places.get(word)) is not None:
            exact.setdefault(place, values)
        elif (place := places.get(_folded(word))) is not None:
            folded.setdefault(place, values)
    vectors = folded | exact
    found = np.isin(np.arange(len(places)), list(vectors))
    ordered = [vectors[place] for place in sorted(vectors)]
    return found, np.stack(ordered) if ordered else np.zeros((0, 0), np.float32)


def source_words(source: str) -> Iterator[str]:
    """Yield the words of a source in its order, most often from the most frequent on, folded as a vocabulary is.

    Raises:
        ConfigError: no such file. DataError: a file of another form.
    """
    return (_folded(word) for word, _ in (_shipped() if source == SHIPPED else _read(Path(source))))


def initial_embeddings(random: np.ndarray, source: str, words: Iterable[str]) -> tuple[np.ndarray, int]:
    """Return word embeddings (V, E) that begin with known vectors, and for how many words.

    A vector of d values takes the first d of the E, brought to a deviation of 0.1; everything else stays random.

    Args:
        random: (V, E), what the embeddings would be without.
        source: as `word_vectors` takes it.
        words: (V,).

    Raises:
        ConfigError: vectors wider than the embeddings, or no such file. DataError: a file of another form.
    """
    check_width(source, random.shape[1])
    found, vectors = word_vectors(source, words)
    if not len(vectors):
        return random, 0
    filled = random.copy()
    filled[found, : vectors.shape[1]] = vectors * (INITIAL_DEVIATION / max(float(vectors.std()), 1e-6))
    return filled, len(vectors)


def check_width(source: str, embedding_dim: int) -> None:
    """Refuse word vectors that are wider than the embeddings they shall begin; reads their first line.

    Raises:
        ConfigError: they are, or there is no such file. DataError: a file of another form.
    """
    _, first = next(_shipped() if source == SHIPPED else _read(Path(source)), ("", np.zeros(0)))
    if len(first) > embedding_dim:
        raise ConfigError(
            f"The word vectors of {source} have {len(first)} values, text.embedding_dim is {embedding_dim}: "
            f"set text.embedding_dim to {len(first)} or more."
        )


def pack(source: Path, target: Path, words: int = 60_000) -> None:
    """Write the first `words` words of a text file as the package ships them: 8 bits a value, one scale a dimension.

    `assets/glove.npz` was made so from GloVe's 100-dimensional vectors of 6 billion words of English (`assets/README`).
    """
    kept, rows = [], []
    for word, values in _read(source):
        if any(character.isalnum() for character in word):
            kept.append(word)
            rows.append(values)
        if len(kept) == words:
            break
    vectors = np.stack(rows)
    scale = np.abs(vectors).max(axis=0) / 127
    quantised = np.round(vectors / scale).astype(np.int8)
    np.savez_compressed(target, words=np.frombuffer("\n".join(kept).encode(), np.uint8), values=quantised, scale=scale)


def _folded(word: str) -> str:
    """Return a word as `preprocessing.text` writes it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold()).translate(_APOSTROPHES)


def _shipped() -> Iterator[tuple[str, np.ndarray]]:
    with (resources.files("dafsn_tf") / "assets" / "glove.npz").open("rb") as stream, np.load(stream) as file:
        words = file["words"].tobytes().decode().split("\n")
        yield from zip(words, file["values"] * file["scale"].astype(np.float32), strict=True)


def _read(path: Path, wanted: Callable[[str], bool] | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the words of a text file and their values; without those that are not wanted, whose numbers cost most."""
    if not path.is_file():
        raise ConfigError(
            f"text.embeddings names {path}, which is no file. Name a text file of word vectors, '{SHIPPED}' or 'none'."
        )
    width = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, _, numbers = line.rstrip().partition(" ")
            count = numbers.count(" ") + 1
            if number == 1 and count == 1:
                continue
            width = width or count
            if count >= width and wanted is not None and not wanted(word):
                continue
            try:
                values = np.array(numbers.split(" ")[-width:], np.float32)
            except ValueError:
                values = np.zeros(0, np.float32)
            if len(values) != width or not np.isfinite(values).all():
                raise DataError(f"{path}, line {number}: expected a word and {width} numbers, found {line[:60]!r}.")
            yield word, values
