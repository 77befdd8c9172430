import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dafsn_tf.baselines import BUDGET, METHODS
from dafsn_tf.baselines.halfway import Halfway, restore, store
from dafsn_tf.baselines.method import Cosines, Surroundings
from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.metrics import chance
from dafsn_tf.evaluation.protocols import selection_metrics
from peers_querybank import METHODS_OF_COSINES

EPOCHS = {"acmr": 15, "dscmr": 30, "vsepp": 30, "scan": 30}
FEATURE_METHODS = [name for name in METHODS if name != "damsm"]


def fitted(method, toy_split, small, seed=0, epochs=2, **kind):
    method = small(method, epochs=epochs, learning_rate=1e-2)
    train, validation = (
        toy_split("train", **kind),
        toy_split("validation", images=30, documents=kind.get("documents", True)),
    )
    return method.fit(train, validation, method.grid[0], seed, Surroundings(Path("unused"), lambda line: None))


def test_every_peer_has_the_same_budget():
    for method in METHODS.values():
        assert len(method.grid) == len(set(method.grid)) <= BUDGET // 2  # what is left can be walked
        assert type(method.grid[0]).__dataclass_params__.frozen


@pytest.mark.parametrize("name", FEATURE_METHODS)
def test_a_peer_learns_what_pictures_and_texts_share(name, toy_split, small):
    test = toy_split("test", images=30)
    scorer = fitted(METHODS[name], toy_split, small, epochs=EPOCHS.get(name, 2))
    assert isinstance(scorer, Cosines) == (name in METHODS_OF_COSINES)
    scores = scorer(test)
    assert scores.shape == (60, 30)
    same = test.labels @ test.labels.T > 0
    guessed = chance(np.eye(30, dtype=bool), same)["map@all"]
    for direction in selection_metrics(scores, test.collection).values():
        assert direction["map@all"] > guessed + 0.1


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "scan")) for name in FEATURE_METHODS]
)
def test_a_seed_gives_the_same_scores_again_and_mirrored_images_are_read(name, toy_split, small):
    test = toy_split("test", images=12)
    one, two = (fitted(METHODS[name], toy_split, small, seed=3, variants=2)(test) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_pairs_show_every_image_once_with_one_of_its_texts(toy_split):
    from dafsn_tf.baselines.neural import Pairs

    split = toy_split("train", images=21, variants=2)
    pairs = Pairs(split, 10, seed=1)
    assert pairs.steps == 2
    texts, images, variants = (np.concatenate(part) for part in zip(*pairs(0), strict=True))
    assert len(set(images)) == 20
    assert split.collection.text_image[texts].tolist() == images.tolist()
    assert set(variants) == {0, 1}
    again = next(Pairs(split, 10, seed=1)(0))
    np.testing.assert_array_equal(again[0], texts[:10])
    assert next(pairs(1))[1].tolist() != images[:10].tolist()


@pytest.mark.parametrize("name", ["acmr", "dscmr", "vsepp", "scan"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(name, toy_split, small, tmp_path, monkeypatch):
    monkeypatch.setattr("dafsn_tf.baselines.neural.STORE_EVERY", 0.0)
    method = small(METHODS[name], epochs=4, learning_rate=1e-2)
    train, validation = toy_split("train"), toy_split("validation", images=30)

    def fit(folder, write):
        return method.fit(train, validation, method.grid[0], 0, Surroundings(folder, write))(validation)

    def stop(line):
        if "epoch 2/4" in line:
            raise KeyboardInterrupt

    lines = []
    expected = fit(tmp_path / "whole", lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "halves", stop)
    assert [file.name for file in (tmp_path / "halves").iterdir()] == ["halfway.npz"]
    np.testing.assert_allclose(fit(tmp_path / "halves", lines.append), expected, rtol=0, atol=1e-5)
    assert [line.split("loss")[0].strip() for line in lines] == ["epoch 3/4", "epoch 4/4"]
    assert list(tmp_path.iterdir()) == []  # what was stored is not kept


def test_a_damaged_file_of_a_training_is_told_and_one_of_another_model(tmp_path):
    import keras

    file = tmp_path / "halfway.npz"
    small, large = (keras.Variable(np.full(size, 7.0)) for size in (2, 3))
    store(file, Halfway(3, 0.5, [np.ones(2)]), [small])
    small.assign(np.zeros(2))
    halfway = restore(file, [small])
    assert (halfway.epochs, halfway.best, halfway.chosen[0].tolist()) == (3, 0.5, [1.0, 1.0])
    assert small.numpy().tolist() == [7.0, 7.0]
    for variables in ([large], [small, small], []):
        with pytest.raises(RunError, match=r"halfway.npz is of another version's model\. Remove it"):
            restore(file, variables)
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], b"PK" + whole[:50]):
        file.write_bytes(damaged)
        with pytest.raises(RunError, match=r"halfway.npz is damaged.*Remove it"):
            restore(file, [small])


class Numbered:
    """Batches of an epoch, each of which is its number."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, epoch):
        yield from [(epoch,)] * self.steps


def test_the_best_epoch_stays(toy_split):
    import keras

    from dafsn_tf.baselines.neural import train_epochs

    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    validation, lines = toy_split("validation", images=6), []
    assert validation.config.evaluation.selection_texts == 1

    def step(epoch, done):
        seen.append(done)
        layer.set_weights([np.full((1, 1), epoch)])
        return 1.0

    def scorer(split):
        texts.append(len(split.word_ids))
        relevant = split.text_labels @ split.labels.T
        return relevant * [0, 1, -1][int(layer.get_weights()[0].item())]

    seen, texts = [], []
    around = Surroundings(Path("unused"), lines.append)
    train_epochs(layer, None, step, Numbered(2), 3, scorer, validation, around)
    assert texts == [6, 6, 6]  # one of each image's two, as the configuration's epochs are chosen
    assert layer.get_weights()[0].item() == 1
    assert seen == [0, 0.5, 1, 1.5, 2, 2.5]
    assert "epoch 2/3" in lines[1]
    assert "min left" in lines[1]


@pytest.mark.parametrize(("tolerance", "kept"), [(0.0, 1), (1.0, 2)])
def test_epochs_that_validation_cannot_tell_apart_are_chosen_among_as_dafsns_are(tolerance, kept, toy_split):
    import keras

    from dafsn_tf.baselines.neural import train_epochs

    layer = keras.layers.Dense(1, use_bias=False)
    layer.build((None, 1))
    validation = toy_split("validation", images=6)
    evaluation = dataclasses.replace(validation.config.evaluation, selection_tolerance=tolerance)
    validation = dataclasses.replace(validation, config=dataclasses.replace(validation.config, evaluation=evaluation))

    def step(epoch, done):
        layer.set_weights([np.full((1, 1), epoch)])
        return 1.0

    def scorer(split):
        return (split.text_labels @ split.labels.T) * [0, 1, 1, -1][int(layer.get_weights()[0].item())]

    around = Surroundings(Path("unused"), lambda line: None)
    train_epochs(layer, None, step, Numbered(1), 4, scorer, validation, around)
    assert layer.get_weights()[0].item() == kept
