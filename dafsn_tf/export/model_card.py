"""README.md of a version: what the model is, what it was made from, how good it is, and what it will not do."""

import datetime
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from tensorflow.core.framework import types_pb2

from dafsn_tf.errors import DataError
from dafsn_tf.export.ops import NO_WEBP_BEFORE, OLDEST_SERVER
from dafsn_tf.export.options import ExportOptions
from dafsn_tf.export.warmup import BATCH_SIZES
from dafsn_tf.models.presets import ancestry_lines, untaught_words, validation_size
from dafsn_tf.preprocessing.status import Status
from dafsn_tf.runs import Run

_METRICS = ("map@all", "recall@1", "recall@5", "recall@10", "median_rank")


def model_card(
    run: Run, name: str, version: int, signatures: dict[str, Any], options: ExportOptions, indexed: str = ""
) -> str:
    """Return the card's text (Markdown).

    Args:
        run: that was exported.
        name: of the model.
        version: its number.
        signatures: SignatureDef by name, as the loader reads them back.
        options: of the export.
        indexed: what the search signatures look through, in words.
    """
    config, info, added = run.config, run.info, run.model.assets.added
    untaught = untaught_words(config)
    by_vectors = f", {added:,} others are known by their word vectors alone" if added else ""
    weights = (
        "Inception-v3's pre-trained weights, whose own terms hold"
        if config.image.backbone == "inception_v3"
        else "a small network trained from scratch"
    )
    lines = [
        f"# {name}, version {version}",
        "",
        "A Deep Attentional Fine-grained Similarity Network (DAFSN): texts and pictures in one space, with the "
        "similarity of each word to each region. Made by dafsn-tf "
        f"{metadata.version('dafsn-tf')} (TensorFlow {metadata.version('tensorflow')}, Keras "
        f"{metadata.version('keras')}) on {datetime.date.today().isoformat()}.",
        "",
        "## Signatures",
        "",
        *_signature_table(signatures),
        "",
        "Texts are UTF-8; pictures are encoded bytes. Every output has one row for each row that was sent. Rows that "
        "cannot be used get zeros (empty strings in a search) and a `status`:",
        "",
        *[f"- {status.value}: {status.name.lower().replace('_', ' ')}" for status in Status],
        "",
        *([_searching(indexed, options), ""] if indexed else []),
        "## Data",
        "",
        *_data(run),
        "",
        "## Figures",
        "",
        *_figures(run),
        "",
        "## Limits",
        "",
        f"- Texts are cut after {config.text.max_words} words, and {run.text_preprocessor.max_bytes:,} bytes. "
        f"{len(run.model.assets.trained_words):,} words were in training texts{by_vectors}; all others share "
        f"{config.text.oov_buckets} embeddings: the model knows the language and the things of its training data.",
        f"- Pictures: JPEG, PNG, GIF (first frame), BMP, WebP (not animated; servers before {NO_WEBP_BEFORE} read "
        f"none), up to {options.max_pixels:,} pixels, scaled to {config.image.image_size} x "
        f"{config.image.image_size} without regard to their aspect. Transparent pixels are white (of a GIF "
        "black). A JPEG is turned by its EXIF orientation; send others upright.",
        *([f"- {untaught}"] if untaught else []),
        "- Scores rank; they are not probabilities, and they do not compare between models.",
        "- It learned from its data whatever bias they have. Do not use it to judge people.",
        "",
        "## Server",
        "",
        f"Loads in TensorFlow Serving {OLDEST_SERVER} and later; its text ops are those of tensorflow-text, which "
        f"stock servers link. {len(BATCH_SIZES)} warm-up requests for each signature, of "
        f"{', '.join(map(str, BATCH_SIZES[:-1]))} and {BATCH_SIZES[-1]} rows, lie in `assets.extra`. Kernels are kept "
        f"in {'float16 and computed with in float32' if options.float16 else 'float32'}.",
        "",
        "## Licence",
        "",
        f"{options.license or 'Not stated by whoever exported it.'} The model derives from the data above, whose terms "
        f"hold, and from {weights}.",
        "",
        "## Configuration",
        "",
        f"Seed {info['seed']}; backbone fingerprint {info.get('backbone_fingerprint') or 'none (trained along)'}.",
        "",
        "```toml",
        config.to_toml().strip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _searching(indexed: str, options: ExportOptions) -> str:
    return (
        f"The search signatures look through {indexed}: the {max(options.candidates, options.top_k)} nearest by the "
        f"sentence score are ranked by the fused score, and the {options.top_k} best of them are answered."
    )


def _signature_table(signatures: dict[str, Any]) -> list[str]:
    def described(infos: Any) -> str:
        return "; ".join(f"`{name}` {_tensor(info)}" for name, info in sorted(infos.items()))

    rows = [
        f"| `{name}` | {described(signature.inputs)} | {described(signature.outputs)} |"
        for name, signature in sorted(signatures.items())
        if not name.startswith("__")
    ]
    return ["| signature | inputs | outputs |", "|---|---|---|", *rows]


def _tensor(info: Any) -> str:
    sizes = ["n" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim]
    return f"{types_pb2.DataType.Name(info.dtype).removeprefix('DT_').lower()} ({', '.join(sizes)})"


def _data(run: Run) -> list[str]:
    info = run.info
    classes = f"{len(run.classes)} classes: {', '.join(run.classes)}" if run.classes else "no labels"
    lines = [f"Trained on {info['dataset']} ({classes}); SHA-256 of its records {info['collection'][:16]}..."]
    lines += [f"\n{line}" for line in ancestry_lines(info)]
    from dafsn_tf.data.manifest import Manifest

    try:
        manifest = Manifest.read(Path(info["data"]))
    except DataError:
        return lines  # the collection has moved; the run still knows its name
    if manifest.digest != info["collection"]:
        return lines
    counts = [
        f"{split} {held.num_images:,} pictures and {held.num_texts:,} texts"
        for split, held in manifest.splits.items()
        if held.num_images
    ]
    return [*lines, "", f"Splits ({manifest.split_origin}): {'; '.join(counts)}."]


def _figures(run: Run) -> list[str]:
    tables = []
    result = run.info.get("result") or {}
    if "validation" in result:
        tables.append(
            (
                f"Validation split{validation_size(run.info)}, where the epoch and the fusion were chosen",
                result["validation"],
            )
        )
    test = run.path / "evaluation.json"
    if test.is_file():
        evaluation = json.loads(test.read_text(encoding="utf-8"))
        tables.append((f"{evaluation['split'].capitalize()} split", evaluation))
    lines: list[str] = []
    for title, evaluation in tables:
        lines += [f"{title}:", "", f"| protocol | score | direction | {' | '.join(_METRICS)} |"]
        lines.append("|---|---|---|" + "---|" * len(_METRICS))
        for protocol, scores in evaluation["protocols"].items():
            for score, directions in scores.items():
                for direction, values in directions.items():
                    figures = " | ".join(f"{values[metric]:.3f}" for metric in _METRICS)
                    lines.append(f"| {protocol} | {score} | {direction.replace('_', ' ')} | {figures} |")
        lines.append("")
    return lines[:-1] or ["None recorded: `dafsn evaluate RUN --json RUN/evaluation.json` before an export adds them."]
