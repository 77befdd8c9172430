"""A small collection of real photographs, as a user would bring them: pictures and a .jsonl file, no classes.

    python benchmarks/few_photographs.py ../shared/data/flickr8k DIRECTORY

copies a piece of Flickr8k's training split, from picture `--first` of its list on, which counts from 0. The pictures
have one to five texts, in turn. What is said of the preset `default` on generated collections (`own_collections.py`) is
thus said of photographs too.
"""

import argparse
import json
import shutil
import sys
from itertools import islice
from pathlib import Path

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.output import new_folder
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import find_layout
from dafsn_tf.errors import DafsnError, DataError


def write(source: Path, out: Path, first: int, sizes: tuple[int, int, int]) -> None:
    """Write a piece of Flickr8k as a collection of one's own.

    Args:
        source: Flickr8k's folder.
        out: folder to make; it appears complete or not at all.
        first: place of the first picture in the training list, from 0.
        sizes: pictures that train, validate and test.

    Raises:
        DataError: no such source, fewer pictures than asked for, a split without any, or an `out` that may not be
            written.
    """
    if first < 0 or min(sizes) < 1:
        raise DataError(f"--first is {first}, --sizes {sizes}: count from 0, and all three splits need some pictures.")
    training = (item for item in find_layout("flickr8k").read(source, Problems(), 0) if item.split == "train")
    items = list(islice(training, first, first + sum(sizes)))
    if len(items) < sum(sizes):
        raise DataError(f"{sum(sizes)} pictures from {first} on are asked for; the training split has {len(items)}.")
    splits = [split for split, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]
    with new_folder(out) as folder, (folder / "photographs.jsonl").open("w", encoding="utf-8") as lines:
        for number, (item, split) in enumerate(zip(items, splits, strict=True)):
            lines.write(json.dumps(_line(item, split, folder, 1 + number % 5)) + "\n")


def _line(item: Item, split: str, folder: Path, texts: int) -> dict[str, object]:
    assert isinstance(item.image, Path)
    shutil.copyfile(item.image, folder / item.image.name)
    return {"image": item.image.name, "texts": item.texts[:texts], "split": split}


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="Flickr8k's folder")
    parser.add_argument("out", type=Path, help="folder that does not exist yet")
    parser.add_argument("--first", type=int, default=4500)
    parser.add_argument("--sizes", type=int, nargs=3, default=(320, 40, 440), metavar=("TRAIN", "VALIDATION", "TEST"))
    options = parser.parse_args()
    write(options.source, options.out, options.first, (*options.sizes,))


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
