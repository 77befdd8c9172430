"""Which epoch a run keeps, by itself: no model is trained."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dafsn_tf.callbacks import RunCheckpoint, out_of_patience


def _run(folder: Path, values: list[float], **options) -> dict:
    """Return the state after epochs of these validation values, of which each saves its number as its weights."""
    state = {"epochs_done": 0, "best_epoch": None, "best_value": None, "improved": None, "seconds": 0.0}
    kept = RunCheckpoint(folder, state, **options)
    model = SimpleNamespace(stop_training=False, save=lambda path: path.write_text(str(state["epochs_done"] + 1)))
    kept.set_model(model)
    kept.on_train_begin()
    for epoch, value in enumerate(values):
        kept.on_epoch_end(epoch, {"val_retrieval": value})
        if model.stop_training:
            break
    files = {path.stem: path.read_text() for path in folder.glob("*.keras")}
    assert files == {f"epoch-{number}": str(number) for number in (state["epochs_done"], state["best_epoch"])}
    assert json.loads((folder / "state.json").read_text()) == state
    return state


def _near(value: float, best: float) -> bool:
    return value >= best - 0.1


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, 2),  # the best alone, the first of equals
        ({"takes_the_place": lambda value, best: value >= best - 0.15}, 4),  # the latest that is near enough
        ({"takes_the_place": lambda value, best: value >= best - 0.25}, 5),
        ({"takes_the_place": lambda value, best: value >= best / 2}, 6),
    ],
)
def test_the_latest_epoch_that_takes_the_place_of_the_others_is_kept(tmp_path: Path, options, chosen: int) -> None:
    state = _run(tmp_path, [0.5, 1.0, 1.0, 0.9, 0.8, 0.5], **options)
    assert (state["best_epoch"], state["best_value"], state["improved"]) == (chosen, 1.0, 2)


def test_what_is_near_the_best_so_far_gives_way_when_a_later_epoch_is_better(tmp_path: Path) -> None:
    assert _run(tmp_path, [1.0, 0.95, 2.0, 1.0], takes_the_place=_near)["best_epoch"] == 3


def test_patience_counts_from_the_best_value_whatever_epoch_is_chosen(tmp_path: Path) -> None:
    state = _run(tmp_path, [1.0, 0.95, 0.95, 0.95, 2.0], patience=3, takes_the_place=_near)
    assert (state["epochs_done"], state["best_epoch"], state["improved"]) == (4, 4, 1)


@pytest.mark.parametrize(
    ("done", "improved", "patience", "over"), [(0, None, 2, False), (3, 2, 2, False), (4, 2, 2, True), (4, 2, 0, False)]
)
def test_patience_that_is_over_stays_so_when_a_run_is_resumed(done, improved, patience, over) -> None:
    assert out_of_patience({"epochs_done": done, "improved": improved}, patience) is over
