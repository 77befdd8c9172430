"""From a source folder to a prepared collection: record files, `manifest.json` and `problems.jsonl`."""

import dataclasses
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.manifest import Manifest, SplitInfo
from dafsn_tf.data.output import new_folder
from dafsn_tf.data.pictures import PictureError, decoder_settings, has_dark_16_bits, normalize_picture
from dafsn_tf.data.problems import Problem, Problems, printable
from dafsn_tf.data.sources import Layout, find_layout
from dafsn_tf.data.splits import apply_split_lists, complete_splits
from dafsn_tf.data.texts import is_unicode, tidy_texts
from dafsn_tf.errors import DataError

PROBLEMS_FILE = "problems.jsonl"
_WORKERS = 2  # decoding threads; Pillow releases the interpreter lock
_LOOKAHEAD = 16  # pictures in memory at a time
_SHARD_BYTES = 64 * 2**20
_SHARD_EXAMPLES = 1000
_SHOWN = 10  # problems named by the error of a strict run
_DARK = "uses less than a sixteenth of the range of its 16 bits and is nearly black: stretch it to that range first"
_Loaded = tuple[bytes, bytes, bool]  # see `_load_picture`


@dataclasses.dataclass(frozen=True)
class _Stored:
    """An item whose picture lies in the spool file."""

    item: Item
    checksum: bytes  # of the picture in the source
    offset: int
    length: int


