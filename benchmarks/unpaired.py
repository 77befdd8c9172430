"""Does the adversary pay where most pictures and texts have no partner? See RESULTS.md, ablate-pascal-unpaired.

    python benchmarks/unpaired.py DATA OUT --share 0.125 --seeds 0 1 2

That share of the training pictures keeps its texts. The others and their texts are known apart from each other, without
classes: matching and labels cannot use them, the modality discriminator and the encoders that play against it can.
Each step shows 32 pairs and, where the adversary sees everything, 32 pictures and 32 texts without a partner. All
methods take as many steps; the last epoch counts, its fusion is chosen on the validation split.

`full` is the model whose adversary sees everything, at weight 1. OUT holds one JSON a run, as `dafsn ablate` writes
them; one that is there is not made again.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from keras.utils import set_random_seed

from dafsn_tf.baselines.ablations import FULL
from dafsn_tf.baselines.record import run_record
from dafsn_tf.config import Config, load_config
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import DafsnError, DataError
from dafsn_tf.evaluation.embedding import Embedder
from dafsn_tf.evaluation.evaluate import Validation, all_pairs_scores, choose_fusion, fused_scores
from dafsn_tf.evaluation.modality_gap import modality_gap
from dafsn_tf.files import write_json
from dafsn_tf.fitting import compile_model, image_inputs, initial_model, training_vocabulary
from dafsn_tf.losses import adversarial_loss
from dafsn_tf.models import DAFSN
from dafsn_tf.models.game import GRADIENTS
from dafsn_tf.preprocessing.text import TextPreprocessor
from dafsn_tf.runs import load_backbone
from hard_settings import few, share_of

PAIRS = 32  # of a step; where there are rows without a partner, as many of these
METHODS = {  # kind and weight of the adversary, and whether it sees what has no partner
    FULL: ("flipped_labels", 1.0, True),
    "by_reversal": ("gradient_reversal", 1.0, True),
    "weight_0.1": ("flipped_labels", 0.1, True),
    "of_pairs_alone": ("flipped_labels", 1.0, False),
    "without_adversary": ("flipped_labels", 0.0, False),
}


class PartlyPaired(DAFSN):
    """DAFSN whose batches hold `PAIRS` pairs first, then rows whose picture and text do not belong together."""

    def alignment_losses(self, features: Any, batch: Any, training: bool = True) -> dict[str, Any]:
        """Return the losses of the pairs, with the adversary's of all rows."""
        pairs = ({name: rows[:PAIRS] for name, rows in part.items()} for part in (features, batch))
        losses, loss = super().alignment_losses(*pairs, training=training), self.config.loss
        if loss.has_adversary:
            logits = self._modality_logits(features, stop_gradient=False, training=training)
            seen = adversarial_loss(*logits, loss.adversarial_kind, self._ramp())
            losses["loss"] += loss.adversarial_weight * (seen - losses["adversarial_loss"])
            losses["adversarial_loss"] = seen
        return losses


def steps(
    records: RecordSplit, word_ids: np.ndarray, features: Any, paired: np.ndarray, everything: bool, seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches without end: of `PAIRS` pairs, and as many rows without a partner if `everything` is seen.

    Args:
        records: the training split.
        word_ids: (N, T) of its texts, in order.
        features: of its pictures.
        paired: the pictures that keep their texts.
        everything: whether the others are shown.
        seed: of what is drawn.
    """
    chance = np.random.default_rng([seed, 1])
    counts = np.array([len(texts) for texts in records.texts])
    first = np.cumsum(counts) - counts
    rest = np.setdiff1d(np.arange(len(records)), paired)
    while True:
        pictures = texts = chance.choice(paired, PAIRS, replace=False)
        if everything:
            pictures, texts = (np.concatenate([pictures, chance.choice(rest, PAIRS, replace=False)]) for _ in range(2))
        chosen = word_ids[first[texts] + chance.integers(0, counts[texts])]
        regions, whole = features.read(pictures, chance.integers(0, features.variants, len(pictures)))
        yield {
            "word_ids": chosen,
            "regions": regions.astype("float32"),
            "global": whole.astype("float32"),
            "labels": records.labels[pictures].astype("float32"),
            "image_index": pictures,
        }


def run(data: Path, config: Config, method: str, share: float, seed: int) -> dict[str, Any]:
    """Train once and return the run's record."""
    kind, weight, everything = METHODS[method]
    config = dataclasses.replace(
        config,
        loss=dataclasses.replace(config.loss, adversarial_kind=kind, adversarial_weight=weight),
    )
    set_random_seed(seed)
    began = time.monotonic()
    records = {split: open_split(data, split) for split in ("train", "validation", "test")}
    train = records["train"]
    paired = few(train, share, np.random.default_rng(0))
    if min(len(paired), len(train) - len(paired)) < PAIRS:
        raise DataError(
            f"--share {share} leaves {len(paired)} of {len(train)} training pictures their texts; a step needs {PAIRS} "
            f"that keep them and {PAIRS} that do not: name another share, or a larger collection."
        )
    inputs = image_inputs(config, data, records, load_backbone(config.image), print)
    vocabulary = training_vocabulary(config, train)
    preprocessor = TextPreprocessor(vocabulary, config.text.max_words, config.text.oov_buckets)
    word_ids = preprocessor(tf.constant([text for texts in train.texts for text in texts]))["word_ids"].numpy()

    plain = initial_model(config, vocabulary, train, inputs["train"], write=print)
    model: Any = PartlyPaired(config, plain.vocabulary_size, plain.num_classes, include_backbone=False)
    model.build()
    model.set_weights(plain.get_weights())
    compile_model(model, config, len(train))
    batches = steps(train, word_ids, inputs["train"], paired, everything, seed)
    shapes = {name: tf.TensorSpec(rows.shape, rows.dtype) for name, rows in next(batches).items()}
    stream = tf.data.Dataset.from_generator(lambda: batches, output_signature=shapes)
    history = model.fit(
        stream,
        epochs=config.training.epochs,
        steps_per_epoch=config.training.steps_per_epoch(len(train)),
        shuffle=False,
        verbose=0,
    )

    embedder = Embedder(model, preprocessor)
    validation = Validation(embedder, records["validation"], inputs["validation"], config.evaluation)
    fusion, _, selection = choose_fusion(validation)
    embeddings = embedder.embed_split(records["test"], inputs["test"])
    scores = all_pairs_scores(embedder, embeddings)
    scores["fused"] = fused_scores(embedder, embeddings, scores, fusion)
    return run_record(
        method,
        seed,
        {**config.to_dict(), "share": share, "pairs": PAIRS},
        selection,
        time.monotonic() - began,
        scores,
        train.manifest,
        embeddings.collection,
        modality_gap=modality_gap(*embeddings.learned(config.model.dim), embeddings.collection.text_image),
        **{name: [float(value) for value in history.history[name]] for name in GRADIENTS},
    )


def main() -> None:
    """Parse the command line and make the runs that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared collection")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--config", default="pascal_sentence")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="section.field=value")
    parser.add_argument("--share", type=share_of, default=0.125, help="of the training pictures that keep their texts")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    digest = Manifest.read(options.data).digest[:8]
    for seed in options.seeds:
        for method in options.methods:
            file = options.out / f"{method}-unpaired-{digest}-{seed}.json"
            if not file.exists():
                record = run(options.data, load_config(options.config, options.overrides), method, options.share, seed)
                options.out.mkdir(parents=True, exist_ok=True)
                write_json(file, record)
                print(f"{file}: validation {record['validation']:.3f}, {record['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
