"""A collection of a kind that was not made for this package: emoji, drawn in 3D, with what Unicode says of them.

    npm pack @lobehub/fluent-emoji-3d@1.1.0 emojibase-data@17.0.0    # both MIT; unpack each beside its archive
    python benchmarks/emoji_collection.py fluent-emoji-3d/package/assets emojibase-data/package/en/data.json DIRECTORY

copies the pictures of all emoji of one tone of skin that both have, in Unicode's order, with one or two texts: its
name, and its keywords. Its group (flags, food and drink, ...) is left out: a picture is found by its own texts alone.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from dafsn_tf.data.output import new_folder
from dafsn_tf.errors import DafsnError, DataError


def write(pictures: Path, names: Path, out: Path) -> int:
    """Write the collection and return the number of its pictures.

    Args:
        pictures: folder of the pictures, each of its code points in hexadecimal with `.webp`.
        names: `data.json` of a language of emojibase.
        out: folder to make; it appears complete or not at all.

    Raises:
        DataError: no such folder or file, or nothing that both have.
    """
    if not pictures.is_dir() or not names.is_file():
        missing = names if pictures.is_dir() else pictures
        raise DataError(f"There is no {missing}. Unpack both packages and name their folder and file.")
    try:
        entries = json.loads(names.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError("no list")
        described = [(f"{entry['hexcode'].lower()}.webp", entry) for entry in entries if "group" in entry]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{names} is no list of emoji as emojibase's data.json is.") from error
    found = [(name, entry) for name, entry in described if (pictures / name).is_file()]
    if not found:
        raise DataError(f"{pictures} has no picture of any of the {len(described)} emoji of {names}.")
    with new_folder(out) as folder, (folder / "emoji.jsonl").open("w", encoding="utf-8") as lines:
        for name, entry in found:
            shutil.copyfile(pictures / name, folder / name)
            texts = [entry["label"], *([", ".join(entry["tags"])] if entry.get("tags") else [])]
            lines.write(json.dumps({"image": name, "texts": texts}, ensure_ascii=False) + "\n")
    return len(found)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("names", type=Path, help="data.json of a language")
    parser.add_argument("out", type=Path, help="folder that does not exist yet")
    options = parser.parse_args()
    print(f"{write(options.pictures, options.names, options.out)} pictures in {options.out}")


if __name__ == "__main__":
    try:
        main()
    except (DafsnError, OSError) as error:
        sys.exit(f"error: {error}")
