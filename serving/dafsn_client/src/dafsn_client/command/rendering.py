"""Answers as JSON lines, and as lines for people."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from dafsn_client.attention import WordAttention
from dafsn_client.command.asking import Answer
from dafsn_client.errors import ServerError
from dafsn_client.results import Signature, Similarity, VersionStatus

_CAPTION = 200  # characters of a caption in a line for people


def json_line(answer: Answer, top: int | None = None) -> str:
    """Return one line: the question, then `results`, the scores and `words`, `features`, or `error`.

    Args:
        answer: the answer.
        top: how many results; None takes all.
    """
    return json.dumps({**answer.question.described(), **_values(answer, top)}, ensure_ascii=False)


def _beginning(caption: str) -> str:
    return caption if len(caption) <= _CAPTION else caption[: _CAPTION - 1] + "…"


def text_lines(answer: Answer, top: int | None = None) -> Iterator[str]:
    """Yield lines to be read: long captions end in an ellipsis, what a terminal takes for a command is escaped."""
    question, value = answer.question, answer.value
    yield " | ".join(printable(part) for part in (question.text, question.image) if part is not None)
    if isinstance(value, list):
        for rank, result in enumerate(value[:top], start=1):
            yield f"  {rank:>2}  {result.score:6.3f}  {printable(result.id)}  {printable(_beginning(result.caption))}"
    elif isinstance(value, Similarity):
        yield f"  sentence {value.sentence:.3f}, word {value.word:.3f}, fused {value.fused:.3f}"
        width = max((len(word.word) for word in value.words), default=0)
        for word in value.words:
            yield f"  {printable(word.word):<{width}}  {word.relevance:6.3f}  looked at ({word.x:.2f}, {word.y:.2f})"
    elif value is not None:
        yield f"  {len(value)} numbers: {', '.join(f'{number:.4f}' for number in value[:6])}, ..."


def attention_lines(attention: WordAttention) -> Iterator[str]:
    """Yield a table of the words in order: relevance, greatest attention, and where that is.

    Words are numbered as in the picture of `drawing.attention_figure`; those without a map there have no number.
    """
    numbers = {word: str(number) for number, word in enumerate(attention.drawn(), start=1)}
    rows = [("", "word", "relevance", "peak", "at x, y")]
    for place, (word, region) in enumerate(zip(attention.words, attention.peaks, strict=True)):
        x, y = attention.region_centres[region]
        peak = f"{attention.even_shares[place, region]:.1f}x"
        relevance = f"{attention.relevances[place]:+.3f}"
        rows.append((numbers.get(place, ""), printable(word), relevance, peak, f"{x:.2f}, {y:.2f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for number, word, *figures in rows:
        cells = [f"{number:>{widths[0]}}", f"{word:<{widths[1]}}"]
        yield "  ".join(cells + [f"{cell:>{width}}" for cell, width in zip(figures, widths[2:], strict=True)])
    scores = ", ".join(f"{name} {score:.3f}" for name, score in attention.scores.items())
    yield f"scores: {scores}; relevance: cosine of a word and what it attends to; peak: times an even share"


def version_line(status: VersionStatus) -> str:
    """Return a version in a line."""
    return f"version {status.version}  {status.state}  {printable(status.error)}".rstrip()


def address_lines(address: str, found: list[VersionStatus] | ServerError, *, as_json: bool) -> Iterator[str]:
    """Yield the versions at an address, or the error that asking it ended with."""
    if as_json:
        told = [{"error": str(found)}] if isinstance(found, ServerError) else [dataclasses.asdict(one) for one in found]
        yield from (json.dumps({"address": address, **one}) for one in told)
        return
    yield printable(address)
    if isinstance(found, ServerError):
        yield f"  error: {printable(str(found))}"
    else:
        yield from (f"  {version_line(one)}" for one in found)


def signature_lines(name: str, signature: Signature) -> Iterator[str]:
    """Yield what a signature takes and gives."""
    yield printable(name)
    for arrow, infos in (("<-", signature.inputs), ("->", signature.outputs)):
        for key, info in sorted(infos.items()):
            sizes = "?" if info.shape is None else ", ".join("n" if size is None else str(size) for size in info.shape)
            yield f"  {arrow} {printable(key)}: {info.dtype}({sizes})"


def printable(text: str) -> str:
    """Return a text without control characters: those of a stranger's caption could command the terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _values(answer: Answer, top: int | None) -> dict[str, Any]:
    value = answer.value
    if isinstance(value, list):
        return {"results": [dataclasses.asdict(result) for result in value[:top]]}
    if isinstance(value, Similarity):
        scores = {"sentence": value.sentence, "word": value.word, "fused": value.fused}
        return {**scores, "words": [dataclasses.asdict(word) for word in value.words]}
    if value is None:
        return {"error": answer.error}
    return {"features": np.asarray(value).tolist()}
