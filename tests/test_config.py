import tomllib
import typing
from dataclasses import replace
from importlib import resources

import pytest

from dafsn_tf.config import Config, TrainingConfig, load_config, preset_names, stored_config
from dafsn_tf.errors import ConfigError


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_survive_a_round_trip(name):
    config = load_config(name)
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


def test_presets_of_the_readme_exist():
    assert {"default", "photographs", "shapes", "pascal_sentence", "flickr8k"} <= set(preset_names())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", r"no 'epoch'. Did you mean 'epochs'\?"),
        ("trainin.epochs=3", r"no 'trainin'. Did you mean 'training'\?"),
        ("training.epochs", "not of the form section.field=value"),
        ("training.epochs=many", r"training.epochs is 'many' \(str\); it must be of type int"),
        ("training.epochs=true", r"training.epochs is True \(bool\)"),
        ("training.epochs=0", "training.epochs is 0; it must be at least 1"),
        ("training.batch_size=1", "training.batch_size is 1; it must be at least 2: matching needs two pairs"),
        ("model.dim=7", "must be even"),
        ("text.dropout=1.0", r"text.dropout is 1.0; it must be in \[0, 1\)"),
        ("image.region_layer=mixed6", r"image.region_layer is 'mixed6'; .*Did you mean 'mixed"),
        ("loss.gamma3=0", "loss.gamma3 is 0.0; it must be positive"),
        ("training.patience=-1", "training.patience is -1; it must not be negative"),
        ("training.learning_rate=nan", "training.learning_rate is nan; it must be a finite number"),
        ("discriminator.learning_rate=inf", "discriminator.learning_rate is inf; it must be a finite number"),
        ("discriminator.learning_rate=0", "discriminator.learning_rate is 0.0; it must be positive"),
        ("training.beta_1=3", r"training.beta_1 is 3.0; it must be in \[0, 1\)"),
        ("discriminator.beta_1=-0.1", r"discriminator.beta_1 is -0.1; it must be in \[0, 1\)"),
        ("training.decay_rate=0", r"training.decay_rate is 0.0; it must be in \(0, 1\]"),
        ("image.image_size=20", "inception_v3 needs at least 75"),
        ("image.fine_tune_from=mixed11", "image.fine_tune_from is 'mixed11'"),
    ],
)
def test_what_cannot_be_used_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("default", [override])


def test_every_number_has_bounds():
    """A field of a plain `int` or `float` would take nan, or a value that fails deep inside a run."""
    for section in typing.get_type_hints(Config).values():
        for name, kind in typing.get_type_hints(section, include_extras=True).items():
            assert kind not in (int, float), f"{section.__name__}.{name}"


def test_bounds_hold_however_a_configuration_is_made():
    with pytest.raises(ConfigError, match=r"training\.clip_norm is nan"):
        Config(training=TrainingConfig(clip_norm=float("nan")))


def test_overrides_apply_in_order_and_take_bare_words():
    config = load_config("default", ["image.weights=some/file.h5", "training.epochs=3", "training.epochs=4"])
    assert config.image.weights == "some/file.h5"
    assert config.training.epochs == 4
    assert load_config("default", ["loss.label_weight=2"]).loss.label_weight == 2.0


