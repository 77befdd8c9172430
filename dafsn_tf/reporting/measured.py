"""What a report knows of one run or peer, measured once: scores, figures, each query's values, embeddings, epochs."""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_tf.baselines.methods import METHODS
from dafsn_tf.baselines.trial import Trials
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.errors import ConfigError, RunError
from dafsn_tf.evaluation.embedding import Embeddings
from dafsn_tf.evaluation.evaluate import split_scores
from dafsn_tf.evaluation.metrics import MAP_CUT, METRICS, RECALL_CUTS, average_precision, first_relevant_rank
from dafsn_tf.evaluation.modality_gap import modality_gap
from dafsn_tf.evaluation.protocols import Collection, Direction, directions, evaluate_scores
from dafsn_tf.progress import Write
from dafsn_tf.runs import Run, split_features


@dataclass(frozen=True, eq=False)
class History:
    """The epochs of a training.

    Attributes:
        columns: of metrics.csv by name, one value an epoch.
        best_epoch: that validation chose, from 1; 0 where that is not known.
    """

    columns: dict[str, np.ndarray]
    best_epoch: int


@dataclass(frozen=True, eq=False)
class Measured:
    """A run, or a peer, on one split.

    Attributes:
        name: as the report names it.
        scores: (N, B) by name; the last is the one that it is judged by.
        collection: the split as far as relevance goes.
        run: None for a peer.
        embeddings: in the aligned space; None for a peer.
        history: None for a peer, and for a model that was passed on without its training.
        adversary: whether the run was trained against a modality discriminator.
    """

    name: str
    scores: dict[str, np.ndarray]
    collection: Collection
    run: Run | None = None
    embeddings: Embeddings | None = None
    history: History | None = None
    adversary: bool = False
    _values: dict[tuple[str, bool], dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def judged(self) -> str:
        """The name of the score that it is judged by."""
        return list(self.scores)[-1]

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """What `evaluate_scores` makes of it."""
        return evaluate_scores(self.scores, self.collection)

    @cached_property
    def directions(self) -> dict[str, Direction]:
        """Both directions of the judged score, under the collection's first protocol."""
        return directions(self.scores[self.judged], self.collection)

    @property
    def learned(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What a run's encoders learned of texts (N, D) and images (B, D), None for a peer."""
        if self.embeddings is None or self.run is None:
            return None
        return self.embeddings.learned(self.run.config.model.dim)

    @cached_property
    def gap(self) -> dict[str, float] | None:
        """The modality gap, None for a peer."""
        return None if self.learned is None else modality_gap(*self.learned, self.collection.text_image)

    def query_values(self, score: str, documents: bool) -> dict[str, dict[str, np.ndarray]]:
        """Return direction -> metric -> each query's value, whose mean (of ranks: median) is the metric.

        With them is `image`, the picture of each query. NaN stands where a query has no relevant item.

        Args:
            score: one of `scores`.
            documents: whether the protocol is `document`, else `sentence`.
        """
        key = (score, documents)
        if key not in self._values:
            collection = dataclasses.replace(self.collection, documents=documents)
            self._values[key] = {
                name: _query_values(ranked) for name, ranked in directions(self.scores[score], collection).items()
            }
        return self._values[key]


def _query_values(ranked: Direction) -> dict[str, np.ndarray]:
    rank = first_relevant_rank(ranked.scores, ranked.pairs)
    values = [average_precision(ranked.scores, ranked.relevant, k) for k in (None, MAP_CUT)]
    values += [np.where(np.isnan(rank), np.nan, rank <= cut) for cut in RECALL_CUTS]
    return {**dict(zip(METRICS, [*values, rank], strict=True)), "image": ranked.query_image}


def measure_run(name: str, run: Run, data: Path, records: RecordSplit, write: Write | None = None) -> Measured:
    """Return a run measured on a split; `write` receives progress, a line at a time.

    Raises:
        DataError, RunError, WeightsError: what the user can mend.
    """
    embeddings, scores = split_scores(run, records, split_features(run, data, records, write), write)
    return Measured(
        name,
        scores,
        embeddings.collection,
        run,
        embeddings,
        read_history(run),
        run.config.loss.has_adversary,
    )


def check_peers(names: Sequence[str], run: Run) -> None:
    """Refuse, before any work is done for them, peers that could not be fitted beside a run.

    Raises:
        ConfigError: a peer that does not exist. RunError: the run has no frozen features.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"There is no peer {', '.join(unknown)}. There are: {', '.join(METHODS)}.")
    if names and run.model.image_encoder.backbone is not None:
        raise RunError(
            f"{run.path} trains its own network under the pictures, so there are no frozen features for a peer "
            f"({', '.join(names)}). Leave out --peer, or report a run with backbone 'inception_v3'."
        )


def measure_peers(
    names: Sequence[str], run: Run, data: Path, split: str, out: Path, write: Callable[[str], None]
) -> list[Measured]:
    """Return peers fitted on the features and words that a run reads, measured on a split.

    Args:
        names: that `check_peers` lets pass.
        run: whose configuration says what is read.
        data: the collection.
        split: that is measured.
        out: folder where the settings that validation chose are kept, so that they are chosen once.
        write: receives progress.

    Raises:
        DataError, WeightsError: what the user can mend.
    """
    out.mkdir(parents=True, exist_ok=True)
    trials = Trials(data, run.config, out, write)
    opened = trials.inputs.open(split, whole=True)
    measured = []
    for name in names:
        scorer = trials.fit(METHODS[name], seed=0).scorer
        measured.append(Measured(name, {"score": scorer(opened)}, opened.collection))
    return measured


def read_history(run: Run) -> History | None:
    """Return the epochs that a run's folder tells of, or None."""
    path = run.path / "metrics.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return None
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "epoch"}
    return History(columns, run.info.get("result", {}).get("best_epoch", 0))
