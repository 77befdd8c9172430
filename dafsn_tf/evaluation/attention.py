"""The pointing game of a run, and of controls that know less than its attention does."""

from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.data.items import Mention
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import DataError
from dafsn_tf.evaluation.embedding import Embedder, Embeddings
from dafsn_tf.evaluation.pointing import NO_MENTIONS, PointingGame
from dafsn_tf.runs import Run, split_features


def check_attention(data: Path, split: str = "test") -> None:
    """Refuse a split that `evaluate_attention` cannot measure, before anything is computed.

    Raises:
        DataError: no such split, or records without objects.
    """
    if not any(open_split(data, split).mentions):
        raise DataError(NO_MENTIONS)


def evaluate_attention(run: Run, data: Path, split: str = "test", batch_size: int = 64) -> dict[str, Any]:
    """Return the pointing game of a split whose records name the objects behind the nouns.

    Its form is that of `PointingGame.to_json`, with `controls` beside it, each in the same form: `shuffled_words`, the
    attention that the words of a text of another image give in the same places, and `region_norm`, the length of the
    regions' features, for which no word is asked. What attention knows beyond them, it knows of the word.

    Raises:
        DataError: records without objects.
    """
    records = open_split(data, split)
    embeddings = Embedder(run.model, run.text_preprocessor).embed_split(records, split_features(run, data, records))
    return pointing_games(run.model, embeddings, records, batch_size)


def pointing_games(model: Any, embeddings: Embeddings, records: RecordSplit, batch_size: int = 64) -> dict[str, Any]:
    """Return what `evaluate_attention` does, from the embeddings of the records' texts and images."""
    import tensorflow as tf

    attend = tf.function(model.attention.attend, reduce_retracing=True)
    games = {name: PointingGame(model.image_encoder.region_centres) for name in ("", "shuffled_words", "region_norm")}
    text_image = embeddings.collection.text_image
    numbers = np.arange(len(text_image)) - np.searchsorted(text_image, text_image)  # of each text among its image's
    others = texts_of_other_images(text_image)
    for start in range(0, len(text_image), batch_size):
        rows = slice(start, start + batch_size)
        images, offsets = text_image[rows], embeddings.word_offsets[rows]
        regions = embeddings.regions[images]
        mentions = [_mentions(records, *pair) for pair in zip(images, numbers[rows], strict=True)]
        boxes = [records.boxes[image] for image in images]

        def attention(texts: Any, regions: np.ndarray = regions) -> np.ndarray:
            return attend(embeddings.words[texts], embeddings.word_mask[texts], regions)["attention"].numpy()

        norms = np.linalg.norm(regions, axis=-1)[:, None].repeat(offsets.shape[1], axis=1)
        games[""].update(attention(rows), offsets, mentions, boxes)
        games["region_norm"].update(norms, offsets, mentions, boxes)
        if others is not None:
            shuffled = in_their_places(attention(others[rows]), embeddings.word_mask[others[rows]])
            games["shuffled_words"].update(shuffled, offsets, mentions, boxes)
    figures = games.pop("").to_json()
    played = {name: game for name, game in games.items() if others is not None or name != "shuffled_words"}
    return {**figures, "controls": {name: game.to_json() for name, game in played.items()}}


def texts_of_other_images(text_image: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Return for each of N texts one of another image, drawn evenly among images and then among their texts, (N,).

    Args:
        text_image: (N,), the image of each text, ascending.
        seed: of the draw.

    Returns:
        Places of texts; None where all texts are of one image.
    """
    images, first, counts = np.unique(text_image, return_index=True, return_counts=True)
    if len(images) < 2:
        return None
    rng = np.random.default_rng(seed)
    own = np.searchsorted(images, text_image)
    other = (own + rng.integers(1, len(images), len(text_image))) % len(images)
    return first[other] + rng.integers(0, counts[other])


def in_their_places(attention: np.ndarray, word_mask: np.ndarray) -> np.ndarray:
    """Return attention (N, T, R) for every place: where a text has no word there, its words begin anew."""
    words = np.maximum(word_mask.sum(axis=1), 1)
    places = np.arange(attention.shape[1])[None] % words[:, None]
    return np.take_along_axis(attention, places[..., None], axis=1)


def _mentions(records: RecordSplit, image: int, number: int) -> list[Mention]:
    return [mention for mention in records.mentions[image] if mention.text == number]
