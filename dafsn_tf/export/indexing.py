"""Which pictures of a collection are searched, and their index."""

from pathlib import Path

from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import open_split
from dafsn_tf.evaluation.embedding import Embedder, join_splits
from dafsn_tf.export.options import ALL_SPLITS
from dafsn_tf.retrieval import Encoder, Index
from dafsn_tf.runs import Run, split_features


def build_index(run: Run, encoder: Encoder, data: Path, split: str = ALL_SPLITS, top_k: int = 10) -> Index:
    """Return the index of a collection, or of one split of it, embedded by a run.

    Raises:
        DataError: no such collection or split, or a stale feature cache.
        WeightsError: the weights at hand are not those of training, or cannot be had.
    """
    names = [name for name in SPLITS if Manifest.read(data).splits[name].num_images] if split == ALL_SPLITS else [split]
    records = [open_split(data, name) for name in names]
    embedder = Embedder(run.model, run.text_preprocessor)
    embeddings = join_splits([embedder.embed_split(part, split_features(run, data, part)) for part in records])
    ids = [identity for part in records for identity in part.ids]
    texts = [captions for part in records for captions in part.texts]
    return Index(encoder, embeddings, ids, texts, top_k)


def indexed(data: Path, split: str = ALL_SPLITS) -> str:
    """Return in words, for a model card, what an index of a collection looks through."""
    held = {name: info.num_images for name, info in Manifest.read(data).splits.items() if info.num_images}
    if split != ALL_SPLITS:
        return f"the {split} split of {data.name} ({held[split]:,} pictures)"
    counts = ", ".join(f"{name} {count:,}" for name, count in held.items())
    return f"every split of {data.name} ({counts}: {sum(held.values()):,} pictures)"
