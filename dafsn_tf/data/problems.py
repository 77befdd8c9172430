"""What a collection holds that cannot be used: counted, named with its path, never dropped silently."""

from collections import Counter
from dataclasses import dataclass
from os import PathLike


@dataclass(frozen=True)
class Problem:
    """One defect of a collection."""

    kind: str  # what it counts as, such as "undecodable_image"
    path: str  # the file, `file:line` or id it was found at
    detail: str  # what was found and what was expected


class Problems:
    """Defects of a collection, in the order they were found, and what was left out on purpose.

    Attributes:
        entries: the defects; any of them fails a strict run.
        skipped: how many things were left out because the source says so, by reason.
    """

    def __init__(self) -> None:
        self.entries: list[Problem] = []
        self.skipped: Counter[str] = Counter()

    def add(self, kind: str, path: str | PathLike[str], detail: str) -> None:
        """Record one defect."""
        self.entries.append(Problem(kind, printable(str(path)), printable(detail)))

    def skip(self, reason: str, count: int = 1) -> None:
        """Count something left out on purpose, such as a picture in no split."""
        if count:
            self.skipped[printable(reason)] += count

    def counts(self) -> dict[str, int]:
        """Return the number of defects of each kind, kinds sorted."""
        return dict(sorted(Counter(problem.kind for problem in self.entries).items()))


def printable(text: str) -> str:
    """Return text that can be written as UTF-8: file names need not be."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
