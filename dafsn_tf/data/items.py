"""What a reader of a collection yields: one `Item` a picture."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Mention:
    """A noun of a text and the object it names."""

    text: int  # index into `Item.texts`
    start: int  # first byte of the noun in the text's UTF-8
    end: int  # byte after its last
    box: int  # index into `Item.boxes`


@dataclass(frozen=True)
class Item:
    """A picture with its texts.

    Attributes:
        id: unique within the collection.
        image: path of an encoded picture, or its bytes.
        texts: one or more, in the source's order.
        labels: class names; none where the picture has no label.
        split: "train", "validation", "test", or None where the source does not say.
        boxes: objects as (left, top, right, bottom), each in [0, 1] of width and height.
        mentions: which words of the texts name which box; ground truth for the pointing game.
        line: where the source lists it, as `file:line`; empty where a picture's path says it all.
    """

    id: str
    image: Path | bytes
    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    split: str | None = None
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    mentions: tuple[Mention, ...] = ()
    line: str = ""

    @property
    def place(self) -> str:
        """What names the item to whoever looks for it in the source: its picture's path, or its id."""
        return str(self.image) if isinstance(self.image, Path) else self.id
