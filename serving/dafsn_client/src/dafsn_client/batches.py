"""A batch that travels in pieces, whose answers come from one version of the model."""

from collections.abc import Callable, Sequence
from typing import Any

from dafsn_client.errors import NotFound, ProtocolError
from dafsn_client.steps import Call, Pause, Steps

_STARTS = 5
_PATIENCE = 16  # answers in a row that say a version is not there, before another is taken
_PAUSE_SECONDS = 0.02


def of_one_version(call: Callable[[slice, int | None], Call], pieces: Sequence[slice]) -> Steps[list[Any]]:
    """Return the answer to each piece, all of one version of the model.

    While versions are exchanged, or servers of a list differ, the newest version seen is asked for by its number.
    Servers that have not got it are passed by; where none has it any more, all pieces are asked anew.

    Args:
        call: makes the call for some rows and a version; None leaves the version as the client follows it.
        pieces: the rows of each.

    Raises:
        ProtocolError: no version stayed long enough.
    """
    for _ in range(_STARTS):
        answers = list((yield [call(piece, None) for piece in pieces]))
        newest = max(map(version_of, answers))
        refused = 0
        while refused < _PATIENCE:
            open_places = [place for place, answer in enumerate(answers) if version_of(answer) != newest]
            if not open_places:
                return answers
            found = yield [call(pieces[place], newest) for place in open_places]
            for place, answer in zip(open_places, found, strict=True):
                if not isinstance(answer, NotFound):
                    answers[place] = answer
            if any(version_of(answers[place]) == newest for place in open_places):
                refused = 0
            else:
                refused += len(open_places)
                yield Pause(_PAUSE_SECONDS)
    raise ProtocolError("The model was exchanged again and again while its answers were put together; pin a version.")


def version_of(answer: Any) -> int:
    """Return the version of the model that gave an answer."""
    return int(answer.model_spec.version.value)
