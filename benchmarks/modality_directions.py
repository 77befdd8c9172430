"""Does ranking read what tells texts from pictures? See RESULTS.md, ablate-flickr8k-modality.

    python benchmarks/modality_directions.py RUN DATA OUT --most 64

What an adversary is to hide is taken out of a trained model's sentence and image features in closed form: the mean of
each modality (without them no linear probe of that split is better than chance: Belrose et al., LEACE, NeurIPS 2023),
or one direction after the other by which logistic regression still tells them apart (iterative null-space projection:
Ravfogel et al., Null It Out, ACL 2020); means and directions are the validation split's. If the model then ranks the
test split as before, hiding the modality cannot make it rank better. As a control, as many random directions are taken
out.

`full` is the cosine of what the encoders learned, without what is fitted when training has ended. OUT holds one JSON a
method, as `dafsn ablate` writes them; one that is there is not made again.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from dafsn_tf.baselines.ablations import FULL
from dafsn_tf.baselines.record import run_record
from dafsn_tf.data.records import open_split
from dafsn_tf.errors import DafsnError
from dafsn_tf.evaluation.embedding import Embedder, Embeddings
from dafsn_tf.evaluation.modality_gap import linear_probe, modality_gap
from dafsn_tf.evaluation.scoring import sentence_scores
from dafsn_tf.files import write_json
from dafsn_tf.models.game import GRADIENTS
from dafsn_tf.runs import Run, load_run, split_features

SEED = 0  # of the random directions
LEAST_LENGTH = 0.1  # of a probe's weights over vectors of unit length: shorter ones tell nothing

Features = tuple[np.ndarray, np.ndarray]  # of sentences (N, D) and of images (B, D), at unit length


def without_directions(features: Features, directions: np.ndarray) -> Features:
    """Return features without what they have along orthonormal directions (K, D), at unit length again."""
    sentences, images = (unit(rows - (rows @ directions.T) @ directions) for rows in features)
    return sentences, images


def modality_directions(sentences: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """Return orthonormal directions (K, D) along which a linear probe tells as many texts from images (n, D).

    Each is fitted to what the ones before it leave; there are `count` of them, or fewer where a probe finds no more.
    """
    rows, modality = np.concatenate([sentences, images]), np.repeat([0, 1], len(sentences))
    directions = np.zeros((0, rows.shape[1]))
    for _ in range(count):
        left = rows - (rows @ directions.T) @ directions
        with threadpool_limits(1):
            probe = linear_probe().fit(left, modality).coef_[0]
        probe = probe - directions.T @ (directions @ probe)
        length = np.linalg.norm(probe)
        if length < LEAST_LENGTH:
            break
        directions = np.concatenate([directions, probe[None] / length])
    return directions


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows at unit length."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class Separation:
    """What tells a validation split's modalities apart, and a test split without it.

    Args:
        validation, test: embeddings of the splits.
        dim: width of what was learned; what is fitted afterwards stands behind.
        most: directions that are looked for, at most.
    """

    def __init__(self, validation: Embeddings, test: Embeddings, dim: int, most: int) -> None:
        self.collection = test.collection
        fitted, self.as_it_is = (tuple(map(unit, split.learned(dim))) for split in (validation, test))
        self._means = [rows.mean(axis=0) for rows in fitted]
        shown, first = np.unique(validation.collection.text_image, return_index=True)
        self.directions = modality_directions(fitted[0][first], fitted[1][shown], most)
        self.random = np.linalg.qr(np.random.default_rng(SEED).normal(size=self.directions.shape[::-1]))[0].T

    def without_means(self) -> Features:
        """Return the test split's features without their modality's mean."""
        sentences, images = (unit(rows - mean) for rows, mean in zip(self.as_it_is, self._means, strict=True))
        return sentences, images


def measure(method: str, features: Features, separation: Separation, run: Run, records: Any) -> dict[str, Any]:
    """Return the record of a method: what it ranks by sentences alone, and how far the modalities are apart."""
    began = time.monotonic()
    scores = {"sentence": sentence_scores(*(rows.astype("float32") for rows in features))}
    return run_record(
        method,
        run.info["seed"],
        run.config.to_dict(),
        run.info["result"]["selection"],
        time.monotonic() - began,
        scores,
        records.manifest,
        separation.collection,
        modality_gap=modality_gap(*features, separation.collection.text_image),
        **{name: [0.0] for name in GRADIENTS},  # nothing is trained
    )


def main() -> None:
    """Parse the command line and make the measurements that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder, or the name of a shipped model")
    parser.add_argument("data", type=Path, help="the prepared collection that it was trained on")
    parser.add_argument("out", type=Path, help="folder of the files")
    parser.add_argument("--most", type=int, default=64, help="directions that are taken out, at most")
    parser.add_argument("--weights", type=Path, help="Inception-v3's weights, where Keras is not to download them")
    options = parser.parse_args()
    run = load_run(options.run, options.weights)
    records = {split: open_split(options.data, split) for split in ("validation", "test")}
    embedder = Embedder(run.model, run.text_preprocessor)
    validation, test = (
        embedder.embed_split(split, split_features(run, options.data, split, print)) for split in records.values()
    )
    separation = Separation(validation, test, run.config.model.dim, options.most)
    found = len(separation.directions)
    methods = {
        FULL: separation.as_it_is,
        "without_means": separation.without_means(),
        f"without_{found}_directions": without_directions(separation.as_it_is, separation.directions),
        f"without_{found}_random": without_directions(separation.as_it_is, separation.random),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for method, features in methods.items():
        file = options.out / f"{method}-{records['test'].manifest.digest[:8]}.json"
        if not file.exists():
            record = measure(method, features, separation, run, records["test"])
            write_json(file, record)
            print(f"{file}: {record['modality_gap']}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
