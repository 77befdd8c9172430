import dataclasses

import pytest

from dafsn_tf.config import Config, load_config
from dafsn_tf.errors import ConfigError
from dafsn_tuner.report import best_table, importance, parallel_coordinates, trials_table
from dafsn_tuner.space import SPACE, Choice, Range, condition, configured, ordered, own_values, read_space
from dafsn_tuner.trials import Trial


def space_of(tmp_path, table, config=None):
    file = tmp_path / "own.toml"
    file.write_text(f"[search]\n{table}\n")
    return read_space(str(file), config or load_config(file))


def test_every_field_of_the_default_space_can_take_all_its_values():
    for name, values in SPACE.items():
        for value in values.values if isinstance(values, Choice) else (values.low, values.high):
            configured(Config(), {name: value})


def test_a_preset_is_searched_as_the_default_space_says():
    assert read_space("pascal_sentence", load_config("pascal_sentence")) == SPACE


def test_a_file_narrows_and_widens_the_space(tmp_path):
    found = space_of(
        tmp_path,
        '"model.dim" = [64]\n"loss.label_weight" = "fixed"\n"image.region_grid" = [0, 6, 8]\n'
        '"training.learning_rate" = { low = 1e-4, high = 1e-3, log = true }',
    )
    assert found["model.dim"] == Choice((64,))
    assert found["image.region_grid"] == Choice((0, 6, 8))
    assert found["training.learning_rate"] == Range(1e-4, 1e-3, log=True)
    assert set(found) == set(SPACE) - {"loss.label_weight"} | {"image.region_grid"}
    assert set(space_of(tmp_path, 'only = true\n"model.dim" = [64, 128]')) == {"model.dim"}


def test_training_does_not_mind_the_table(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('[model]\ndim = 64\n[search]\n"model.dim" = [64]\n')
    assert load_config(file).model.dim == 64


def test_what_the_configuration_switches_off_is_not_searched(tmp_path):
    config = load_config("default", ["loss.adversarial_weight=0.0"])
    found = space_of(tmp_path, '"loss.adversarial_weight" = "fixed"', config)
    assert not {"loss.adversarial_kind", "discriminator.steps", "discriminator.learning_rate"} & set(found)
    config = load_config("dafsn_paper")
    found = space_of(tmp_path, '"loss.adversarial_weight" = "fixed"', config)
    assert "discriminator.steps" in found
    assert condition("discriminator.steps", found, config) is None


def test_what_is_off_in_every_trial_is_not_searched(tmp_path):
    config = load_config("default")
    assert "discriminator.steps" not in space_of(tmp_path, '"loss.adversarial_weight" = [0.0]', config)
    assert "training.decay_rate" not in space_of(tmp_path, '"training.schedule" = ["cosine", "constant"]', config)
    assert "model.gamma1" in space_of(tmp_path, '"loss.word_weight" = { low = 0.0, high = 1.0 }', config)


@pytest.mark.parametrize("preset", ["default", "pascal_sentence"])
def test_the_default_space_holds_the_presets_own_values(preset):
    config = load_config(preset)
    values = own_values(config, SPACE)
    assert values is not None
    assert configured(config, values) == config
    assert "training.decay_rate" not in values


def test_what_the_heads_decide_that_training_begins_with_is_not_searched(tmp_path):
    config = load_config("photographs")
    space = space_of(tmp_path, "", config)
    assert set(SPACE) - set(space) == {"model.dim", "text.sentence_pooling", "text.word_features"}
    values = own_values(config, space)
    assert values is not None
    assert configured(config, values) == config
    with pytest.raises(ConfigError, match=r"names model\.dim, which the heads of flickr8k decide"):
        space_of(tmp_path, '"model.dim" = [512, 1024]', config)


@pytest.mark.parametrize("field", ["canonical_dim", "querybank_size"])
def test_what_acts_when_training_has_ended_is_not_searched(tmp_path, field):
    with pytest.raises(ConfigError, match=rf"names model\.{field}, which acts when training has ended"):
        space_of(tmp_path, f'"model.{field}" = [0, 256]', load_config("default"))


def test_words_are_searched_where_any_term_teaches_them(tmp_path):
    both = space_of(tmp_path, "", load_config("default"))
    assert condition("model.gamma1", both, load_config("default")) is None  # either term may be on

    fused = load_config("default", ["loss.fused_weight=1.0"])
    found = space_of(tmp_path, '"loss.fused_weight" = "fixed"', fused)
    assert condition("model.gamma1", found, fused) is None  # the fused term is, whatever the words' weight
    assert condition("model.gamma1", found, load_config("default", ["loss.fused_weight=0.0"])).values == (0.1, 0.3, 1.0)

    sentences = load_config("default", ["loss.fused_weight=0.0", "loss.word_weight=0.0"])
    found = space_of(tmp_path, '"loss.fused_weight" = "fixed"\n"loss.word_weight" = "fixed"', sentences)
    assert not {"model.gamma1", "model.similarity", "text.word_features"} & set(found)


def test_a_configuration_beside_the_space_has_no_values_there():
    config = load_config("default", ["text.dropout=0.55", "training.learning_rate=0.001", "model.dim=256"])
    assert own_values(config, {"text.dropout": Range(0.1, 0.6)}) == {"text.dropout": 0.55}
    assert own_values(config, {"text.dropout": Range(0.1, 0.6, step=0.1)}) is None
    assert own_values(config, {"training.learning_rate": Range(2e-3, 3e-3)}) is None
    assert own_values(config, {"model.dim": Choice((64, 128))}) is None


def test_a_field_follows_the_one_that_it_depends_on():
    names = ordered(SPACE)
    for name in names:
        when = condition(name, SPACE, Config())
        assert when is None or names.index(when.field) < names.index(name)
    assert condition("training.decay_rate", SPACE, Config()).values == ("exponential",)
    assert 0.0 not in condition("loss.adversarial_kind", SPACE, Config()).values


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('"model.dims" = [64]', "dims"),
        ('"models.dim" = [64]', "models"),
        ("dim = [64]", "section.field"),
        ('"model.dim" = [63]', "even"),
        ('"model.dim" = ["64"]', "int"),
        ('"loss.gamma3" = [1, 2.0]', "mixes"),
        ('"model.dim" = 64', "list of values"),
        ('"model.dim" = []', "list of values"),
        ('"loss.gamma3" = { low = 3.0 }', "list of values"),
        ('"loss.gamma3" = { low = 3.0, high = 2.0 }', "below"),
        ('"loss.gamma3" = { low = 0.0, high = 2.0, log = true }', "above 0"),
        ('"loss.matching" = ["l2"]', "cross_entropy"),
        ('"loss.gamma3" = { low = 1.0, high = "2" }', "numbers"),
        ("only = 1", "true or false"),
        ("only = true", "nothing to search"),
    ],
)
def test_mistakes_in_the_table_are_told(tmp_path, table, message):
    with pytest.raises(ConfigError, match=message):
        space_of(tmp_path, table)