def test_files_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[model]\ndim = 64\n")
    assert load_config(path).model.dim == 64
    path.write_text("[model]\ndimension = 64\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: \[model\] has no 'dimension'. Did you mean 'dim'\?"):
        load_config(path)
    path.write_text("model = 3\n")
    with pytest.raises(ConfigError, match=r"\[model\] must be a table"):
        load_config(path, ["model.dim=8"])
    path.write_bytes("[image]\nweights = 'Gewichte für mich.h5'\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine\.toml cannot be read as a TOML file, which is UTF-8"):
        load_config(path)
    path.write_text("[model\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"neither a preset nor a file.*Did you mean 'shapes'\?"):
        load_config("shape")


def test_what_a_file_does_not_name_is_as_in_the_preset_default(tmp_path):
    path, default = tmp_path / "mine.toml", load_config("default")
    path.write_text('[text]\nembeddings = "none"\n[search]\nmodel.dim = [1, 2]\n')
    assert load_config(path) == replace(default, text=replace(default.text, embeddings="none"))
    path.write_text("")
    assert load_config(path) == default
    assert load_config(path, ["model.dim=8"]).model == replace(default.model, dim=8)
    path.write_text("[training]\nepochs = 3\n")
    assert load_config(path).training.for_images(60).epochs == 3
    path.write_text("[training]\nepochs = 3\nmin_steps = 9\n")
    assert load_config(path).training == replace(default.training, epochs=3, min_steps=9)


@pytest.mark.parametrize("name", preset_names())
def test_a_copy_of_a_preset_is_that_preset(name, tmp_path):
    copy = tmp_path / "copy.toml"
    copy.write_text((resources.files("dafsn_tf") / "presets" / f"{name}.toml").read_text())
    assert load_config(copy) == load_config(name)


def test_what_a_stored_configuration_lacks_was_off(tmp_path):
    config = load_config("default")
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert stored_config(path) == load_config(path) == config
    path.write_text(config.to_toml().replace("canonical_dim = 256\n", "").replace("added_words = 20000\n", ""))
    assert (stored_config(path).model.canonical_dim, stored_config(path).text.added_words) == (0, 0)


def test_strings_with_quotes_survive_toml():
    config = load_config("default", ['image.weights=C:\\weights "new".h5'])
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


def test_fine_tuning_needs_a_block_that_is_read():
    options = ["image.region_layer=mixed7", "image.global_layer=mixed8", "image.fine_tune_from=mixed9"]
    with pytest.raises(ConfigError, match=r"no layer as high is read.*Name a lower block"):
        load_config("default", options)
    with pytest.raises(ConfigError, match="small_cnn is trained as a whole"):
        load_config("shapes", ["image.fine_tune_from=mixed8"])
    assert load_config("default", ["image.fine_tune_from=mixed8"]).image.trains_backbone


@pytest.mark.parametrize(
    ("images", "size", "passes", "epochs"),
    [
        (6000, 128, 1, 20),  # enough steps as it is
        (800, 100, 1, 75),  # eight batches an epoch
        (60, 16, 3, 67),  # batches of sixteen images at least: three of them, three times
        (24, 16, 8, 75),
        (5, 5, 8, 75),  # one batch, eight times
    ],
)
def test_small_collections_get_smaller_batches_and_more_epochs(images, size, passes, epochs):
    training = TrainingConfig(batch_size=128, epochs=20, min_steps=600).for_images(images)
    assert (training.batch_size, training.passes(images), training.epochs) == (size, passes, epochs)
    assert training.steps_per_epoch(images) == images // size * passes >= 8
    assert training.epochs * training.steps_per_epoch(images) >= 600


def test_without_a_least_number_of_steps_only_the_batch_fits_itself():
    training = TrainingConfig(batch_size=128, epochs=20).for_images(60)
    assert (training.batch_size, training.epochs, training.passes(60), training.steps_per_epoch(60)) == (60, 20, 1, 1)


@pytest.mark.parametrize(("images", "batches"), [(60, 3), (800, 8), (6000, 46), (30_000, 234)])
def test_weights_forget_at_one_rate_by_epoch_but_in_the_smallest_collections(images, batches):
    training = load_config("default").training
    fitted = training.for_images(images)
    assert images // fitted.batch_size == batches
    assert fitted.weight_decay == pytest.approx(training.weight_decay * min(1, 8 / batches))
    assert replace(training, min_steps=0).for_images(images).weight_decay == training.weight_decay


def test_who_asks_for_epochs_gets_them():
    assert load_config("default").training.min_steps > 1
    asked = load_config("default", ["training.epochs=3"]).training
    assert (asked.for_images(60).epochs, asked.for_images(6000).epochs) == (3, 3)
    assert asked.for_images(6000).weight_decay < asked.weight_decay
    assert load_config("flickr8k", ["training.epochs=3"]).training.min_steps == 0
    assert load_config("default", ["training.epochs=3", "training.min_steps=9"]).training.min_steps == 9


def test_fields_not_named_are_those_of_the_preset_default():
    """What validation found best for photographs (benchmarks/RESULTS.md) is what no one has to ask for."""
    suited = replace(Config().training, min_steps=1200, weight_decay=10.0)
    text, model = (
        replace(Config().text, added_words=20_000),
        replace(Config().model, canonical_dim=256, querybank_size=128),
    )
    expected = replace(Config(), training=suited, text=text, model=model)  # runs of earlier versions name none
    assert expected == load_config("default")


@pytest.mark.parametrize(
    "override",
    ["model.canonical_dim=0", "image.fine_tune_from=mixed8", "loss.sentence_weight=0"],
)
def test_canonical_directions_are_fitted_over_a_frozen_backbone_beside_sentences(override):
    assert load_config("default").fits_canonical
    assert not load_config("default", [override, "loss.fused_weight=0", "loss.word_weight=1"]).fits_canonical
