"""Collections made harder to learn from, to see whether a part of the model pays there: see RESULTS.md, ablate-*.

    python benchmarks/hard_settings.py DATA OUT few 0.125         that share of the training pictures
    python benchmarks/hard_settings.py DATA OUT wrong_labels 0.4  that share of them with another class
    python benchmarks/hard_settings.py DATA OUT wrong_texts 0.4   that share of them with the texts of another of them

DATA is a prepared collection; OUT is a source for `dafsn prepare jsonl`. Validation and test stay as they are.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.output import new_folder
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import DafsnError, DataError

Texts = Sequence[Sequence[str]]


def few(records: RecordSplit, share: float, chance: np.random.Generator) -> np.ndarray:
    """Return which pictures stay, (n,): a share of each class, or of all where there are no classes."""
    classes = records.labels.argmax(axis=1) if records.labels.size else np.zeros(len(records), int)
    kept = [
        chance.permutation(np.flatnonzero(classes == one))[: max(1, round(share * np.count_nonzero(classes == one)))]
        for one in np.unique(classes)
    ]
    return np.sort(np.concatenate(kept))


def wrong_labels(records: RecordSplit, share: float, chance: np.random.Generator) -> np.ndarray:
    """Return labels (B, C) in which a share of the pictures has one class, and not one of its own."""
    labels = records.labels.copy()
    for row in _drawn(records, share, chance):
        others = np.flatnonzero(labels[row] == 0)
        labels[row] = 0
        labels[row, chance.choice(others)] = 1
    return labels


def wrong_texts(records: RecordSplit, share: float, chance: np.random.Generator) -> Texts:
    """Return the texts of the pictures, where those of a share have moved on to the next of that share."""
    texts = list(records.texts)
    rows = _drawn(records, share, chance)
    for row, other in zip(rows, np.roll(rows, 1), strict=True):
        texts[row] = records.texts[other]
    return texts


def _drawn(records: RecordSplit, share: float, chance: np.random.Generator) -> np.ndarray:
    return chance.permutation(len(records))[: round(share * len(records))]


def write(data: Path, out: Path, setting: str, share: float, seed: int) -> None:
    """Write pictures and captions.jsonl."""
    chance, splits = np.random.default_rng(seed), {split: open_split(data, split) for split in SPLITS}
    if setting == "wrong_labels" and len(splits["train"].manifest.classes) < 2:
        raise DataError(f"{data} has fewer than two classes, so none of its labels can be wrong: name another setting.")
    with new_folder(out) as folder, (folder / "captions.jsonl").open("w", encoding="utf-8") as lines:
        for split, records in splits.items():
            rows, labels, texts = np.arange(len(records)), records.labels, records.texts
            if split == "train" and setting == "few":
                rows = few(records, share, chance)
            elif split == "train" and setting == "wrong_labels":
                labels = wrong_labels(records, share, chance)
            elif split == "train":
                texts = wrong_texts(records, share, chance)
            for row, picture in zip(rows, records.read_images(rows), strict=True):
                name = f"{split}-{row:05}.jpg"  # what is in the file tells its kind
                (folder / name).write_bytes(picture)
                entry = {
                    "image": name,
                    "texts": list(texts[row]),
                    "split": split,
                    "label": [records.manifest.classes[one] for one in np.flatnonzero(labels[row])],
                }
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")


def share_of(text: str) -> float:
    """Return a share that the command line names, above 0 and at most 1."""
    if not 0 < (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"a share is above 0 and at most 1, not {text}")
    return share


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a prepared collection")
    parser.add_argument("out", type=Path, help="folder that does not exist yet")
    parser.add_argument("setting", choices=("few", "wrong_labels", "wrong_texts"))
    parser.add_argument("share", type=share_of, help="above 0, at most 1")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.data, options.out, options.setting, options.share, options.seed)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
