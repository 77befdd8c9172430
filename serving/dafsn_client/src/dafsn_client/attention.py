"""Where the words of a text looked in an image: arrays, and how its regions lie over the photograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dafsn_client.errors import InputError
from dafsn_client.results import Similarity

MAX_WORDS = 12  # that a picture shows, where nothing else is asked
_LEAST_WEIGHT = 0.05  # of the weightiest word's: words below it are not drawn


@dataclass(frozen=True, eq=False)
class WordAttention:
    """The words of one text, T of them, over the regions of one image, R of them.

    Pictures are squeezed to the network's square, none of them cropped. So a region's place is the same share of the
    photograph's width and height as of the square's. What a region's features depend on reaches farther than its
    `region_boxes`, with Inception-v3 over the whole picture: a peak tells the middle of what was seen.

    Attributes:
        text: the text.
        words: T words as the text writes them.
        offsets: (T, 2) int32, first byte of each word in the text's UTF-8 and the byte after its last.
        relevances: (T,), cosine of each word and what it attends to, [-1, 1].
        attention: (T, R), of each word over the regions; rows sum to 1.
        region_centres: (R, 2), x and y of each region's centre in [0, 1] of width and height, row by row.
        scores: of the pair, by name: "sentence", "word", "fused".

    Raises:
        InputError: a text without words, shapes that do not fit, attention that is not finite, or regions that are no
            grid.
    """

    text: str
    words: tuple[str, ...]
    offsets: np.ndarray
    relevances: np.ndarray
    attention: np.ndarray
    region_centres: np.ndarray
    scores: dict[str, float]

    def __post_init__(self) -> None:
        count, regions = len(self.words), len(self.region_centres)
        if not count:
            raise InputError("The text holds no word, so there is no attention to show. Give a text with words.")
        shapes = (self.offsets.shape, self.relevances.shape, self.attention.shape, self.region_centres.shape)
        if shapes != ((count, 2), (count,), (count, regions), (regions, 2)):
            raise InputError(
                f"{count} words over {regions} regions need offsets ({count}, 2), relevances ({count},), attention "
                f"({count}, {regions}) and region centres ({regions}, 2); found {', '.join(map(str, shapes))}."
            )
        if not (np.isfinite(self.attention).all() and np.isfinite(self.relevances).all()):
            raise InputError("The attention holds NaN or infinity: the model has diverged. Train it anew.")
        even = np.stack(np.meshgrid(*self._axes), -1).reshape(-1, 2)
        if even.shape != self.region_centres.shape or not np.allclose(self.region_centres, even, atol=1e-5):
            raise InputError(f"The {regions} region centres are no grid that goes row by row.")

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the x of the grid's columns and the y of its rows; of centres that are no grid, any few."""
        centres = np.asarray(self.region_centres, np.float64)
        columns = max(1, int((np.abs(centres[:, 1] - centres[0, 1]) < 1e-6).sum()))
        return centres[:columns, 0], centres[::columns, 1]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of regions."""
        columns, rows = self._axes
        return len(rows), len(columns)

    @property
    def region_boxes(self) -> np.ndarray:
        """(R, 4), left, top, right, bottom in [0, 1]: the cell about each centre that is nearer to it than to others'.

        Cells at the border end there, so they tile the photograph.
        """
        (left, right), (top, bottom) = (_cells(axis) for axis in self._axes)
        x0, y0 = np.meshgrid(left, top)
        x1, y1 = np.meshgrid(right, bottom)
        return np.stack([x0, y0, x1, y1], -1).reshape(-1, 4)

    @property
    def peaks(self) -> np.ndarray:
        """(T,) int, the region that each word attends to most."""
        return self.attention.argmax(axis=1)

    @property
    def even_shares(self) -> np.ndarray:
        """(T, R), attention as a multiple of 1/R: 1 where a word prefers no region."""
        return self.attention * self.attention.shape[1]

    @property
    def content(self) -> list[int]:
        """The places of the words whose maps say something, in the text's order; of any language.

        A word weighs its relevance times how far its attention is from an even one (Kullback-Leibler divergence): a
        function word looks everywhere alike, whatever its relevance. Words of less than a twentieth of the greatest
        weight are left out.
        """
        weights = self.weights
        return [place for place, weight in enumerate(weights) if weight >= _LEAST_WEIGHT * weights.max()]

    @property
    def weights(self) -> np.ndarray:
        """(T,), what `content` compares: relevance (0 where negative) times the divergence from even, in nats."""
        shares = np.maximum(self.even_shares, 1e-12)
        return np.maximum(self.relevances, 0) * (self.attention * np.log(shares)).sum(axis=1)

    def drawn(self, words: Sequence[int] | None = None, max_words: int = MAX_WORDS) -> list[int]:
        """Return the places of the words that a picture shows, in the text's order.

        Args:
            words: places to choose from; `content` where None.
            max_words: how many at most; the weightiest stay.

        Raises:
            InputError: a place that the text has no word at, or none at all.
        """
        places = self.content if words is None else list(words)
        if not places or max_words < 1 or not all(0 <= place < len(self.words) for place in places):
            raise InputError(
                f"At most {max_words} of the words {places} cannot be drawn: the text has words 0 to "
                f"{len(self.words) - 1}."
            )
        return sorted(sorted(places, key=lambda place: -self.weights[place])[:max_words])

    def upsampled(self, word: int, width: int, height: int) -> np.ndarray:
        """Return a word's `even_shares` over a photograph, (height, width): bilinear between the regions' centres.

        Beyond the outermost centres their values go on.
        """
        columns, rows = self._axes
        across, down = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        grid = self.even_shares[word].reshape(self.grid)
        stretched = np.stack([np.interp(across, columns, row) for row in grid])
        return np.stack([np.interp(down, rows, column) for column in stretched.T], axis=1)


def word_attention(text: str, similarity: Similarity) -> WordAttention:
    """Return where the words of a text looked, from the answer of `Client.similarity`.

    Raises:
        InputError: as `WordAttention`.
    """
    found = similarity.words
    return WordAttention(
        text=text,
        words=tuple(word.word for word in found),
        offsets=np.array([(word.start, word.end) for word in found], np.int32).reshape(-1, 2),
        relevances=np.array([word.relevance for word in found], np.float32),
        attention=similarity.attention,
        region_centres=similarity.region_centres,
        scores={"sentence": similarity.sentence, "word": similarity.word, "fused": similarity.fused},
    )


def _cells(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the cells along an axis begin and end."""
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[0.0], between]), np.concatenate([between, [1.0]])
