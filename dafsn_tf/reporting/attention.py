"""Where the words of a text looked in an image, as arrays and as a figure.

`WordAttention` and its figure are the thin client's, which draws what a server answers without TensorFlow; here they
are filled by a model at hand: a run, a preset, or an exported version.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from dafsn_client import InputError
from dafsn_client.answers import similarities
from dafsn_client.attention import WordAttention
from dafsn_client.attention import word_attention as from_similarity
from dafsn_client.drawing import attention_figure
from dafsn_client.drawing import write_figure as write_by_client
from dafsn_client.errors import ROW_STATUS
from dafsn_client.images import opened
from dafsn_tf.data.pictures import PictureError, decoder_settings, normalize_picture
from dafsn_tf.errors import DataError, RunError
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.preprocessing.text import TextPreprocessor
from dafsn_tf.retrieval import Encoder
from dafsn_tf.runs import complete_model, load_run

__all__ = ["WordAttention", "attention_figure", "explain", "word_attention", "word_attentions", "write_figure"]


def explain(
    model: str | Path, text: str, image: bytes | Path, weights: str | Path | None = None
) -> tuple[WordAttention, Figure]:
    """Return where the words of a text looked in an image, and a figure of it.

    Args:
        model: a run's folder, a preset (folder or name), or an exported version's folder, or the folder of versions, of
            which the newest is taken.
        text: with at least one word that the model knows.
        image: an encoded picture, or its file.
        weights: of the frozen backbone, where the file that the run names is not at hand.

    Raises:
        RunError: no such model, or one that never learned words. DataError: a text or a picture that cannot be used.
        WeightsError: the frozen backbone's weights cannot be had, or are not those of training.
    """
    encoded = read_picture(image) if isinstance(image, Path) else image
    version = _exported_version(Path(model))
    if version is None:
        run = load_run(model, weights)
        _check_words(run.text_preprocessor, text)
        (found,) = word_attentions(encoder_of(complete_model(run)), [text], [encoded])
    else:
        (found,) = from_outputs([text], _ask_version(version, text, encoded))
    return found, attention_figure(found, opened(encoded))


def word_attention(model: Any, text: str, image: bytes | Path) -> WordAttention:
    """Return where the words of a text looked in an image.

    Args:
        model: `DAFSN` with its assets and its backbone, as `from_preset` and `runs.complete_model` give it.
        text: with at least one word.
        image: an encoded picture, or its file.

    Raises:
        RunError: a model without assets, or one that never learned words.
        DataError: a text or a picture that cannot be used.
    """
    return word_attentions(encoder_of(model), [text], [image])[0]


def word_attentions(encoder: Encoder, texts: Sequence[str], images: Sequence[bytes | Path]) -> list[WordAttention]:
    """Return where the words of text i looked in image i; the encoder's graph is traced once for all calls.

    Raises:
        DataError: a text or a picture that cannot be used.
    """
    encoded = [read_picture(image) if isinstance(image, Path) else image for image in images]
    outputs = encoder.similarity(tf.constant(list(texts)), tf.constant(encoded))
    return from_outputs(texts, {name: values.numpy() for name, values in outputs.items()})


def from_outputs(texts: Sequence[str], outputs: dict[str, np.ndarray]) -> list[WordAttention]:
    """Return the outputs of `Encoder.similarity`, or of the exported signature, as NumPy arrays.

    Raises:
        DataError: a row with a status.
    """
    for text, status in zip(texts, outputs["status"], strict=True):
        if status:
            raise DataError(f"“{text}” and its picture cannot be compared: {ROW_STATUS[int(status)]}.")
    try:
        return [from_similarity(*pair) for pair in zip(texts, similarities(texts, outputs), strict=True)]
    except InputError as error:
        raise DataError(str(error)) from error


def _exported_version(folder: Path) -> Path | None:
    """Return the folder of an exported version: itself, or the newest in it; None where it is neither."""
    numbered = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()] if folder.is_dir() else []
    newest_first = sorted(numbered, key=lambda path: -int(path.name))
    return next((path for path in (folder, *newest_first) if (path / "saved_model.pb").is_file()), None)


def _ask_version(version: Path, text: str, encoded: bytes) -> dict[str, np.ndarray]:
    try:
        loaded = tf.saved_model.load(str(version))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise RunError(f"The version {version} cannot be loaded: {str(error).splitlines()[0]}") from error
    signatures: Any = loaded.signatures  # pyright: ignore[reportAttributeAccessIssue]
    if "similarity" not in signatures:
        raise RunError(
            f"The version {version} has no signature 'similarity', only {', '.join(sorted(signatures)) or 'none'}: it "
            "holds one side alone. Export the run without --only."
        )
    outputs = signatures["similarity"](texts=tf.constant([text]), images=tf.constant([encoded]))
    return {name: values.numpy() for name, values in outputs.items()}


def _check_words(preprocessor: TextPreprocessor, text: str) -> None:
    """Refuse a text of which the model knows no word."""
    word_ids = preprocessor(tf.constant([text.encode("utf-8", "replace")]))["word_ids"].numpy()
    if word_ids.any() and word_ids.max() <= preprocessor.oov_buckets:
        raise DataError(
            f"The model knows no word of “{text}”; its vocabulary holds "
            f"{preprocessor.vocabulary_size - preprocessor.oov_buckets - 1:,} words. Use words of those."
        )


def encoder_of(model: Any) -> Encoder:
    """Return the encoder of a model, to explain many pairs with.

    Raises:
        RunError: a model without assets, or one that never learned words.
    """
    if model.assets is None:
        raise RunError("This model knows no vocabulary. Take it from a finished run or a preset.")
    if not model.config.loss.learns_words:
        raise RunError(
            "This model was trained without a loss of words (loss.word_weight and loss.fused_weight are 0): its words "
            "look nowhere in particular, and there is nothing to explain. Train one with --set loss.fused_weight=1.0."
        )
    text = model.config.text
    preprocessor = TextPreprocessor(model.assets.vocabulary, text.max_words, text.oov_buckets)
    return Encoder(model, preprocessor, Fusion.from_dict(model.assets.fusion))


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or SVG, by the file's suffix, aside first.

    Raises:
        DataError: another suffix, or a file that cannot be written.
    """
    try:
        write_by_client(figure, path)
    except InputError as error:
        raise DataError(str(error)) from error


def read_picture(path: Path) -> bytes:
    """Return the picture of a file, encoded and upright, as collections hold it.

    Raises:
        DataError: no such file, or no picture.
    """
    try:
        with decoder_settings():
            return normalize_picture(path.read_bytes())
    except OSError as error:
        raise DataError(f"The picture {path} cannot be read: {error.strerror or error}.") from error
    except PictureError as error:
        raise DataError(f"{path} cannot be used as a picture: {error}.") from error
