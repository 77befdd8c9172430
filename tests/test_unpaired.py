"""Where most pictures and texts have no partner, these reach the adversary alone."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import unpaired
from dafsn_tf.config import Config
from dafsn_tf.data.records import open_split
from dafsn_tf.losses import adversarial_loss
from dafsn_tf.models import DAFSN

PAIRS, WEIGHT = 3, 0.5
CONFIG = {
    "text": {"embedding_dim": 6, "oov_buckets": 3, "dropout": 0.0, "word_dropout": 0.0},
    "image": {"backbone": "small_cnn", "image_size": 16, "dropout": 0.0},
    "model": {"dim": 8},
    "loss": {"adversarial_weight": WEIGHT, "label_weight": 1.0},
    "discriminator": {"hidden_dim": 8, "dropout": 0.0},
}


@pytest.fixture(autouse=True)
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpaired, "PAIRS", PAIRS)


def test_rows_without_a_partner_reach_the_adversary_and_no_other_loss() -> None:
    generator = np.random.default_rng(0)
    batch = {
        "word_ids": tf.constant(generator.integers(1, 20, (2 * PAIRS, 5)), tf.int32),
        "images": tf.constant(generator.uniform(-1, 1, (2 * PAIRS, 16, 16, 3)), tf.float32),
        "labels": tf.one_hot(generator.integers(0, 3, 2 * PAIRS), 3),
        "image_index": tf.range(2 * PAIRS),
    }
    pairs = {name: rows[:PAIRS] for name, rows in batch.items()}
    keras.utils.set_random_seed(0)
    model = unpaired.PartlyPaired(Config.from_dict(CONFIG), vocabulary_size=20, num_classes=3)
    plain = DAFSN(model.config, vocabulary_size=20, num_classes=3)
    for player in (model, plain):
        player.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
        player(batch)
    plain.set_weights(model.get_weights())

    features, features_of_pairs = model(batch), plain(pairs)
    losses = model.alignment_losses(features, batch, training=False)
    expected = plain.alignment_losses(features_of_pairs, pairs, training=False)
    seen = adversarial_loss(
        model.discriminator(features["image_features"]), model.discriminator(features["sentence_features"])
    )
    for name in ("word_loss", "sentence_loss", "fused_loss", "label_loss"):
        np.testing.assert_allclose(losses[name], expected[name], rtol=1e-4)
    np.testing.assert_allclose(losses["adversarial_loss"], seen, rtol=1e-5)
    others = expected["loss"] - WEIGHT * expected["adversarial_loss"]
    np.testing.assert_allclose(losses["loss"], others + WEIGHT * seen, rtol=1e-4)
    assert abs(seen - expected["adversarial_loss"]) > 1e-6


@pytest.mark.parametrize("everything", [True, False])
def test_a_batch_shows_pairs_first_then_what_has_no_partner(shapes_data: Path, everything: bool) -> None:
    records = open_split(shapes_data, "train")
    counts = [len(texts) for texts in records.texts]
    word_ids = np.repeat(np.arange(len(records)), counts)[:, None]  # a text's word is its picture
    features = SimpleNamespace(variants=1, read=lambda pictures, variants: (pictures[:, None], pictures[:, None]))
    paired = np.arange(10)
    batches = unpaired.steps(records, word_ids, features, paired, everything, seed=0)
    shown = [next(batches) for _ in range(20)]
    for batch in shown:
        texts, pictures = batch["word_ids"][:, 0], batch["image_index"]
        assert len(texts) == len(pictures) == PAIRS * (1 + everything)
        np.testing.assert_array_equal(texts[:PAIRS], pictures[:PAIRS])
        assert set(pictures[:PAIRS]) <= set(paired)
        assert not (set(texts[PAIRS:]) | set(pictures[PAIRS:])) & set(paired)
        np.testing.assert_array_equal(batch["regions"][:, 0], pictures)
        np.testing.assert_array_equal(batch["labels"], records.labels[pictures])
    if everything:
        strangers = [batch["word_ids"][PAIRS:, 0] == batch["image_index"][PAIRS:] for batch in shown]
        assert np.mean(strangers) < 0.3
