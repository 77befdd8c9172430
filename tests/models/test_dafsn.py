import keras
import numpy as np
import pytest
import tensorflow as tf

from dafsn_tf.config import Config
from dafsn_tf.losses import discriminator_loss, hinge_loss, matching_loss
from dafsn_tf.models import DAFSN
from dafsn_tf.models.dafsn import cosine_scores

TINY = {  # the published form, small
    "text": {
        "embedding_dim": 6,
        "dropout": 0.5,
        "word_dropout": 0.2,
        "oov_buckets": 3,
        "sentence_pooling": "last",
        "word_features": "lstm",
    },
    "image": {"backbone": "small_cnn", "image_size": 16, "dropout": 0.0},
    "model": {"dim": 8, "gamma1": 5.0, "similarity": "product", "word_pooling": "log_mean_exp"},
    "loss": {"gamma3": 10.0, "word_weight": 1.0, "fused_weight": 0.0, "adversarial_weight": 0.1},
    "discriminator": {"hidden_dim": 8},
}


def tiny_model(classes=3, **sections):
    keras.utils.set_random_seed(0)
    config = {name: {**TINY.get(name, {}), **sections.get(name, {})} for name in {*TINY, *sections}}
    model = DAFSN(Config.from_dict(config), vocabulary_size=20, num_classes=classes)
    model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2))
    return model


