import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import check_layer

from dafsn_tf.errors import WeightsError
from dafsn_tf.layers import FeatureStandardizer, ImageEncoder, ModalityDiscriminator, TextEncoder
from dafsn_tf.layers.backbones import WEIGHTS_VARIABLE, Backbone

IDS = np.array([[3, 4, 5, 6], [7, 0, 0, 0], [3, 9, 0, 0]], "int32")


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_sentence_features_are_pooled_from_the_words_alone(pooling):
    encoder = TextEncoder(12, 6, 5, sentence_pooling=pooling)
    encoded = encoder(tf.constant([[3, 4, 5, 0, 0], [0, 0, 0, 0, 0]]))
    words = encoded["word_features"].numpy()[0, :3].astype("float64")
    expected = words.mean(axis=0) if pooling == "mean" else words.max(axis=0)
    np.testing.assert_allclose(encoded["sentence_features"][0], expected, atol=1e-6)
    np.testing.assert_array_equal(encoded["sentence_features"][1], np.zeros(6))
    shorter = encoder(tf.constant([[3, 4, 5]]))
    np.testing.assert_allclose(encoded["sentence_features"][0], shorter["sentence_features"][0], atol=1e-6)
    restored = TextEncoder.from_config(encoder.get_config())
    assert restored.sentence_pooling == pooling


@pytest.mark.parametrize("pooling", ["last", "max"])
def test_a_word_by_itself_has_the_same_feature_in_every_text_and_sentences_do_not_depend_on_it(pooling):
    keras.utils.set_random_seed(0)
    encoder = TextEncoder(12, 6, 5, sentence_pooling=pooling, word_features="embedding")
    encoded = encoder(tf.constant([[3, 4, 5, 0], [6, 3, 7, 8]]))
    words = encoded["word_features"].numpy()
    np.testing.assert_array_equal(words[0, 0], words[1, 1])
    assert np.abs(words[0, 0] - words[0, 1]).max() > 1e-4
    assert not words[0, 3].any()
    kernel, bias = encoder.word_projection.get_weights()
    rows = encoder.embedding.get_weights()[0]
    np.testing.assert_allclose(words[1], rows[[6, 3, 7, 8]] @ kernel + bias, atol=1e-6)
    published = TextEncoder(12, 6, 5, sentence_pooling=pooling)
    published.build((None, None))
    published.set_weights([*encoder.get_weights()[: len(published.get_weights())]])
    expected = published(tf.constant([[3, 4, 5, 0], [6, 3, 7, 8]]))["sentence_features"]
    np.testing.assert_allclose(encoded["sentence_features"], expected, atol=1e-6)
    restored = TextEncoder.from_config(encoder.get_config())
    assert restored.word_features == "embedding"


def test_text_encoder_contract():
    # jit of the masked LSTM loop needs a known length of text, which callers have
    for words in ("lstm", "embedding"):
        check_layer(
            lambda words=words, **options: TextEncoder(12, 6, 5, 0.5, 0.3, 2, word_features=words, **options),
            (tf.constant(IDS),),
            jit=False,
        )


def test_padding_never_enters_the_lstm():
    encoder = TextEncoder(12, 6, 5)
    short = encoder(tf.constant(IDS))
    padded = encoder(tf.constant(np.pad(IDS, ((0, 0), (0, 5)))))
    np.testing.assert_allclose(short["sentence_features"], padded["sentence_features"], atol=1e-6)
    np.testing.assert_allclose(short["word_features"], padded["word_features"][:, :4], atol=1e-6)
    assert not padded["word_features"].numpy()[~padded["word_mask"].numpy()].any()


def test_text_without_words_is_finite():
    encoded = TextEncoder(12, 6, 5)(tf.zeros((2, 4), tf.int32))
    assert not encoded["sentence_features"].numpy().any()


