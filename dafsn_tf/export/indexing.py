"""Which pictures of a collection are searched, and their index."""

from pathlib import Path

from dafsn_tf.data.features import FrozenFeatures, cached_features
from dafsn_tf.data.items import SPLITS
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.evaluation.embedding import Embedder, join_splits
from dafsn_tf.export.options import ALL_SPLITS
from dafsn_tf.progress import Write
from dafsn_tf.retrieval import Encoder, Index
from dafsn_tf.retrieval.index import CANDIDATES
from dafsn_tf.runs import Run, features_progress, split_features


def build_index(
    run: Run,
    encoder: Encoder,
    data: Path,
    split: str = ALL_SPLITS,
    top_k: int = 10,
    write: Write | None = None,
    candidates: int = CANDIDATES,
) -> Index:
    """Return the index of a collection, or of one split of it, embedded by a run.

    Args:
        run: its model may lack the frozen backbone.
        encoder: of the run's complete model, whose backbone computes what the feature cache lacks, or of its heads.
        data: the prepared collection.
        split: a name, or "all".
        top_k: answers to a query.
        write: receives progress, a line at a time.
        candidates: of a query, as `Index` takes them.

    Raises:
        DataError: no such collection or split, or a stale feature cache.
    """
    names = [name for name in SPLITS if Manifest.read(data).splits[name].num_images] if split == ALL_SPLITS else [split]
    records = [open_split(data, name) for name in names]
    embedder = Embedder(run.model, run.text_preprocessor)
    backbone = encoder.model.image_encoder.backbone  # with the weights of training: loading it has checked that

    def features(part: RecordSplit) -> FrozenFeatures | None:
        if backbone is None:  # texts alone are served
            return split_features(run, data, part, write)
        progress = features_progress(part.split, write) if write else None
        return cached_features(data, part, run.config.image, backbone, progress) if backbone.frozen else None

    words = run.model.words_know_their_text  # else the index needs but their ids
    embeddings = join_splits(
        [embedder.embed_split(part, features(part), words=words, half_regions=True, write=write) for part in records]
    )
    ids = [identity for part in records for identity in part.ids]
    texts = [captions for part in records for captions in part.texts]
    return Index(encoder, embeddings, ids, texts, top_k, candidates)


def indexed(data: Path, split: str = ALL_SPLITS) -> str:
    """Return in words, for a model card, what an index of a collection looks through."""
    held = {name: info.num_images for name, info in Manifest.read(data).splits.items() if info.num_images}
    if split != ALL_SPLITS:
        return f"the {split} split of {data.name} ({held[split]:,} pictures)"
    counts = ", ".join(f"{name} {count:,}" for name, count in held.items())
    return f"every split of {data.name} ({counts}: {sum(held.values()):,} pictures)"