def batch(size=6, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    ids = generator.integers(1, 20, (size, 5)) * (np.arange(5) < generator.integers(1, 6, (size, 1)))
    return {
        "word_ids": tf.constant(ids, tf.int32),
        "images": tf.constant(generator.uniform(-1, 1, (size, 16, 16, 3)), tf.float32),
        "labels": tf.one_hot(generator.integers(0, max(classes, 1), size), classes),
        "image_index": tf.range(size),
    }


def gradients(loss_of, variables):
    with tf.GradientTape() as tape:
        loss = loss_of()
    return tape.gradient(loss, [variable.value for variable in variables])


@pytest.mark.parametrize(
    "sections",
    [
        {"loss": {"adversarial_kind": "flipped_labels"}},
        {"loss": {"adversarial_kind": "uniform_targets"}},
        {"loss": {"adversarial_kind": "gradient_reversal"}},
        {"loss": {"learned_gamma3": True}},
        {"loss": {"matching": "hardest_negative", "hinge_warmup_steps": 0, "margin": 2.0}},
        {"text": {"sentence_pooling": "gpo"}, "model": {"attention": "both"}, "image": {"region_dropout": 0.2}},
        {"discriminator": {"inputs": "local"}},
        {"discriminator": {"inputs": "both"}},
    ],
)
def test_every_trainable_variable_receives_a_gradient(sections):
    model = tiny_model(**sections)
    data = batch()
    encoders = gradients(
        lambda: model.alignment_losses(model(data, training=True), data)["loss"], model.encoder_variables
    )
    features = model(data)
    players = gradients(
        lambda: discriminator_loss(*model._modality_logits(features, stop_gradient=True)),
        model.discriminator.trainable_variables,
    )
    variables = [*model.encoder_variables, *model.discriminator.trainable_variables]
    assert len(variables) == len(model.trainable_variables)
    for variable, gradient in zip(variables, [*encoders, *players], strict=True):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_adversarial_gradient_reaches_the_encoders_and_opposes_the_discriminators():
    model = tiny_model(loss={"adversarial_kind": "gradient_reversal"}, discriminator={"dropout": 0.0})
    data = batch()
    model.optimizer.iterations.assign(5)
    model.total_steps = 10

    def logits():
        return model._modality_logits(model(data), stop_gradient=False)

    adversarial = gradients(
        lambda: model.alignment_losses(model(data), data)["adversarial_loss"], model.encoder_variables
    )
    opposed = gradients(lambda: discriminator_loss(*logits()), model.encoder_variables)
    ramp = np.tanh(2.5)
    reached = 0
    for ours, theirs in zip(adversarial, opposed, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            ours, theirs = tf.convert_to_tensor(ours).numpy(), tf.convert_to_tensor(theirs).numpy()
            reached += np.abs(ours).max() > 0
            np.testing.assert_allclose(ours, -ramp * theirs, atol=1e-6)
    assert reached >= 10

    flipped = tiny_model(discriminator={"dropout": 0.0})
    flipped.set_weights(model.get_weights())
    against = gradients(
        lambda: flipped.alignment_losses(flipped(data), data)["adversarial_loss"], flipped.encoder_variables
    )
    product = sum(
        float(tf.reduce_sum(tf.convert_to_tensor(a) * tf.convert_to_tensor(b)))
        for a, b in zip(against, opposed, strict=True)
        if a is not None
    )
    assert product < 0


@pytest.mark.parametrize("weights", [{}, {"sentence_weight": 0.0, "word_weight": 0.0, "label_weight": 0.0}])
@pytest.mark.parametrize("inputs", ["global", "local", "both"])
def test_the_gradients_of_the_players_are_measured_at_what_the_discriminator_sees(weights, inputs):
    still = {"text": {"dropout": 0.0, "word_dropout": 0.0}, "discriminator": {"dropout": 0.0, "inputs": inputs}}
    model = tiny_model(**still, loss={"adversarial_weight": 0.3, **weights})
    model.discriminator_optimizer.learning_rate = 0.0
    data = batch()
    names = [*["sentence_features", "image_features"] * (inputs != "local")]
    names += [*["word_features", "region_features"] * (inputs != "global")]
    features = model(data, training=True)
    embeddings = [tf.Variable(features[name]) for name in names]

    def losses():
        replaced = {**features, **dict(zip(names, embeddings, strict=True))}
        for modality, name in (("text", "sentence_features"), ("image", "image_features")):
            replaced[f"{modality}_logits"] = model.class_logits(replaced[name])
        terms = model.alignment_losses(replaced, data)
        return 0.3 * terms["adversarial_loss"], terms["loss"] - 0.3 * terms["adversarial_loss"]

    expected = []
    for term in range(2):
        with tf.GradientTape() as tape:
            value = losses()[term]
        expected.append(np.sqrt(sum(np.sum(part.numpy() ** 2.0) for part in tape.gradient(value, embeddings))))
    found = model.train_step(data)
    assert float(found["adversarial_gradient"]) == pytest.approx(expected[0], rel=1e-4)
    assert float(found["retrieval_gradient"]) == pytest.approx(expected[1], rel=1e-4, abs=1e-6)
    assert expected[0] > 1e-4
    assert (expected[1] < 1e-6) == bool(weights)
    assert "adversarial_gradient" not in model.test_step(data)


def test_without_an_adversary_its_gradient_is_zero():
    found = tiny_model(loss={"adversarial_weight": 0.0}).train_step(batch())
    assert float(found["adversarial_gradient"]) == 0.0
    assert float(found["retrieval_gradient"]) > 0.0


@pytest.mark.parametrize("inputs", ["local", "both"])
def test_words_play_against_what_they_attend_to_as_in_plain_loops(inputs):
    model = tiny_model(discriminator={"inputs": inputs})
    data = batch()
    features = model(data)
    mask = features["word_mask"].numpy()
    contexts = model.attention.attended_regions(features["word_features"], mask, features["region_features"]).numpy()

    def chance_of_image(vector):
        return 1 / (1 + np.exp(-model.discriminator(vector[None]).numpy().astype("float64")[0]))

    levels = []
    if inputs == "both":
        rows = range(len(mask))
        of_images = [-np.log(chance_of_image(features["image_features"][row])) for row in rows]
        of_texts = [-np.log(1 - chance_of_image(features["sentence_features"][row])) for row in rows]
        levels.append((np.mean(of_images) + np.mean(of_texts)) / 2)
    losses, right = [], []
    for text, word in zip(*np.nonzero(mask), strict=True):
        image, plain = chance_of_image(contexts[text, word]), chance_of_image(features["word_features"][text, word])
        losses.append((-np.log(image) - np.log(1 - plain)) / 2)
        right.append(((image > 0.5) + (plain <= 0.5)) / 2)
    levels.append(np.mean(losses))
    assert 0 < mask.mean() < 1
    logits = model._modality_logits(features, stop_gradient=True, training=False)
    assert float(discriminator_loss(*logits)) == pytest.approx(np.mean(levels), rel=1e-5)
    if inputs == "local":
        assert float(model.test_step(data)["discriminator_accuracy"]) == pytest.approx(np.mean(right))


def test_padding_plays_no_part_in_the_game():
    model = tiny_model(discriminator={"inputs": "both"})
    data, found = batch(), []
    for padding in (0, 4):
        model.reset_metrics()
        ids = tf.pad(data["word_ids"], [[0, 0], [0, padding]])
        found.append({name: float(value) for name, value in model.test_step({**data, "word_ids": ids}).items()})
    assert found[0]["adversarial_loss"] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_discriminator_step_moves_only_the_discriminator():
    model = tiny_model()
    model.optimizer.learning_rate = 0.0
    before = {id(variable): variable.numpy().copy() for variable in model.trainable_variables}
    model.train_step(batch())
    moved = [variable for variable in model.trainable_variables if (variable.numpy() != before[id(variable)]).any()]
    assert {id(variable) for variable in moved} == {
        id(variable) for variable in model.discriminator.trainable_variables
    }


def test_encoder_step_leaves_the_discriminator():
    model = tiny_model()
    model.discriminator_optimizer.learning_rate = 0.0
    before = [variable.numpy().copy() for variable in model.discriminator.trainable_variables]
    model.train_step(batch())
    for old, variable in zip(before, model.discriminator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_hinge_looks_at_the_hardest_negatives_from_a_step_on():
    model = tiny_model(
        loss={"matching": "hardest_negative", "hinge_warmup_steps": 2, "margin": 0.5, "sentence_positives": "pairs"}
    )
    features = model(batch())
    same_item = np.eye(6, dtype=bool)
    scores = cosine_scores(features["sentence_features"], features["image_features"])
    expected = {hardest: float(hinge_loss(scores, same_item, same_item, 0.5, "pairs", hardest)) for hardest in (0, 1)}
    assert expected[1] > expected[0] + 0.01
    for step, hardest in ((0, 0), (1, 0), (2, 1), (5, 1)):
        model.optimizer.iterations.assign(step)
        found = float(model.alignment_losses(features, batch())["sentence_loss"])
        assert found == pytest.approx(expected[hardest], rel=1e-5)


def test_a_learned_temperature_begins_where_it_is_set_and_ends_at_a_hundred():
    model = tiny_model(loss={"learned_gamma3": True, "gamma3": 7.0, "sentence_positives": "pairs"})
    features, nobody = model(batch()), np.zeros((6, 6), bool)
    scores = cosine_scores(features["sentence_features"], features["image_features"])
    for log_gamma3, gamma3 in ((None, 7.0), (np.log(50.0), 50.0), (np.log(500.0), 100.0)):
        if log_gamma3 is not None:
            model.log_gamma3.assign(log_gamma3)
        found = float(model.alignment_losses(features, batch())["sentence_loss"])
        assert found == pytest.approx(float(matching_loss(scores, nobody, nobody, gamma3, "pairs")), rel=1e-5)


def test_k_discriminator_steps_for_each_encoder_step():
    model = tiny_model(discriminator={"steps": 3})
    for _ in range(2):
        model.train_step(batch())
    assert int(model.discriminator_optimizer.iterations) == 6
    assert int(model.optimizer.iterations) == 2


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_save_load_and_continue_equals_not_having_stopped(tmp_path):
    data = tf.data.Dataset.from_tensor_slices(batch(12)).batch(6)
    model = tiny_model(loss={"learned_gamma3": True})
    model.compile(keras.optimizers.AdamW(1e-2, weight_decay=2.0), keras.optimizers.Adam(1e-2))
    of_padding = model.text_encoder.embedding.embeddings.numpy()[0]  # no loss moves it
    model.fit(data, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    histories = [each.fit(data, epochs=2, verbose=0).history for each in (model, loaded)]
    assert histories[0] == histories[1]
    everything = [
        [*each.variables, *each.optimizer.variables, *each.discriminator_optimizer.variables]
        for each in (model, loaded)
    ]
    assert len(everything[0]) == len(everything[1])
    for ours, theirs in zip(*everything, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    np.testing.assert_array_equal(loaded.text_encoder.embedding.embeddings.numpy()[0], of_padding)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_weights_are_averaged_over_steps_and_restored_and_continued_exactly(tmp_path):
    model = tiny_model()
    model.compile(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.7), keras.optimizers.Adam(1e-2))
    averages = None
    for step in range(4):
        model.train_step(batch(seed=step))
        now = [variable.numpy().astype("float64") for variable in model.encoder_variables]
        averages = now if averages is None else [0.7 * a + 0.3 * v for a, v in zip(averages, now, strict=True)]
    discriminator = [variable.numpy() for variable in model.discriminator.trainable_variables]
    with model.averaged_weights():
        for average, variable in zip(averages, model.encoder_variables, strict=True):
            np.testing.assert_allclose(variable.numpy(), average, atol=1e-6)
    for value, variable in zip(now, model.encoder_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    for value, variable in zip(discriminator, model.discriminator.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    data = tf.data.Dataset.from_tensor_slices(batch(12)).batch(6)
    for each in (model, loaded):
        each.fit(data, epochs=1, verbose=0)  # ends with the averages in place
    for ours, theirs in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for average, variable in zip(model.optimizer._model_variables_moving_average, model.encoder_variables, strict=True):
        np.testing.assert_array_equal(average.numpy(), variable.numpy())


def test_an_uncompiled_model_saves_its_weights(tmp_path):
    model = DAFSN(Config.from_dict(TINY), vocabulary_size=20)
    model.build()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_reload_keeps_name_policy_and_compile_arguments(tmp_path):
    model = DAFSN(Config.from_dict(TINY), vocabulary_size=20, name="ours", dtype="mixed_bfloat16")
    model.compile(keras.optimizers.Adam(1e-2), discriminator_steps=2, jit_compile=True, steps_per_execution=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.name == "ours"
    assert loaded.dtype_policy.name == loaded.text_encoder.dtype_policy.name == "mixed_bfloat16"
    assert (loaded.jit_compile, loaded.steps_per_execution, loaded.discriminator_steps) == (True, 3, 2)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-2)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_fit_learns_to_match_the_batch():
    data = tf.data.Dataset.from_tensors(batch()).repeat(60)
    model = tiny_model(text={"dropout": 0.0, "word_dropout": 0.0})
    before = model.evaluate(data.take(1), verbose=0, return_dict=True)
    history = model.fit(data, epochs=3, validation_data=data.take(1), verbose=0).history
    end = model.evaluate(data.take(1), verbose=0, return_dict=True)
    assert end["loss"] < 0.5 * before["loss"]
    assert end["word_loss"] < 0.1 * before["word_loss"]
    assert "val_word_loss" in history


def test_without_labels_and_without_adversary():
    model = tiny_model(classes=0, loss={"adversarial_weight": 0.0})
    result = model.train_step(batch(classes=0))
    assert float(result["label_loss"]) == 0.0
    assert float(result["adversarial_loss"]) == 0.0
    expected = float(result["word_loss"]) + float(result["sentence_loss"])
    assert float(result["loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_the_fused_term_matches_pairs_by_the_sum_of_both_scores(similarity):
    model = tiny_model(loss={"fused_weight": 2.0, "word_weight": 0.0}, model={"similarity": similarity})
    data = batch()
    features = model(data)
    losses = model.alignment_losses(features, data, training=False)
    words = model.attention(features["word_features"], features["word_mask"], features["region_features"])
    sentences = cosine_scores(features["sentence_features"], features["image_features"])
    same_item = data["image_index"][:, None] == data["image_index"][None, :]
    same_class = tf.matmul(data["labels"], data["labels"], transpose_b=True) > 0
    loss = model.config.loss
    expected = matching_loss(sentences + words, same_item, same_class, loss.gamma3, loss.sentence_positives)
    assert float(losses["fused_loss"]) == pytest.approx(float(expected), rel=1e-5)
    rest = losses["sentence_loss"] * loss.sentence_weight + losses["label_loss"] * loss.label_weight
    rest += losses["adversarial_loss"] * loss.adversarial_weight
    assert float(losses["loss"] - rest) == pytest.approx(2 * float(expected), rel=1e-5)
    assert np.isfinite(float(model.train_step(data)["loss"]))


def test_mixed_precision_step_is_finite():
    model = tiny_model(training={"mixed_precision": "mixed_bfloat16"})
    for _ in range(3):
        result = model.train_step(batch())
    assert all(np.isfinite(float(value)) for value in result.values())
    assert model.text_encoder.embedding.compute_dtype == "bfloat16"


def test_heads_alone_and_complete_models_share_one_path():
    config = {"image": {"image_size": 75, "region_layer": "mixed7", "global_layer": "mixed8"}, "model": {"dim": 8}}
    complete = DAFSN(Config.from_dict(config), vocabulary_size=20)
    complete.build()
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    features = complete.image_encoder.backbone(images)
    direct, cached = complete.encode_images(images), complete.encode_images(features)
    for name in ("region_features", "image_features"):
        np.testing.assert_allclose(direct[name], cached[name], atol=1e-5)