def test_sentence_is_the_last_state_of_each_direction():
    encoded = TextEncoder(12, 6, 5)(tf.constant(IDS))
    words, sentence = encoded["word_features"].numpy(), encoded["sentence_features"].numpy()
    for row, length in enumerate((4, 1, 2)):
        np.testing.assert_allclose(sentence[row, :3], words[row, length - 1, :3], atol=1e-6)
        np.testing.assert_allclose(sentence[row, 3:], words[row, 0, 3:], atol=1e-6)


def test_word_dropout_draws_out_of_vocabulary_ids_only_in_training():
    encoder = TextEncoder(50, 4, 4, dropout=0.0, word_dropout=0.9, oov_buckets=2)
    ids = tf.constant(np.full((8, 16), 30, "int32"))
    plain, trained = encoder(ids)["word_features"], encoder(ids, training=True)["word_features"]
    np.testing.assert_array_equal(plain, encoder(ids)["word_features"])
    assert np.abs(plain - trained).max() > 0


def test_small_cnn_contract():
    images = tf.random.stateless_uniform((3, 32, 32, 3), (0, 1), -1, 1)
    check_layer(lambda **options: ImageEncoder(6, "small_cnn", 32, **options), (images,))


def test_heads_contract_over_frozen_features():
    heads = lambda **options: ImageEncoder(  # noqa: E731
        6, image_size=75, region_layer="mixed7", global_layer="mixed8", region_grid=2, include_backbone=False, **options
    )
    features = {
        "regions": tf.random.stateless_uniform((2, 4, 768), (0, 1)),
        "global": tf.random.stateless_uniform((2, 1280), (0, 2)),
    }
    check_layer(heads, (features,))
    with pytest.raises(WeightsError, match="heads alone"):
        heads()(tf.zeros((1, 75, 75, 3)))


@pytest.mark.parametrize("pooling", ["max", "gpo"])
def test_a_dropped_region_is_absent_from_the_pooling_and_zero_for_the_words(pooling):
    keras.utils.set_random_seed(0)
    encoder = ImageEncoder(
        6, image_size=75, region_grid=2, region_dropout=0.4, global_pooling=pooling, include_backbone=False
    )
    encoder.build(None)
    encoder.region_standardizer.mean.assign(np.ones(768))  # standardised, they are below 0
    features = {"regions": tf.fill((8, 4, 768), 3.0), "global": tf.zeros((8, encoder.global_channels))}
    whole, dropped = encoder(features), encoder(features, training=True)
    zero = ~np.any(dropped["region_features"], axis=-1)
    some = zero.any(axis=1) & ~zero.all(axis=1)
    assert some.sum() >= 4
    # All regions are alike, so any pooling of those that are there gives the same.
    np.testing.assert_allclose(dropped["image_features"][some], whole["image_features"].numpy()[some], atol=1e-4)


def test_standardizer_centres_and_scales_the_training_features():
    raw = np.random.default_rng(0).gamma(2.0, size=(40, 9, 5)).astype("float32")
    layer = FeatureStandardizer()
    layer.adapt([raw[:25], raw[25:]])
    standard = layer(raw).numpy()
    np.testing.assert_allclose(standard.mean(axis=(0, 1)), 0, atol=1e-5)
    assert np.sqrt(np.mean(np.square(standard))) == pytest.approx(1, abs=1e-3)


def test_standardizer_brings_each_layer_to_the_scale_it_has_alone():
    random = np.random.default_rng(1)
    small, large = random.gamma(2.0, size=(40, 3)), random.gamma(2.0, size=(40, 5)) * 100
    both, alone = FeatureStandardizer(widths=(3, 5)), (FeatureStandardizer(), FeatureStandardizer())
    both.adapt([np.concatenate([small, large], axis=1)])
    for layer, features in zip(alone, (small, large), strict=True):
        layer.adapt([features])
    expected = [layer(features) for layer, features in zip(alone, (small, large), strict=True)]
    found = both(np.concatenate([small, large], axis=1))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)
    again = FeatureStandardizer.from_config(both.get_config())
    again.build((None, 8))
    again.set_weights(both.get_weights())
    np.testing.assert_array_equal(again(np.concatenate([small, large], axis=1)), found)


