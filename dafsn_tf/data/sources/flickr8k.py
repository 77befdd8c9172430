"""Flickr8k: 8000 photographs with five captions each, in published splits of 6000, 1000 and 1000.

    SOURCE/
      Flicker8k_Dataset/*.jpg          (sic)
      Flickr8k.token.txt               <name>.jpg#<k> TAB <caption>
      Flickr_8k.trainImages.txt        one <name>.jpg a line
      Flickr_8k.devImages.txt
      Flickr_8k.testImages.txt

The text files may also lie in `Flickr8k_text/`, and the photographs in `Flickr8k_Dataset/` or one folder deeper.
Where: Flickr8k_Dataset.zip and Flickr8k_text.zip, on request from the University of Illinois; many mirrors.
Terms: photographs are from Flickr; non-commercial research and education only.
Known defects: 92 captioned names are in no published split, among them `2258277193_586949ec62.jpg.1`, which has no
photograph. They are outside the data set, hence counted as skipped and no problem.
Source: Hodosh, Young, Hockenmaier, Journal of Artificial Intelligence Research 47 (2013) 853-899.
"""

from collections.abc import Iterator
from pathlib import Path

from dafsn_tf.data.items import Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources.lines import describe_folder, read_lines
from dafsn_tf.errors import DataError

_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_CAPTIONS = "Flickr8k.token.txt"
_TEXT_FOLDERS = (".", "Flickr8k_text")
_IMAGE_FOLDERS = (
    "Flicker8k_Dataset",
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flickr8k_Dataset",
)


def read(source: Path, problems: Problems) -> Iterator[Item]:
    """Return the photographs of the three lists with their captions by number; the id is the file name.

    Raises:
        DataError: a file of the layout is missing, or a name stands in two lists.
    """
    images = next((source / name for name in _IMAGE_FOLDERS if (source / name).is_dir()), None)
    if images is None:
        raise DataError(
            f"{source} is not laid out as Flickr8k: expected Flicker8k_Dataset/, found {describe_folder(source)}."
        )
    lists = {split: _find(source, name) for split, name in _LISTS.items()}
    captions = _read_captions(_find(source, _CAPTIONS), problems)
    return _read_items(images, captions, lists, problems)


def _read_items(
    images: Path, captions: dict[str, dict[int, str]], lists: dict[str, Path], problems: Problems
) -> Iterator[Item]:
    list_of: dict[str, Path] = {}
    for split, path in lists.items():
        for number, line in read_lines(path, problems):
            name, place = line.strip(), f"{path}:{number}"
            if not name:
                continue
            if list_of.setdefault(name, path) != path:
                raise DataError(
                    f"{place} names {name}, which {list_of[name].name} names too: a photograph belongs to one split."
                )
            if not (images / name).is_file():
                problems.add("missing_image", images / name, f"{place} names it")
            elif name not in captions:
                problems.add("missing_text", images / name, f"{place} names it, but {_CAPTIONS} has no caption of it")
            else:
                texts = tuple(text for _, text in sorted(captions[name].items()))
                yield Item(name, images / name, texts, split=split)
    problems.skip("captioned name in no split", len(captions.keys() - list_of.keys()))


def _read_captions(path: Path, problems: Problems) -> dict[str, dict[int, str]]:
    """Return captions by name and number."""
    captions: dict[str, dict[int, str]] = {}
    for number, line in read_lines(path, problems):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        name, mark, index = key.strip().rpartition("#")
        if not (tab and mark and name and index.isdecimal()):
            problems.add("bad_line", f"{path}:{number}", "expected <name>.jpg#<k> TAB <caption>")
        elif int(index) in captions.setdefault(name, {}):
            problems.add("repeated_id", f"{path}:{number}", f"a second caption {key.strip()}; the first is kept")
        else:
            captions[name][int(index)] = caption
    return captions


def _find(source: Path, name: str) -> Path:
    for folder in _TEXT_FOLDERS:
        if (source / folder / name).is_file():
            return source / folder / name
    raise DataError(f"{source} is not laid out as Flickr8k: expected {name}, found {describe_folder(source)}.")
