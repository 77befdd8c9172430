"""The map of both modalities' embeddings in two dimensions, matching pairs joined, with the fresh probe's accuracy."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection

from dafsn_tf.errors import ConfigError
from dafsn_tf.reporting import page
from dafsn_tf.reporting.figure import COLOURS, PALE, Canvas, Drawing
from dafsn_tf.reporting.measured import Measured

PROJECTIONS = {"tsne": "t-SNE", "umap": "UMAP"}
_VERDICTS = ((0.6, "they mix"), (0.8, "they mix in part"), (1.0, "they lie apart"))  # up to which accuracy
MOST_PAIRS = 300  # drawn, chosen by seed: more would hide one another


def check_projection(projection: str) -> None:
    """Refuse a projection that does not exist or is not installed.

    Raises:
        ConfigError: what there is, and how to install UMAP.
    """
    if projection not in PROJECTIONS:
        raise ConfigError(f"There is no projection '{projection}'. There are: {', '.join(PROJECTIONS)}.")
    if projection == "umap" and importlib.util.find_spec("umap") is None:
        raise ConfigError("UMAP is not installed. Install it with: pip install umap-learn, or take tsne.")


def embedding_section(measured: Sequence[Measured], canvas: Canvas, projection: str, seed: int = 0) -> str:
    """Return the HTML of the maps, one a run; of a single picture or of peers alone it says that there is none."""
    embedded = [one for one in measured if one.embeddings is not None]
    pictures = len(np.unique(measured[0].collection.text_image))
    if pictures < 2 or not embedded:
        return page.paragraph("A map needs a run and at least 2 pictures with a text.")
    drawings = [_drawing(canvas, number, one, projection, seed) for number, one in enumerate(embedded, start=1)]
    rows = []
    for one in embedded:
        assert one.gap is not None
        adversary = "with" if one.adversary else "without"
        rows.append([one.name, adversary, *(f"{value:.3f}" for value in one.gap.values())])
    head = ["run", "adversary", *(name.replace("_", " ") for name in embedded[0].gap or {})]
    return (
        page.paragraph(
            "Every text's first sentence and its picture as points of the aligned space; neighbours stay neighbours, "
            "long distances mean little. The fresh probe is a new classifier that learns to tell texts from pictures: "
            "0.5 where it cannot."
        )
        + page.panels(drawings)
        + page.table(
            "The gap between texts and pictures, measured by fresh classifiers on held-out pictures", head, rows
        )
    )


def project(vectors: np.ndarray, projection: str, seed: int = 0) -> np.ndarray:
    """Return vectors (n, D) of unit length, n at least 4, laid out in two dimensions, (n, 2), by their cosines."""
    if projection == "umap":
        umap: Any = importlib.import_module("umap")
        return np.asarray(umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(vectors))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # work this small is slower when threads share it
        return TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=seed).fit_transform(vectors)


def _drawing(canvas: Canvas, number: int, one: Measured, projection: str, seed: int) -> Drawing:
    assert one.learned is not None
    assert one.gap is not None
    sentences, images = one.learned
    shown, first = np.unique(one.collection.text_image, return_index=True)
    if len(shown) > MOST_PAIRS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(shown), MOST_PAIRS, replace=False))
        shown, first = shown[chosen], first[chosen]
    vectors = np.concatenate([sentences[first], images[shown]])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    texts, pictures = np.split(project(vectors, projection, seed), 2)
    method, accuracy = PROJECTIONS[projection], one.gap["probe_accuracy"]
    adversary = "with adversary" if one.adversary else "without adversary"
    title = f"Embeddings of {one.name} ({adversary})"
    with canvas.axes(title, f"{method}, first axis (no unit)", f"{method}, second axis (no unit)") as axes:
        axes.add_collection(
            LineCollection(list(np.stack([texts, pictures], axis=1)), colors=PALE, linewidths=0.6, alpha=0.6)
        )
        axes.plot(*texts.T, "^", color=COLOURS[0], ms=5, label="text")
        axes.plot(*pictures.T, "o", color=COLOURS[1], ms=5, fillstyle="none", label="picture")
        axes.set_xticks([])
        axes.set_yticks([])
        canvas.legend(axes)
        verdict = next(words for most, words in _VERDICTS if accuracy <= most)
        caption = (
            f"Short lines mean that text and picture of a pair lie together; the fresh probe's accuracy is "
            f"{accuracy:.3f}, where 0.5 means that nothing tells texts from pictures: {verdict}."
        )
        alt = f"{title}: {len(shown)} pairs in two dimensions; fresh probe accuracy {accuracy:.3f}, {verdict}."
        return canvas.keep(axes, f"embeddings-{number}", alt, caption)