def test_discriminator_contract_and_blindness_to_length():
    features = tf.random.stateless_normal((4, 6), (0, 1))
    check_layer(lambda **options: ModalityDiscriminator(8, 0.2, **options), (features,))
    discriminator = ModalityDiscriminator(8)
    np.testing.assert_allclose(discriminator(features), discriminator(7 * features), atol=1e-5)


def test_an_image_and_its_mirror_image_are_alike_when_averaged():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    backbone = Backbone("inception_v3", 75, "mixed7", "mixed8", flip_averaging=True)
    straight, mirrored = backbone(images), backbone(images[:, :, ::-1])
    side = backbone.grid
    turned = mirrored["regions"].numpy().reshape(2, side, side, -1)[:, :, ::-1].reshape(2, side**2, -1)
    np.testing.assert_allclose(turned, straight["regions"], atol=1e-5)
    np.testing.assert_allclose(mirrored["global"], straight["global"], atol=1e-5)
    np.testing.assert_array_equal(backbone(images, training=True)["global"], backbone.encode(images)["global"])
    assert not np.allclose(backbone.encode(images)["global"], straight["global"], atol=1e-4)
    assert Backbone.from_config(backbone.get_config()).flip_averaging


def test_frozen_statistics_do_not_move():
    backbone = Backbone("inception_v3", 75, "mixed7", "mixed8")
    before = [weight.copy() for weight in backbone.get_weights()]
    backbone(np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32"), training=True)
    assert len(before) > 300
    assert all((old == new).all() for old, new in zip(before, backbone.get_weights(), strict=True))
    assert not backbone.trainable_variables


@pytest.mark.parametrize(("region_layer", "side", "first", "stride"), [("mixed7", 17, 21, 16), ("mixed8", 8, 37, 32)])
def test_region_centres_are_the_cells_own(region_layer, side, first, stride):
    centres = Backbone("inception_v3", 299, region_layer, "mixed8").region_centres()
    assert centres.shape == (side**2, 2)
    np.testing.assert_allclose(centres[:side, 0] * 299 - 0.5, first + stride * np.arange(side), atol=1e-3)
    np.testing.assert_allclose(centres[::side, 1] * 299 - 0.5, first + stride * np.arange(side), atol=1e-3)


def test_pooled_regions_average_the_map_and_their_centres():
    whole, pooled = (Backbone("small_cnn", 64, region_grid=grid) for grid in (0, 4))
    pooled.network.set_weights(whole.network.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    fine = whole(images)["regions"].numpy().reshape(2, 4, 2, 4, 2, -1)
    np.testing.assert_allclose(pooled(images)["regions"], fine.mean(axis=(2, 4)).reshape(2, 16, -1), atol=1e-5)
    np.testing.assert_allclose(
        pooled.region_centres(),
        whole.region_centres().reshape(4, 2, 4, 2, 2).mean(axis=(1, 3)).reshape(16, 2),
        atol=1e-6,
    )


def test_a_small_cnn_cell_sees_around_its_centre():
    backbone = Backbone("small_cnn", 96)
    image = tf.Variable(np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype("float32"))
    cell = 5 * 12 + 7
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tf.square(backbone(image)["regions"][0, cell]))
    seen = np.abs(tape.gradient(value, image).numpy()).sum(axis=(0, 3)) > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    middle = np.array([columns[0] + columns[-1] + 1, rows[0] + rows[-1] + 1]) / 2 / 96
    np.testing.assert_allclose(middle, backbone.region_centres()[cell], atol=1e-6)


def test_fine_tuning_begins_at_the_block_that_is_named():
    frozen, tuned = (
        Backbone("inception_v3", 75, "mixed7", "mixed8", fine_tune_from=block) for block in ("none", "mixed8")
    )
    assert frozen.trainable_variables == []
    assert [frozen.frozen, tuned.frozen] == [True, False]
    assert len(tuned.trainable_variables) == 6  # the convolutions of block mixed8; batch normalisation stays
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    np.testing.assert_array_equal(tuned(images, training=True)["global"], tuned(images)["global"])
    again = Backbone.from_config(tuned.get_config())
    assert len(again.trainable_variables) == 6


def test_backbone_features_are_those_of_keras_applications(tmp_path):
    options = {"include_top": False, "weights": None, "input_shape": (139, 139, 3)}
    reference = keras.applications.InceptionV3(**options)
    reference.save_weights(tmp_path / "random.weights.h5")
    backbone = Backbone("inception_v3", 139, "mixed7", "mixed8")
    backbone.load_pretrained(str(tmp_path / "random.weights.h5"))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 139, 139, 3)).astype("float32")
    maps = keras.Model(reference.input, [reference.get_layer(name).output for name in ("mixed7", "mixed8")])
    regions, whole = maps(images, training=False)
    features = backbone(images)
    np.testing.assert_allclose(features["regions"], np.reshape(regions, (2, -1, 768)), atol=1e-5)
    np.testing.assert_allclose(features["global"], np.mean(whole, axis=(1, 2)), atol=1e-5)