def trial(number, validation, **values):
    values = {name.replace("_", ".", 1): value for name, value in values.items()}
    return Trial(number, values, "completed" if validation is not None else "failed", validation, 1, "ValueError: no")


def three_trials():
    best = trial(3, 0.5, model_dim=128, loss_gamma3=1.5)
    return [trial(1, 0.25, model_dim=64), trial(2, None, model_dim=128), best]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_decides_is_important_and_what_does_not_is_not(seed):
    space = {"model.dim": Choice((64, 128)), "loss.gamma3": Range(1.0, 2.0)}
    trials = [
        trial(number, 0.1 * (number % 2), model_dim=(64, 128)[number % 2], loss_gamma3=1 + (number * 7 % 13) / 13)
        for number in range(16)
    ]
    shares = importance(trials, space, seed)
    assert next(iter(shares)) == "model.dim"
    assert shares["model.dim"] > 0.9
    assert importance(trials[:7], space) == {}


def test_the_table_begins_with_the_best_and_ends_with_the_failed():
    space = {"model.dim": Choice((64, 128)), "loss.gamma3": Range(1.0, 2.0)}
    trials = three_trials()
    lines = trials_table(trials, space).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["3", "1", "2"]
    assert lines[2].split() == ["3", "0.5000", "1", "128", "1.5"]
    assert lines[-1] == "trial 2 failed: ValueError: no"


def test_the_best_trials_stand_side_by_side():
    space = {"model.dim": Choice((64, 128)), "loss.gamma3": Range(1.0, 2.0)}
    rows = [line.split() for line in best_table(three_trials(), space).splitlines()]
    assert rows[0] == ["trial", "3", "1"]
    assert rows[2] == ["validation", "0.5000", "0.2500"]
    assert rows[-1] == ["loss.gamma3", "1.5", "-"]


def test_the_picture_has_a_line_for_each_trial_with_a_value(tmp_path):
    space = {"model.dim": Choice((64, 128)), "loss.gamma3": Range(1.0, 2.0)}
    trials = three_trials()
    parallel_coordinates(trials, space, tmp_path / "picture.svg")
    parallel_coordinates([dataclasses.replace(trials[0])], space, tmp_path / "one.png")
    assert (tmp_path / "picture.svg").read_text().count("stroke-linecap: square") >= 2
    assert (tmp_path / "one.png").stat().st_size > 5000
