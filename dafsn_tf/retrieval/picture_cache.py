"""Features of picture files, kept from one search to the next."""

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FORMAT = 1


class PictureFeatures(NamedTuple):
    """Of one picture."""

    image: np.ndarray  # (F,) float32
    regions: np.ndarray  # (R, D) float16


class PictureCache:
    """What a model made of picture files; a file that has changed since, by size or time, is not known.

    FOLDER/<model>/<block>.npz holds some pictures: `keys` (n,), `images` (n, F), `regions` (n, R, D). Blocks are
    written aside and renamed; one that cannot be read counts as absent.

    Args:
        folder: of all models; made when the first block is kept.
        model: `keras.Model`, with its backbone; its weights are read.
        settings: whatever else decides about features.
    """

    def __init__(self, folder: Path, model: Any, settings: str) -> None:
        digest = hashlib.sha256(f"{FORMAT}\n{settings}".encode())
        for weight in model.weights:
            digest.update(weight.numpy().tobytes())
        self.folder = folder / digest.hexdigest()[:16]
        self._keys: dict[Path, str] = {}

    def find(self, files: Sequence[Path]) -> dict[Path, PictureFeatures]:
        """Return the features of those files that are known, as the files stand."""
        self._keys = {file: key for file in files if (key := _key(file))}
        wanted, known = set(self._keys.values()), {}
        for block in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(block) as stored:
                    keys, images, regions = stored["keys"].tolist(), stored["images"], stored["regions"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
            rows = zip(keys, images, regions, strict=True)
            known |= {key: PictureFeatures(image, row) for key, image, row in rows if key in wanted}
        return {file: known[key] for file, key in self._keys.items() if key in known}  # two links may be one picture

    def keep(self, features: Mapping[Path, PictureFeatures]) -> None:
        """Write features of files, made after `find` had been asked for them, as one block.

        Raises:
            OSError: the folder cannot be written.
        """
        known = {key: features[file] for file in features if (key := self._keys.get(file))}
        if not known:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        block = self.folder / f"{hashlib.sha256(''.join(known).encode()).hexdigest()[:16]}.npz"
        aside = block.with_suffix(f".{os.getpid()}.tmp")
        images, regions = (np.stack(parts) for parts in zip(*known.values(), strict=True))
        try:
            with aside.open("wb") as stream:
                np.savez(stream, keys=np.array(list(known)), images=images, regions=regions)
            os.replace(aside, block)
        finally:
            aside.unlink(missing_ok=True)


def _key(file: Path) -> str:
    """Return what tells this state of a file from others; "" where there is none."""
    try:
        state = file.stat()
    except OSError:
        return ""
    return hashlib.sha256(f"{file.resolve()}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()