def test_weights_that_are_missing_or_of_another_kind_are_named(tmp_path, monkeypatch):
    backbone = Backbone("inception_v3", 75, "mixed7", "mixed8")
    with pytest.raises(WeightsError, match=r"no file .*absent\.h5.*--set image\.weights=FILE.*--weights FILE"):
        backbone.load_pretrained(str(tmp_path / "absent.h5"))
    with pytest.raises(WeightsError, match="is a folder, not a copy of inception_v3"):
        backbone.load_pretrained(str(tmp_path))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = []
    with pytest.raises(WeightsError, match=r"other\.h5 does not hold Inception-v3"):
        backbone.load_pretrained(str(tmp_path / "other.h5"))
    (tmp_path / "text.h5").write_text("not a weights file")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "text.h5"))
    with pytest.raises(WeightsError, match=r"text\.h5 does not hold"):
        backbone.load_pretrained("imagenet")


def test_a_failed_download_names_the_file_and_the_option(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr("keras.utils.get_file", refuse)
    with pytest.raises(
        WeightsError, match=r"no network.*kernels_notop\.h5.*image\.weights=FILE.*DAFSN_INCEPTION_WEIGHTS"
    ):
        Backbone("inception_v3", 75, "mixed7", "mixed8").load_pretrained("imagenet")


@pytest.mark.data
def test_weights_file_loads_alike_whichever_layers_are_used(shared_data):
    path = str(shared_data / "inception_v3" / "inception_v3_notop_float16.h5")
    alike = [Backbone("inception_v3", 299, region, "mixed8") for region in ("mixed7", "mixed8")]
    for backbone in alike:
        backbone.load_pretrained(path)
    assert alike[0].fingerprint() == alike[1].fingerprint()
    assert alike[0].fingerprint() != Backbone("inception_v3", 299, "mixed7", "mixed8").fingerprint()


def test_gradients_of_standardised_features_are_finite_where_features_are_0():
    layer = FeatureStandardizer()
    layer.build((None, 3))
    features = tf.Variable([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [1e-12, 1.0, 2.0]])
    with tf.GradientTape() as tape:
        standardised = layer(features)
        value = tf.reduce_sum(standardised[:, 1])
    gradient = tape.gradient(value, features).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[0].any()
    np.testing.assert_allclose(standardised[2], [0, 1 / 3**0.5, (2 / 3) ** 0.5], atol=1e-4)
    step = 1e-3  # the third image's second feature, by differences
    shifted = layer(tf.tensor_scatter_nd_add(features, [[2, 1]], [step]))
    assert gradient[2, 1] == pytest.approx(float(shifted[2, 1] - standardised[2, 1]) / step, rel=1e-2)
