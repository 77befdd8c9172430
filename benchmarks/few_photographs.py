"""A small collection of real photographs, as a user would bring them: pictures and a .jsonl file.

    python benchmarks/few_photographs.py ../shared/data/pascal_sentence DIRECTORY

copies some of Pascal Sentence's thousand pictures, shuffled by a fixed seed, from place `--first` on (from 0; after the
last comes the first). They have one to five texts, in turn, and no classes but with `--classes`. None of them is among
Flickr8k's, whose heads the preset `photographs` begins with.

The preset was chosen by what `--first 0` gives: its test pictures are those from 360 to 799. The piece that is
published, `--first 440`, trains and validates on those from 440 to 799, and tests on 800 to 999 and 0 to 239, which the
other piece does not test on (it trains on the latter).
"""

import argparse
import json
import random
import shutil
import sys
from itertools import cycle, islice
from pathlib import Path

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.output import new_folder
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import find_layout
from dafsn_tf.errors import DafsnError, DataError

SEED = 7  # of the order


def write(source: Path, out: Path, first: int, sizes: tuple[int, int, int], classes: bool = False) -> None:
    """Write some of Pascal Sentence's pictures as a collection of one's own.

    Args:
        source: Pascal Sentence's folder.
        out: folder to make; it appears complete or not at all.
        first: place of the first picture in the shuffled list, from 0.
        sizes: pictures that train, validate and test.
        classes: whether they keep their classes.

    Raises:
        DataError: no such source, fewer pictures than asked for, a split without any, or an `out` that may not be
            written.
    """
    if first < 0 or min(sizes) < 1:
        raise DataError(f"--first is {first}, --sizes {sizes}: count from 0, and all three splits need some pictures.")
    items = list(find_layout("pascal-sentence").read(source, Problems(), 0))
    if len(items) < sum(sizes):
        raise DataError(f"{sum(sizes)} pictures are asked for; {source} has {len(items)}.")
    random.Random(SEED).shuffle(items)
    chosen = islice(cycle(items), first, first + sum(sizes))
    splits = [split for split, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]
    with new_folder(out) as folder, (folder / "photographs.jsonl").open("w", encoding="utf-8") as lines:
        for number, (item, split) in enumerate(zip(chosen, splits, strict=True)):
            lines.write(json.dumps(_line(item, split, folder, number, classes)) + "\n")


def _line(item: Item, split: str, folder: Path, number: int, classes: bool) -> dict[str, object]:
    assert isinstance(item.image, Path)
    name = f"{number:04}{item.image.suffix}"
    shutil.copyfile(item.image, folder / name)
    line = {"image": name, "texts": item.texts[: 1 + number % 5], "split": split}
    return {**line, "label": item.labels} if classes else line


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="Pascal Sentence's folder")
    parser.add_argument("out", type=Path, help="folder that does not exist yet")
    parser.add_argument("--first", type=int, default=440)
    parser.add_argument("--sizes", type=int, nargs=3, default=(320, 40, 440), metavar=("TRAIN", "VALIDATION", "TEST"))
    parser.add_argument("--classes", action="store_true", help="pictures keep their classes")
    options = parser.parse_args()
    write(options.source, options.out, options.first, (*options.sizes,), options.classes)


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
