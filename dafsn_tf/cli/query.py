"""`dafsn query`: ask a served model, over gRPC."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dafsn_tf.errors import ServingError

if TYPE_CHECKING:
    from dafsn_client import Client, SearchResult, Similarity


def query(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="What to look for; each argument is one text.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Search by this picture; with a text: how the two match, word by word.")
    ] = None,
    target: Annotated[str, typer.Option(help="host:port of the server.")] = "127.0.0.1:8500",
    model: Annotated[str, typer.Option(help="The model's name on the server.")] = "dafsn",
    top: Annotated[
        int | None, typer.Option("--top", "-k", help="Answers to print, at most those the export fixed.", min=1)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for each query.")] = False,
) -> None:
    """Search pictures with a text, texts with a picture, or compare a text with a picture."""
    from dafsn_client import Client, ClientError, RowError

    texts = texts or []
    if not texts and image is None:
        raise ServingError('Nothing to ask: give a text, as in `dafsn query "a red star"`, or `--image FILE`.')
    failure = None
    try:
        with Client(target, model, timeout=timeout) as client:
            answers = _ask(client, texts, image)
    except RowError as error:
        failure, answers = error, error.answers
    except ClientError as error:
        raise ServingError(str(error)) from error
    for row, (question, answer) in enumerate(zip(texts or [str(image)], answers, strict=True)):
        if failure is None or row not in failure.rows:
            _print(question, image, answer[:top] if isinstance(answer, list) else answer, as_json)
    if failure is not None:
        raise ServingError(str(failure)) from failure


def _ask(client: "Client", texts: list[str], image: Path | None) -> list[Any]:
    if image is None:
        return client.search(texts)
    if not texts:
        return client.search_by_image([image])
    return client.similarity(texts, [image] * len(texts))


def _print(question: str, image: Path | None, answer: "list[SearchResult] | Similarity", as_json: bool) -> None:
    if as_json:
        described = (
            _results_json(question, answer) if isinstance(answer, list) else _words_json(question, image, answer)
        )
        print(json.dumps(described, ensure_ascii=False))
    else:
        Console().print(_table(question, answer) if isinstance(answer, list) else _words_table(question, image, answer))


def _results_json(question: str, results: "list[SearchResult]") -> dict[str, Any]:
    return {"query": question, "results": [dataclasses.asdict(result) for result in results]}


def _words_json(text: str, image: Path | None, answer: "Similarity") -> dict[str, Any]:
    scores = {"sentence": answer.sentence, "word": answer.word, "fused": answer.fused}
    words = [dataclasses.asdict(word) for word in answer.words]
    return {"text": text, "image": str(image), **scores, "words": words}


def _table(question: str, results: "list[SearchResult]") -> Table:
    table = Table("", "score", "picture", "text", title=escape(question), title_justify="left")
    for rank, result in enumerate(results, start=1):
        table.add_row(str(rank), f"{result.score:.3f}", escape(result.id), escape(result.caption))
    return table


def _words_table(text: str, image: Path | None, answer: "Similarity") -> Table:
    table = Table(
        *("word", "relevance", "looked at (x, y)"),
        title=escape(f"{text} | {image}"),
        title_justify="left",
        caption=f"sentence {answer.sentence:.3f}, word {answer.word:.3f}, fused {answer.fused:.3f}",
        caption_justify="left",
    )
    for word in answer.words:
        table.add_row(escape(word.word), f"{word.relevance:.3f}", f"{word.x:.2f}, {word.y:.2f}")
    return table
