"""A folder of one's own pictures, searched with words by a model that is already trained."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from dafsn_client.images import opened
from dafsn_tf.data.pictures import PictureError, decoder_settings, normalize_picture, picture_files, unread_pictures
from dafsn_tf.errors import DataError
from dafsn_tf.evaluation.embedding import Embeddings
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.preprocessing.status import Status
from dafsn_tf.progress import progress_lines
from dafsn_tf.reporting.attention import attention_figure, word_attentions, write_figure
from dafsn_tf.reporting.pictures import Found, gallery
from dafsn_tf.retrieval import Encoder, Index, PictureCache, PictureFeatures
from dafsn_tf.runs import Run, complete_model

_BATCH = 16
_BLOCK = 16 * _BATCH  # pictures whose features are kept together: whole batches
_SHOWN = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Attributes:
        path: of its file.
        score: the fused score; it ranks and does not compare between models.
    """

    path: Path
    score: float


class PictureFolder:
    """The pictures of a folder and its subfolders, embedded once and ready to be asked.

    Files that hold no usable picture are passed over with a warning each.

    Args:
        run: with a text encoder whose words the questions are in; `load_run("flickr8k")` is one that the package ships.
        folder: of pictures; their files end in one of `data.pictures.SUFFIXES`.
        write: receives progress, a line at a time.
        kept: folder of a `retrieval.PictureCache`: what an earlier search looked at, even one that was interrupted, is
            taken from there.
        top_k: pictures that a search returns, at most, from 1 on.

    Raises:
        ValueError: `top_k` below 1. DataError: no such folder, or no usable picture in it.
        WeightsError: the frozen backbone's weights cannot be had, or are not those of training.
    """

    def __init__(
        self,
        run: Run,
        folder: str | Path,
        write: Callable[[str], None] = print,
        kept: str | Path | None = None,
        top_k: int = 10,
    ) -> None:
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; a search returns 1 picture or more.")
        folder = Path(folder)
        files = picture_files(folder)
        if unread := unread_pictures(folder):
            write(unread)
        model = complete_model(run)
        self.encoder = Encoder(model, run.text_preprocessor, Fusion.from_dict(run.fusion))
        anywhere = replace(run.config, image=replace(run.config.image, weights="imagenet"))  # wherever weights lie
        cache = PictureCache(Path(kept), model, anywhere.to_toml()) if kept else None
        known = cache.find(files) if cache else {}
        if known:
            write(f"{len(known)} of {len(files)} pictures were looked at by an earlier search ({kept})")
        new = [file for file in files if file not in known]
        progress = progress_lines("looked at", "pictures", write)
        for start in range(0, len(new), _BLOCK):
            block: dict[Path, PictureFeatures] = {}
            for first in range(start, min(start + _BLOCK, len(new)), _BATCH):
                block |= self._features(new[first : first + _BATCH])
                progress(min(first + _BATCH, len(new)), len(new))
            known |= block
            if cache:
                try:
                    cache.keep(block)
                except OSError as error:
                    _log.warning("%s: what pictures look like is not kept, the next search begins anew.", error)
                    cache = None
        self.files = [file for file in files if file in known]
        if not self.files:
            raise DataError(f"None of the {len(files)} picture files in {folder} can be read as a picture.")
        images, regions = (np.stack(parts) for parts in zip(*(known[file] for file in self.files), strict=True))
        self._index = _index(self.encoder, images, regions, self.files, top_k)
        self._place = {str(path): path for path in self.files}

    def _features(self, files: Sequence[Path]) -> dict[Path, PictureFeatures]:
        """Return the features of those files that hold a usable picture."""
        batch = list(_usable(files))
        if not batch:
            return {}
        encoded = {
            name: values.numpy()
            for name, values in self.encoder.encode_image(tf.constant([picture for _, picture in batch])).items()
        }
        rows = zip(encoded["image_features"], encoded["region_features"].astype("float16"), strict=True)
        return {
            path: PictureFeatures(*row)
            for (path, _), status, row in zip(batch, encoded["status"], rows, strict=True)
            if status == Status.OK
        }

    def unknown_words(self, query: str) -> list[str]:
        """Return the words of a text that the model does not know, as they stand there: they tell it nothing."""
        return self.encoder.text_preprocessor.unknown_words(query)

    def search(self, queries: Sequence[str]) -> list[list[Hit]]:
        """Return the pictures that texts ask for, `top_k` for each, best first; nothing for a text without a word.

        Raises:
            TypeError: one text alone, not in a list.
        """
        if isinstance(queries, str):
            raise TypeError(f"One text was given where a list of texts is due; write [{queries!r}].")
        if not queries:
            return []
        found = self._index.search(tf.constant(list(queries)))
        rows = zip(found["ids"].numpy(), found["scores"].numpy(), found["status"].numpy(), strict=True)
        return [
            [Hit(self._place[name.decode()], float(score)) for name, score in zip(ids, scores, strict=True)]
            if status == Status.OK
            else []
            for ids, scores, status in rows
        ]

    def draw(self, queries: Sequence[str], hits: Sequence[Sequence[Hit]], out: Path) -> list[Path]:
        """Write what was found, and for each text where its words look in the best picture; return the files.

        Those of an earlier search in the same folder are replaced.
        """
        out.mkdir(parents=True, exist_ok=True)
        for earlier in out.glob("attention-*.png"):
            earlier.unlink()
        files = [out / "found.png"]
        gallery(
            queries,
            [[Found(opened(_picture(hit.path)), hit.score, None) for hit in row[:_SHOWN]] for row in hits],
            files[0],
        )
        asked = [(query, row[0].path) for query, row in zip(queries, hits, strict=True) if row]
        for number, (query, path) in enumerate(asked, start=1):
            picture = _picture(path)
            (attention,) = word_attentions(self.encoder, [query], [picture])
            files.append(out / f"attention-{number}.png")
            write_figure(attention_figure(attention, opened(picture)), files[-1])
        return files


def _usable(files: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    for path in files:
        try:
            picture = _picture(path)
        except (PictureError, OSError) as error:
            _log.warning("%s is passed over: %s", path, error)
        else:
            yield path, picture


def _index(encoder: Encoder, images: np.ndarray, regions: np.ndarray, files: Sequence[Path], top_k: int) -> Index:
    """Return an index of pictures that no text describes."""
    width, words = regions.shape[2], 1
    embeddings = Embeddings(
        sentences=np.zeros((0, images.shape[1]), "float32"),
        words=np.zeros((0, words, width), "float32"),
        word_mask=np.zeros((0, words), bool),
        word_offsets=np.zeros((0, words, 2), "int32"),
        images=images,
        regions=regions,
        collection=Collection(text_image=np.zeros(0, "int64"), labels=None, documents=False),
    )
    return Index(encoder, embeddings, [str(path) for path in files], [()] * len(files), top_k=top_k)


def _picture(path: Path) -> bytes:
    """Return the picture of a file as it is encoded; it may fail as `normalize_picture` and reading do."""
    with decoder_settings():
        return normalize_picture(path.read_bytes())
