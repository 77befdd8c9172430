"""DAMSM (Xu et al., AttnGAN, CVPR 2018): this package's model by `presets/damsm.toml`, on the comparison's features.

Word embeddings begin as DAFSN's do, where the paper draws them.
"""

from dataclasses import dataclass, replace

import numpy as np

from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Method, Scorer, Surroundings, epochs_of
from dafsn_tf.baselines.package_model import run_scores, trained_run
from dafsn_tf.config import LEAST_BATCHES, Config, load_config


@dataclass(frozen=True)
class Settings:
    """What validation chooses; the rest is the preset's."""

    gamma3: float = 10.0  # sharpness of matching in a batch; as published
    weight_decay: float = 0.0  # decoupled; published: 0
    epochs: int = 30
    min_steps: int = 450  # small collections get more epochs


def configuration(inputs: Config, settings: Settings, images: int) -> Config:
    """Return the preset with these settings, reading the images and the vocabulary that the others read.

    Args:
        inputs: configuration that all read by.
        settings: of this method.
        images: of the training split.
    """
    preset = load_config("damsm")
    training = replace(preset.training, weight_decay=settings.weight_decay, epochs=settings.epochs)
    steps = images // min(training.batch_size, images)
    if steps < LEAST_BATCHES:  # an epoch passes through the images several times
        training = replace(training, min_steps=settings.min_steps)
    else:
        training = replace(training, epochs=epochs_of(settings, steps))
    return replace(
        preset,
        text=replace(
            preset.text,
            max_words=inputs.text.max_words,
            max_vocabulary=inputs.text.max_vocabulary,
            min_count=inputs.text.min_count,
            oov_buckets=inputs.text.oov_buckets,
            embeddings=inputs.text.embeddings,
        ),
        image=replace(
            preset.image,
            weights=inputs.image.weights,
            image_size=inputs.image.image_size,
            region_layer=inputs.image.region_layer,
            global_layer=inputs.image.global_layer,
            region_grid=inputs.image.region_grid,
            augmentation=inputs.image.augmentation,
            flip_averaging=inputs.image.flip_averaging,
        ),
        loss=replace(preset.loss, gamma3=settings.gamma3),
        training=training,
        evaluation=inputs.evaluation,
    )


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of the best epoch, word and sentence scores fused as validation chose."""
    config = configuration(train.config, settings, len(train.records))
    run = trained_run(config, train.data, surroundings.folder, seed, surroundings.write)

    def score(split: Split) -> np.ndarray:
        return run_scores(run, split)["fused"]

    return score


METHOD = Method(
    "damsm",
    fit,
    grid=(Settings(10.0, 0.0), Settings(10.0, 0.3), Settings(16.0, 0.0), Settings(40.0, 0.0)),
    axes=(
        Axis(("gamma3",), (1.6, 2.5, 4.0, 6.5, 10.0, 16.0, 25.0, 40.0, 63.0, 100.0)),
        Axis(("weight_decay",), (0.0, 0.3, 2.0, 10.0)),
    ),
)
