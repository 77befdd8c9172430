"""One run of the comparison: a method, a collection, a seed."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from dafsn_tf.baselines.inputs import Inputs, Split
from dafsn_tf.baselines.method import Method, Surroundings, digest_of, longer
from dafsn_tf.baselines.neural import validation_value
from dafsn_tf.baselines.package_model import run_scores, trained_run
from dafsn_tf.baselines.record import run_record
from dafsn_tf.baselines.tasks import Allowance, collection_name
from dafsn_tf.baselines.tuning import SEED, Fitted, tune, tuning_file
from dafsn_tf.config import Config
from dafsn_tf.data.manifest import Manifest


class Trials:
    """Runs the methods on one collection. The test split is opened by a run that has been chosen, trained and is final.

    Args:
        data: the collection.
        config: DAFSN's configuration; its images and words are what every method reads.
        out: folder of all runs.
        write: receives progress.
        chooser: of another split of the collection, where the peers' settings are chosen there and taken from it.
        allowance: models that may be trained; without one, as many as it takes.
    """

    def __init__(
        self,
        data: Path,
        config: Config,
        out: Path,
        write: Callable[[str], None],
        chooser: "Trials | None" = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.data, self.config, self.out, self.write, self.chooser = data, config, out, write, chooser
        self.allowance = allowance or Allowance()
        self.collection = collection_name(Manifest.read(data))
        self.inputs = Inputs(data, config)
        self.description = self.inputs.describe()

    @cached_property
    def _train(self) -> Split:
        return self.inputs.open("train")

    @cached_property
    def _validation(self) -> Split:
        return self.inputs.open("validation")

    def _choose(self, method: Method) -> tuple[Any, Fitted | None]:
        file = tuning_file(self.out, method.name, self.collection)

        def surroundings(settings: Any, seed: int) -> Surroundings:
            return self._surroundings(method, settings, seed)

        records = self._validation.records
        images = len(records)
        sampled = {"validation_images": images} if images < records.manifest.splits["validation"].num_images else {}
        return tune(method, self._train, self._validation, self.description | sampled, file, surroundings)

    def fit(self, method: Method, seed: int) -> Fitted:
        """Return a peer, fitted with the settings that validation chooses, or has chosen before."""
        settings, fitted = (self.chooser or self)._choose(method)
        if fitted is not None and seed == SEED and self.chooser is None:
            return fitted
        began, around = time.monotonic(), self._surroundings(method, settings, seed)
        scorer = method.fit(self._train, self._validation, settings, seed, around)
        return Fitted(settings, scorer, time.monotonic() - began)

    def _surroundings(self, method: Method, settings: Any, seed: int) -> Surroundings:
        if longer(settings) is not None:
            self.allowance.take()
        digest = digest_of(settings, self.description, self.config.evaluation)
        return Surroundings(self.out / f"{method.name}-{self.collection}-{digest}-{seed}", self.write)

    def peer(self, method: Method, seed: int) -> dict[str, Any]:
        """Return the record of a peer's run with the settings that validation chooses, or has chosen before."""
        fitted = self.fit(method, seed)
        began = time.monotonic()
        value = validation_value(fitted.scorer, self._validation)
        test = self.inputs.open("test")
        scores = {"score": fitted.scorer(test)}
        return run_record(
            method.name,
            seed,
            asdict(fitted.settings),
            value,
            fitted.seconds + time.monotonic() - began,
            scores,
            test.records.manifest,
            test.collection,
            inputs=self.description,
            settings_chosen_on=(self.chooser or self).collection,
        )

    def dafsn(self, seed: int) -> dict[str, Any]:
        """Return the record of DAFSN's run, which stands in a run folder of its own."""
        self.allowance.take()
        run = trained_run(self.config, self.data, self.out / f"dafsn-{self.collection}-{seed}", seed, self.write)
        result, began = run.info["result"], time.monotonic()
        test = self.inputs.open("test")
        scores = run_scores(run, test)
        return run_record(
            "dafsn",
            seed,
            self.config.to_dict(),
            result["selection"],
            result["seconds"] + time.monotonic() - began,
            scores,
            test.records.manifest,
            test.collection,
            inputs=self.description,
        )
