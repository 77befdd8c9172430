import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_dafsn import batch, tiny_model

from dafsn_tf.errors import RunError, WeightsError
from dafsn_tf.models import DAFSN
from dafsn_tf.models.presets import Assets, load_heads, with_backbone
from dafsn_tf.pretrained import shipped_models
from dafsn_tf.runs import load_run

WORDS = tuple(f"word{number}" for number in range(16))  # 20 ids: padding, three out-of-vocabulary ones
INFO = {"dataset": "toy", "classes": ["a", "b", "c"], "documents": False, "seed": 0, "backbone_fingerprint": None}


def saved(tmp_path, **sections):
    model = tiny_model(**sections)
    model.fit(tf.data.Dataset.from_tensors(batch()), verbose=0)
    model.assets = Assets(WORDS, {"weight": 0.5}, INFO)
    return model, model.save_to_preset(tmp_path / "toy", terms="for tests alone")


def test_a_saved_model_answers_as_before_to_half_precision(tmp_path):
    model, folder = saved(tmp_path)
    copy = DAFSN.from_preset(folder)
    assert copy.assets == replace(model.assets, info=INFO | {"terms": "for tests alone"})
    data = batch(seed=1)
    before, after = model(data), copy(data)
    for name in ("sentence_features", "image_features", "region_features", "text_logits"):
        size = np.abs(before[name]).max()
        assert size > 0
        np.testing.assert_allclose(after[name], before[name], atol=2e-2 * size)


def test_a_weights_files_path_stays_on_this_machine(tmp_path):
    model = tiny_model()
    model.config = replace(model.config, image=replace(model.config.image, weights="/home/somebody/weights.h5"))
    model.assets = Assets(WORDS, {"weight": 0.5}, INFO)
    folder = model.save_to_preset(tmp_path / "toy")
    assert "somebody" not in "".join(file.read_text() for file in folder.iterdir() if file.suffix != ".npz")
    assert load_heads(folder).config.image.weights == "imagenet"


def test_kernels_are_half_precision_and_the_card_says_what_it_is(tmp_path):
    _, folder = saved(tmp_path)
    with np.load(folder / "heads.npz") as arrays:
        assert {arrays[name].dtype for name in arrays.files if arrays[name].ndim > 1} == {np.dtype("float16")}
    card = (folder / "README.md").read_text()
    assert "trained on toy" in card
    assert "for tests alone" in card
    assert f"it knows {len(load_heads(folder).assets.vocabulary)} words, those of training texts" in card
    assert "taught by no loss" not in card


def test_the_card_of_a_model_without_a_loss_of_words_says_so(tmp_path):
    model = tiny_model()
    model.config = replace(model.config, loss=replace(model.config.loss, word_weight=0.0, fused_weight=0.0))
    model.assets = Assets(WORDS, {"weight": 0.5}, INFO)
    card = (model.save_to_preset(tmp_path / "toy") / "README.md").read_text()
    assert "\nIts words were taught by no loss" in card


def test_nothing_is_written_over_and_nothing_half(tmp_path):
    model, folder = saved(tmp_path)
    with pytest.raises(RunError, match="not empty"):
        model.save_to_preset(folder)
    model.assets = None
    with pytest.raises(RunError, match="knows no vocabulary"):
        model.save_to_preset(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy"]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(
        RunError, match=r"'absent' is neither a folder with heads\.npz nor a model that the package ships"
    ):
        DAFSN.from_preset("absent")


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_discriminator_is_passed_on_where_it_took_part(tmp_path, weight):
    model, folder = saved(tmp_path, loss={"adversarial_weight": weight})
    with np.load(folder / "heads.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    assert any(name.startswith("discriminator/") for name in arrays) == (weight > 0)
    earlier = {f"discriminator/{n}": array for n, array in enumerate(model.discriminator.get_weights())}
    np.savez(folder / "heads.npz", **{**earlier, **arrays})  # as earlier versions passed it on in any case
    data = batch(seed=1)
    np.testing.assert_allclose(
        load_heads(folder)(data)["sentence_features"], model(data)["sentence_features"], atol=1e-2
    )


def test_a_model_without_its_weights_is_no_unfinished_run(tmp_path):
    shutil.copytree(shipped_models()["shapes"], tmp_path / "shapes")  # of a run, whose data it names
    for folder in (saved(tmp_path)[1], tmp_path / "shapes"):
        (folder / "heads.npz").unlink()
        with pytest.raises(RunError, match=r"without its weights, heads\.npz: fetch the whole folder"):
            load_run(folder)


def test_heads_of_another_configuration_are_refused(tmp_path):
    _, folder = saved(tmp_path)
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("dim = 8", "dim = 16", 1))
    with pytest.raises(RunError, match="does not fit"):
        load_heads(folder)


def test_heads_refuse_a_backbone_they_were_not_trained_on(tmp_path):
    frozen = {"backbone": "inception_v3", "image_size": 75, "region_layer": "mixed8", "global_layer": "mixed8"}
    keras.utils.set_random_seed(0)
    model = tiny_model(image=frozen)
    model.assets = Assets(WORDS, {}, {**INFO, "backbone_fingerprint": "0" * 64})
    folder = model.save_to_preset(tmp_path / "frozen")
    assert not any(name.startswith("backbone") for name in np.load(folder / "heads.npz").files)
    heads = load_heads(folder)
    with pytest.raises(WeightsError, match=r"fingerprint 000000000000\.\.\., the weights given have"):
        with_backbone(heads, "none")
