"""Keras callbacks of a run: validation by retrieval, checkpoints that `--resume` goes on from, progress."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from dafsn_tf.runs import write_json


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
    """Writes `best.keras` when validation improves and `last.keras` with `state.json` after every epoch.

    Args:
        folder: the run.
        state: `{"epochs_done", "best_epoch", "best_value", "seconds"}` of the run so far.
        patience: epochs without improvement after which training stops; 0 never stops.
    """

    def __init__(self, folder: Path, state: dict[str, Any], patience: int = 0) -> None:
        super().__init__()
        self.folder = folder
        self.state = state
        self.patience = patience

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic() - self.state["seconds"]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = float((logs or {})["val_retrieval"])
        self.state["epochs_done"] = epoch + 1
        self.state["seconds"] = round(time.monotonic() - self._started, 1)
        if self.state["best_value"] is None or value > self.state["best_value"]:
            self.state.update(best_value=value, best_epoch=epoch + 1)
            self._save("best.keras", include_optimizer=False)
        self._save("last.keras", include_optimizer=True)
        write_json(self.folder / "state.json", self.state)
        if self.patience and epoch + 1 - self.state["best_epoch"] >= self.patience:
            self.model.stop_training = True

    def _save(self, name: str, include_optimizer: bool) -> None:
        aside = self.folder / f".writing-{name}"
        self.model.save(aside, include_optimizer=include_optimizer)
        os.replace(aside, self.folder / name)


class EpochLines(keras.callbacks.Callback):
    """Prints one line an epoch: named losses, the discriminator's accuracy, validation, rate and time left.

    Args:
        epochs: of the whole run.
        pairs_per_epoch: training pairs seen in one.
        write: receives each line.
    """

    def __init__(self, epochs: int, pairs_per_epoch: int, write: Callable[[str], None]) -> None:
        super().__init__()
        self.epochs = epochs
        self.pairs_per_epoch = pairs_per_epoch
        self.write = write
        self._durations: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        seconds = time.monotonic() - self._started
        self._durations.append(seconds)
        left = (self.epochs - epoch - 1) * sum(self._durations) / len(self._durations)
        losses = "  ".join(
            f"{name.removesuffix('_loss')} {logs[name]:.3f}"
            for name in ("loss", "word_loss", "sentence_loss", "label_loss", "adversarial_loss", "discriminator_loss")
        )
        validation = "  ".join(f"{name} {value:.3f}" for name, value in logs.items() if name.startswith("val_"))
        self.write(
            f"epoch {epoch + 1}/{self.epochs}  {losses}  discriminator accuracy {logs['discriminator_accuracy']:.2f}  "
            f"{validation}  {self.pairs_per_epoch / seconds:.0f} pairs/s  {left / 60:.1f} min left"
        )
