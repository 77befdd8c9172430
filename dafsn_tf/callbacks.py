"""Keras callbacks of a run: validation by retrieval, checkpoints that `--resume` goes on from, progress."""

import math
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from dafsn_tf.errors import RunError
from dafsn_tf.files import write_json, written_aside
from dafsn_tf.models.dafsn import LOSSES
from dafsn_tf.progress import LINE_EVERY
from dafsn_tf.runs import checkpoint


class StopAtNaN(keras.callbacks.Callback):
    """Stops training at the first step whose loss is not a number.

    Raises:
        RunError: names the losses and what to lower.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        broken = [name for name in LOSSES if not math.isfinite((logs or {})[name])]
        if broken:
            raise RunError(
                f"Training diverged in step {batch + 1} of epoch {self._epoch}: {', '.join(broken)} not finite. "
                "Lower training.learning_rate or discriminator.learning_rate, or set training.clip_norm."
            )


class RetrievalValidation(keras.callbacks.Callback):
    """Adds a retrieval score of the validation split to each epoch's logs; later callbacks choose by it.

    Args:
        evaluate: returns metrics by name; `val_retrieval`, the one to choose by, among them.
    """

    def __init__(self, evaluate: Callable[[], dict[str, float]]) -> None:
        super().__init__()
        self.evaluate = evaluate

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs.update(self.evaluate())


class RunCheckpoint(keras.callbacks.Callback):
    """Keeps the latest and the chosen epoch, in files that `state.json` names.

    Chosen is the latest epoch that took the place of those before it; the best so far always does.

    An epoch's file is written first, then `state.json`, and only then are files that it no longer names deleted: at
    any time a process may end, state and weights belong together.

    Args:
        folder: the run.
        state: `{"epochs_done", "best_epoch", "best_value", "improved", "seconds"}` of the run so far: the chosen epoch
            is `best_epoch`, the best value that of the epoch `improved`.
        patience: epochs without improvement after which training stops; 0 never stops.
        takes_the_place: whether an epoch that is not better does so too, by its value and the best so far.
    """

    def __init__(
        self,
        folder: str | Path,
        state: dict[str, Any],
        patience: int = 0,
        takes_the_place: Callable[[float, float], bool] = operator.gt,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.state = state
        self.patience = patience
        self.takes_the_place = takes_the_place

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic() - self.state["seconds"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value, done = float((logs or {})["val_retrieval"]), epoch + 1
        with written_aside(checkpoint(self.folder, done), keep_suffix=True) as aside:
            self.model.save(aside)
        self.state.update(epochs_done=done, seconds=round(time.monotonic() - self._started, 1))
        best = self.state["best_value"]
        if best is None or value > best:
            self.state.update(best_value=value, best_epoch=done, improved=done)
        elif self.takes_the_place(value, best):
            self.state.update(best_epoch=done)
        write_json(self.folder / "state.json", self.state)
        named = {checkpoint(self.folder, self.state[name]) for name in ("epochs_done", "best_epoch")}
        for path in set(self.folder.glob("epoch-*.keras")) - named:
            path.unlink()
        if out_of_patience(self.state, self.patience):
            self.model.stop_training = True


def out_of_patience(state: dict[str, Any], patience: int) -> bool:
    """Return whether training has stopped for want of better epochs.

    Args:
        state: of `RunCheckpoint`.
        patience: as it takes it.
    """
    return bool(patience and state["epochs_done"] and state["epochs_done"] - state["improved"] >= patience)


class ProgressLines(keras.callbacks.Callback):
    """Prints a line an epoch: named losses, the discriminator's accuracy, validation, rate and time left.

    Within an epoch that takes long, a line every `LINE_EVERY` seconds has the step, the rate and the epoch's time left.

    Args:
        epochs: of the whole run.
        steps: of an epoch.
        pairs: training pairs of a step.
        write: receives each line.
    """

    def __init__(self, epochs: int, steps: int, pairs: int, write: Callable[[str], None]) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps = steps
        self.pairs = pairs
        self.write = write
        self._durations: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._started = self._first_done = self._last_line = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        now, done = time.monotonic(), batch + 1
        if batch == 0:
            self._first_done = now  # the first step of a run is compiled: no rate follows from it
        elif now - self._last_line >= LINE_EVERY and done < self.steps:
            self._last_line = now
            rate = batch / (now - self._first_done)
            self.write(
                f"epoch {self._epoch + 1}/{self.epochs}  step {done}/{self.steps}  loss {(logs or {})['loss']:.3f}  "
                f"{rate * self.pairs:.0f} pairs/s  {(self.steps - done) / rate:.0f} s left of this epoch"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        seconds = time.monotonic() - self._started
        self._durations.append(seconds)
        left = (self.epochs - epoch - 1) * sum(self._durations) / len(self._durations)
        losses = "  ".join(f"{name.removesuffix('_loss')} {logs[name]:.3f}" for name in LOSSES)
        validation = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name.startswith("val_"))
        self.write(
            f"epoch {epoch + 1}/{self.epochs}  {losses}  discriminator accuracy {logs['discriminator_accuracy']:.2f}  "
            f"{validation}  {self.steps * self.pairs / seconds:.0f} pairs/s  {left / 60:.1f} min left"
        )