def prepare(
    name: str,
    source: Path | None,
    out: Path,
    *,
    seed: int = 0,
    redraw_splits: bool = False,
    strict: bool = False,
    documents: bool | None = None,
    image_side: int = 512,
    max_pixels: int = 100_000_000,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Return the manifest of a collection after reading it from `source` and writing it to the folder `out`.

    Args:
        name: native layout: a key of `dafsn_tf.data.sources.LAYOUTS`.
        source: the collection's folder; None for a generated one.
        out: folder to make; it appears complete or not at all.
        seed: of drawn splits and of generated collections.
        redraw_splits: whether to draw every split, although `splits.json` or the source names some. What `splits.json`
            leaves out stays out, so that all draws are of the same items.
        strict: whether any problem of the source is an error.
        documents: whether the texts of a picture form one document; None takes the layout's own way.
        image_side: pixels to which the shorter side of larger pictures is reduced.
        max_pixels: pixels beyond which a picture is not decoded.
        force: whether to replace a collection that `out` already holds.
        progress: called as progress(pictures done, pictures in all).

    Raises:
        DataError: no such layout or source, an `out` that may not be written, nothing to train on, or, if strict, any
            problem of the source. Nothing is left behind.
    """
    layout = find_layout(name)
    for option, value in (("--image-side", image_side), ("--max-pixels", max_pixels)):
        if value < 1:
            raise DataError(f"{option} is {value}; it must be at least 1.")
    source = None if source is None else Path(source)
    problems = Problems()
    try:
        with new_folder(Path(out), force) as folder:
            items = _usable_items(_listed_items(layout, source, problems, seed, redraw_splits), problems)
            spool_path = folder / "pictures.spool"
            with spool_path.open("w+b") as spool, decoder_settings():
                stored = list(_store_pictures(items, spool, problems, image_side, max_pixels, progress))
                splits, origin = complete_splits([entry.item for entry in stored], seed)
                _report_copies(stored, splits, problems)
                _check_usable(stored, problems, source, strict)
                if "train" not in splits:
                    raise DataError(f"No usable item of {source or name} is in the split 'train'{_counted(problems)}.")
                classes = tuple(sorted({label for entry in stored for label in entry.item.labels}))
                infos = {
                    split: _write_split(
                        folder, split, [e for e, s in zip(stored, splits, strict=True) if s == split], spool, classes
                    )
                    for split in SPLITS
                }
            spool_path.unlink()
            manifest = Manifest(
                name=_collection_name(layout, source),
                source=layout.name,
                seed=seed,
                documents=layout.documents if documents is None else documents,
                classes=classes,
                splits=infos,
                split_origin=origin,
                problems=problems.counts(),
                skipped=dict(sorted(problems.skipped.items())),
            )
            _write_problems(folder / PROBLEMS_FILE, problems)
            manifest.write(folder)
            return manifest
    except OSError as error:
        raise DataError(f"{source or name} cannot be prepared: {error}.") from error


def read_problems(data: Path) -> list[Problem]:
    """Return the problems that were found when a collection was prepared, in order."""
    with (Path(data) / PROBLEMS_FILE).open(encoding="utf-8") as file:
        return [Problem(**json.loads(line)) for line in file]


def _listed_items(
    layout: Layout, source: Path | None, problems: Problems, seed: int, redraw_splits: bool
) -> Iterable[Item]:
    """Return the items of the source; those that its `splits.json` lists where it has one."""
    items = layout.read(source, problems, seed)
    if source is not None and not layout.generated:
        lists = (source if source.is_dir() else source.parent) / "splits.json"
        if lists.is_file():
            items = apply_split_lists(items, lists, problems)
    return (dataclasses.replace(item, split=None) for item in items) if redraw_splits else items


def _usable_items(items: Iterable[Item], problems: Problems) -> list[Item]:
    """Return the items with an id of their own and at least one text that holds a word."""
    usable: dict[str, Item] = {}
    for item in items:
        if item.id in usable:
            taken_by = usable[item.id].line or usable[item.id].place
            problems.add(
                "repeated_id", item.line or item.place, f"the id '{item.id}' is taken by {taken_by}; join their texts"
            )
        elif not is_unicode(item.id, *item.labels):
            problems.add("bad_name", item.place, "id and labels must be valid Unicode")
        elif item.mentions:  # they point at bytes of the texts
            usable[item.id] = item
        else:
            texts = tidy_texts(item, problems)
            if texts:
                usable[item.id] = dataclasses.replace(item, texts=texts)
            else:
                where = f" in {item.line}" if item.line else ""
                problems.add("missing_text", item.place, f"no text is left{where}; the picture is not used")
    return list(usable.values())


def _store_pictures(
    items: Sequence[Item],
    spool: BinaryIO,
    problems: Problems,
    image_side: int,
    max_pixels: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Stored]:
    """Yield the items whose picture can be used, in order, after appending the picture to the spool.

    Splits are drawn from what can be used, hence after all pictures are read and before any record is written.
    """
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        waiting: deque[tuple[Item, Future[_Loaded]]] = deque()
        upcoming = iter(items)
        for done in range(1, len(items) + 1):
            while len(waiting) < _LOOKAHEAD and (item := next(upcoming, None)) is not None:
                waiting.append((item, pool.submit(_load_picture, item, image_side, max_pixels)))
            item, future = waiting.popleft()
            try:
                picture, checksum, is_dark = future.result()
            except PictureError as error:
                advice = ", or raise --max-pixels" if error.kind == "too_many_pixels" else ""
                problems.add(error.kind, item.place, f"{error}{advice}")
            else:
                if is_dark:
                    problems.add("dark_16_bits", item.place, _DARK)
                yield _Stored(item, checksum, spool.tell(), spool.write(picture))
            if progress is not None:
                progress(done, len(items))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted command does not read those ahead first


def _load_picture(item: Item, image_side: int, max_pixels: int) -> _Loaded:
    """Return an item's picture as it is stored, the checksum of what the source holds, and whether 16 bits are dark."""
    try:
        encoded = item.image if isinstance(item.image, bytes) else item.image.read_bytes()
    except OSError as error:
        raise PictureError("undecodable_image", f"cannot be read: {error.strerror}") from error
    picture = normalize_picture(encoded, image_side, max_pixels)
    return picture, hashlib.sha256(encoded).digest(), has_dark_16_bits(encoded)


def _report_copies(stored: Sequence[_Stored], splits: Sequence[str], problems: Problems) -> None:
    """Report each picture that is the same file as one of an earlier split: what was trained on tests nothing."""
    first: dict[bytes, tuple[Item, str]] = {}
    for entry, split in sorted(zip(stored, splits, strict=True), key=lambda pair: SPLITS.index(pair[1])):
        item, taken_by = first.setdefault(entry.checksum, (entry.item, split))
        if taken_by != split:
            problems.add(
                "copy_in_two_splits", entry.item.place, f"in {split}, the same file as {item.place} in {taken_by}"
            )


def _check_usable(stored: Sequence[_Stored], problems: Problems, source: Path | None, strict: bool) -> None:
    if strict and problems.entries:
        lines = [f"{problem.kind}: {problem.path}: {problem.detail}" for problem in problems.entries[:_SHOWN]]
        more = len(problems.entries) - len(lines)
        raise DataError(
            f"{source} has {len(problems.entries)} problems, and --strict allows none:\n  "
            + "\n  ".join(lines)
            + (f"\n  and {more} more" if more else "")
        )
    if not stored:
        raise DataError(f"{source} holds no picture with a text that can be used{_counted(problems)}.")


def _counted(problems: Problems) -> str:
    counts = [f"{count} {kind}" for kind, count in problems.counts().items()]
    counts += [f"{count} {reason} (skipped)" for reason, count in sorted(problems.skipped.items())]
    first = f"; the first: {problems.entries[0].path}: {problems.entries[0].detail}" if problems.entries else ""
    return f" (found {', '.join(counts)}{first})" if counts else ""


def _write_split(
    folder: Path, split: str, entries: Sequence[_Stored], spool: BinaryIO, classes: Sequence[str]
) -> SplitInfo:
    from dafsn_tf.data.records import encode_example, write_shard  # loads TensorFlow

    class_index = {name: index for index, name in enumerate(classes)}

    def examples(shard: Sequence[_Stored]) -> Iterator[bytes]:
        for entry in shard:
            spool.seek(entry.offset)
            picture = spool.read(entry.length)
            yield encode_example(entry.item, picture, sorted(class_index[label] for label in entry.item.labels))

    parts = _cut(entries)
    return SplitInfo(
        num_images=len(entries),
        num_texts=sum(len(entry.item.texts) for entry in entries),
        num_unlabelled=sum(not entry.item.labels for entry in entries),
        shards=tuple(
            write_shard(folder / f"{split}-{number:05d}-of-{len(parts):05d}.tfrecord", examples(part))
            for number, part in enumerate(parts)
        ),
    )


def _cut(entries: Sequence[_Stored]) -> list[list[_Stored]]:
    """Return the entries in shards of bounded size."""
    parts: list[list[_Stored]] = []
    size = 0
    for entry in entries:
        if not parts or len(parts[-1]) == _SHARD_EXAMPLES or size + entry.length > _SHARD_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += entry.length
    return parts


def _write_problems(path: Path, problems: Problems) -> None:
    with path.open("w", encoding="utf-8") as file:
        for problem in problems.entries:
            file.write(json.dumps(dataclasses.asdict(problem), ensure_ascii=False) + "\n")


def _collection_name(layout: Layout, source: Path | None) -> str:
    return printable(source.resolve().stem) if layout.personal and source is not None else layout.name
