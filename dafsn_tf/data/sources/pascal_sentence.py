"""Pascal Sentence: 1000 photographs in 20 classes, about five sentences each; the sentences form one document.

    SOURCE/
      dataset/<class>/<name>.jpg
      sentence/<class>/<name>.txt      one sentence a line, UTF-8
      splits.json                      {"train": [names], "validation": [names], "test": [names]}, optional

Where: https://vision.cs.uiuc.edu/pascal-sentences/ (a page of pictures and tables; scrapers write the tree above).
Terms: photographs are from Flickr by way of PASCAL VOC 2008 and bound to Flickr's terms: research use.
Known defects: one scraped form writes `<name>txt` without the dot (read too); a few photographs have four or six
sentences. There are no published splits.
Source: Rashtchian, Young, Hodosh, Hockenmaier, NAACL HLT 2010 workshop on Amazon's Mechanical Turk.
"""

from collections.abc import Iterator
from pathlib import Path

from dafsn_tf.data.items import Item
from dafsn_tf.data.pictures import SUFFIXES
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources.lines import describe_folder, read_lines
from dafsn_tf.errors import DataError


def read(source: Path, problems: Problems) -> Iterator[Item]:
    """Return the photographs with their sentences, by class and name; the id is the file name without its ending.

    Raises:
        DataError: the folder does not hold `dataset/<class>/` and `sentence/<class>/`.
    """
    photographs, sentences = source / "dataset", source / "sentence"
    if not (photographs.is_dir() and sentences.is_dir()):
        raise DataError(
            f"{source} is not laid out as Pascal Sentence: expected dataset/<class>/<name>.jpg and "
            f"sentence/<class>/<name>.txt, found {describe_folder(source)}."
        )
    classes = sorted({folder.name for parent in (photographs, sentences) for folder in _folders(parent)})
    if not classes:
        raise DataError(f"{photographs} and {sentences} hold no class folders: expected dataset/<class>/<name>.jpg.")
    return (item for name in classes for item in _read_class(photographs / name, sentences / name, problems))


def _read_class(photographs: Path, sentences: Path, problems: Problems) -> Iterator[Item]:
    texts_of: dict[str, Path] = {}
    for path in _files(sentences):
        stem = _text_stem(path.name)
        if stem is None:
            problems.skip("file that is neither photograph nor text")
        elif stem in texts_of:
            problems.add("repeated_id", path, f"{texts_of[stem].name} holds sentences of the same photograph")
        else:
            texts_of[stem] = path
    described = set()
    for path in _files(photographs):
        if path.suffix.lower() not in SUFFIXES:
            problems.skip("file that is neither photograph nor text")
        elif path.stem not in texts_of:
            problems.add("missing_text", path, f"there is no {sentences / path.stem}.txt")
        else:
            described.add(path.stem)
            yield Item(path.stem, path, _read_sentences(texts_of[path.stem], problems), labels=(photographs.name,))
    for stem, path in texts_of.items():
        if stem not in described:
            problems.add("missing_image", path, f"there is no {photographs / stem}.jpg")


def _read_sentences(path: Path, problems: Problems) -> tuple[str, ...]:
    """Blank lines between sentences are empty texts; those at the end of a file are its line ends."""
    lines = [line for _, line in read_lines(path, problems)]
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(lines)


def _text_stem(name: str) -> str | None:
    if name.lower().endswith(".txt"):
        return name[: -len(".txt")]
    if name.lower().endswith("txt"):
        return name[: -len("txt")]
    return None


def _folders(parent: Path) -> list[Path]:
    return [entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
