"""Questions to a server, many at a time, each with its answer or its own error."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dafsn_client.client import Client
from dafsn_client.command.questions import Question
from dafsn_client.errors import ROW_STATUS, InputError, RowError
from dafsn_client.images import read_images
from dafsn_client.results import SearchResult, Similarity


@dataclass(frozen=True)
class Answer:
    """What a question got.

    Attributes:
        question: the question.
        value: what was found; the comparison; or (D,) features. None beside an error.
        error: why there is no value.
    """

    question: Question
    value: list[SearchResult] | Similarity | np.ndarray | None = None
    error: str = ""


def search(client: Client, questions: Iterator[Question], window: int) -> Iterator[list[Answer]]:
    """Yield answers in the order of their questions, `window` of which are read ahead and asked together.

    A text finds pictures, a picture finds texts, and one of each is compared.

    Raises:
        ClientError: what concerns all questions, such as a server that is gone.
    """
    yield from _in_windows(client, questions, window, _searched)


def encode(client: Client, questions: Iterator[Question], window: int) -> Iterator[list[Answer]]:
    """Yield the features of whole texts and whole images; see `search`."""
    yield from _in_windows(client, map(_of_one_kind, questions), window, _encoded)


def _in_windows(client: Client, questions: Iterator[Question], size: int, ask: Any) -> Iterator[list[Answer]]:
    while window := list(itertools.islice(questions, size)):
        answers: dict[int, Answer] = {}
        groups: dict[tuple[bool, bool], list[tuple[int, Question, bytes]]] = {}
        for place, question in enumerate(window):
            try:
                data = _read(question)
            except InputError as error:
                answers[place] = Answer(question, error=str(error).rstrip("."))
            else:
                groups.setdefault((question.text is not None, question.path is not None), []).append(
                    (place, question, data)
                )
        for group in groups.values():
            places, asked, data = zip(*group, strict=True)
            answers.update(zip(places, _with_errors(client, asked, data, ask), strict=True))
        yield [answers[place] for place in range(len(window))]


def _read(question: Question) -> bytes:
    if question.problem:
        raise InputError(question.problem)
    return read_images([question.path])[0] if question.path else b""


def _with_errors(client: Client, questions: Sequence[Question], images: Sequence[bytes], ask: Any) -> list[Answer]:
    failed: dict[int, int] = {}
    try:
        values = ask(client, questions, images)
    except RowError as error:
        failed, values = error.rows, _rows(error.answers)
    return [
        Answer(question, error=ROW_STATUS.get(failed[row], f"status {failed[row]}"))
        if row in failed
        else Answer(question, value)
        for row, (question, value) in enumerate(zip(questions, values, strict=True))
    ]


def _searched(client: Client, questions: Sequence[Question], images: Sequence[bytes]) -> Sequence[Any]:
    if questions[0].path is None:
        return client.search(_texts(questions))
    if questions[0].text is None:
        return client.search_by_image(images)
    return client.similarity(_texts(questions), images)


def _encoded(client: Client, questions: Sequence[Question], images: Sequence[bytes]) -> Sequence[Any]:
    if questions[0].text is None:
        return _rows(client.encode_image(images))
    return _rows(client.encode_text(_texts(questions)))


def _of_one_kind(question: Question) -> Question:
    if question.text is None or question.path is None:
        return question
    return replace(question, problem="a text and a picture have no features together; ask for each by itself")


def _texts(questions: Sequence[Question]) -> list[str]:
    return [question.text or "" for question in questions]


def _rows(answers: Any) -> Sequence[Any]:
    """Return one value for each question; of features, those of the whole text or image."""
    if isinstance(answers, list):
        return answers
    return answers.sentence_features if hasattr(answers, "sentence_features") else answers.image_features
