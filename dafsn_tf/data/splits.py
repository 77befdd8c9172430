"""Which item is trained on, chosen by, and tested on: as `splits.json` says, as the source says, or drawn by seed."""

import dataclasses
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.errors import DataError


def read_split_lists(path: Path) -> dict[str, str]:
    """Return the split of every id that a `splits.json` lists, {"train": [ids], "validation": [ids], "test": [ids]}.

    Raises:
        DataError: not JSON, another form, an unknown split, or an id listed twice.
    """
    form = '{"train": [ids], "validation": [ids], "test": [ids]}'
    try:
        lists = json.loads(path.read_bytes().decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}. Expected {form}.") from error
    if not isinstance(lists, dict) or not all(isinstance(ids, list) for ids in lists.values()):
        raise DataError(f"{path} must be of the form {form}.")
    unknown = sorted(lists.keys() - set(SPLITS))
    if unknown:
        raise DataError(f"{path} names the unknown split '{unknown[0]}'. Known: {', '.join(SPLITS)}.")
    split_of: dict[str, str] = {}
    for split, ids in lists.items():
        for identity in ids:
            if not isinstance(identity, str):
                raise DataError(f"{path} lists {identity!r} in '{split}'; ids are strings. Expected {form}.")
            if identity in split_of:
                raise DataError(f"{path} lists '{identity}' in '{split_of[identity]}' and again in '{split}'.")
            split_of[identity] = split
    return split_of


def apply_split_lists(items: Iterable[Item], path: Path, problems: Problems) -> list[Item]:
    """Return the items that a `splits.json` lists, in the splits it says; others are counted as skipped."""
    split_of = read_split_lists(path)
    listed, found = [], set()
    for item in items:
        if item.id in split_of:
            listed.append(dataclasses.replace(item, split=split_of[item.id]))
            found.add(item.id)
        else:
            problems.skip(f"item not in {path.name}")
    for identity, split in split_of.items():
        if identity not in found:
            problems.add("missing_item", path, f"it lists '{identity}' in '{split}', but the source has no such item")
    return listed


def complete_splits(items: Sequence[Item], seed: int) -> tuple[list[str], str]:
    """Return the split of each item, and in words how it came about.

    Items keep the split they name; those that name none join `train`. A missing `validation` or `test` is drawn from
    `train`: a tenth, stratified by class (of several labels the first), and at least one item as long as one is left to
    train on. Within a class, ids are sorted and shuffled by `random.Random(f"{seed}:{class}")`; test items are the
    last, validation items those before.
    """
    splits = [item.split or "train" for item in items]
    named = any(item.split for item in items)
    missing = [split for split in ("test", "validation") if split not in splits]
    pool = [index for index, split in enumerate(splits) if split == "train"]
    if not missing or len(pool) <= len(missing):
        return splits, "as the source names them" if named else "all train: too few items to draw from"
    for index, split in _draw(items, pool, missing, seed).items():
        splits[index] = split
    if not named:
        by_class = ", stratified by class" if any(item.labels for item in items) else ""
        return splits, f"drawn by seed {seed}: 80/10/10{by_class}"
    return splits, f"as the source names them; {' and '.join(reversed(missing))} drawn from train by seed {seed}"


def _draw(items: Sequence[Item], pool: Sequence[int], missing: Sequence[str], seed: int) -> dict[int, str]:
    """Return the split drawn for some indices of the pool.

    What rounding takes from one class it gives to the next, so that many small classes still make up a tenth.
    """
    classes: dict[str, list[int]] = defaultdict(list)
    for index in pool:
        classes[items[index].labels[0] if items[index].labels else ""].append(index)
    drawn: dict[int, str] = {}
    given = dict.fromkeys(missing, 0)
    passed = 0
    for name in sorted(classes):
        members = sorted(classes[name], key=lambda index: items[index].id)
        random.Random(f"{seed}:{name}").shuffle(members)
        passed += len(members)
        for split in missing:
            while members and given[split] < (passed + 5) // 10:
                drawn[members.pop()] = split
                given[split] += 1
        classes[name] = members
    for split in missing:
        if not given[split]:
            largest = max(sorted(classes), key=lambda name: len(classes[name]))
            drawn[classes[largest].pop()] = split
    return drawn
