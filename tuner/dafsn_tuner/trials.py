"""Trials: models of many configurations, built and fitted on one collection as `dafsn train` does it."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dafsn_tf.config import Config, ImageConfig
from dafsn_tf.data.records import Manifest
from dafsn_tf.fitting import fit, image_inputs, initial_model, open_records, source_heads, training_vocabulary
from dafsn_tf.runs import load_backbone

OBJECTIVE = "val_retrieval"  # of an epoch: MAP@all, or, without classes, the sum of six recalls, in [0, 6]


@dataclasses.dataclass(frozen=True)
class Trial:
    """What is known of a trial.

    Attributes:
        number: from 1, in the order of their beginning.
        values: of the fields searched, by name; those without effect are left out.
        status: "completed", "failed" or "unfinished".
        validation: the objective of its best epoch, averaged over seeds; None where it failed.
        epochs: epochs trained up to its best, from 1.
        error: last line of what went wrong, or "".
    """

    number: int
    values: dict[str, Any]
    status: str
    validation: float | None
    epochs: int
    error: str


class Trials:
    """Builds and fits models on the training split, judged on the validation split; no other split is opened.

    Features of a frozen backbone come from the collection's cache, which all trials share.

    Args:
        config: of the search; a trial's differs from it in what is searched.
        data: the prepared collection.
        write: receives progress.
        mirrored: whether some trial sees images mirrored too; the others read the same cache then.
    """

    def __init__(self, config: Config, data: Path, write: Callable[[str], None], mirrored: bool = False) -> None:
        self.config, self.data, self.write, self.mirrored = config, data, write, mirrored
        self.manifest = Manifest.read(data)
        self.records = open_records(data, config)
        self._inputs: dict[ImageConfig, tuple[dict[str, Any], Any]] = {}

    def complete(self, config: Config) -> Config:
        """Return a configuration with the batches and epochs that suit the collection's size."""
        return dataclasses.replace(config, training=config.training.for_images(len(self.records["train"])))

    def inputs(self, config: Config) -> tuple[dict[str, Any], Any]:
        """Return each split's features or images, and the heads that training begins with or None."""
        image = dataclasses.replace(config.image, dropout=0.0, region_dropout=0.0, global_pooling="mean")
        if self.mirrored:
            image = dataclasses.replace(image, augmentation="flip")
        if image not in self._inputs:
            backbone = load_backbone(image) if image.backbone == "inception_v3" else None
            shared = dataclasses.replace(config, image=image)
            found = image_inputs(shared, self.data, self.records, backbone, self.write)
            self._inputs[image] = found, source_heads(config, backbone)
        return self._inputs[image]

    def model(self, config: Config, seed: int) -> Any:
        """Return the model that a trial begins with, compiled, both optimizers built."""
        import keras

        config = self.complete(config)
        inputs, source = self.inputs(config)
        keras.utils.set_random_seed(seed)
        vocabulary = training_vocabulary(config, self.records["train"], source)
        return initial_model(config, vocabulary, self.records["train"], inputs["train"], source, lambda line: None)

    def fit(self, model: Any, config: Config, seed: int, epochs: tuple[int, int], callbacks: Sequence[Any]) -> Any:
        """Train a model for some epochs and return Keras' history; see `fitting.fit`."""
        from dafsn_tf.preprocessing.text import TextPreprocessor

        config = self.complete(config)
        inputs, source = self.inputs(config)
        vocabulary = training_vocabulary(config, self.records["train"], source)
        words = TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets)
        return fit(model, config, self.records, inputs, words, seed, epochs, callbacks)
