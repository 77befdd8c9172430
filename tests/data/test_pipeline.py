import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from dafsn_tf.data.decoding import DecodedImages, decoded_images, image_batches
from dafsn_tf.data.pipeline import (
    epoch_plan,
    learned_classes,
    training_batches,
    trim_padding,
)
from dafsn_tf.data.prepare import prepare
from dafsn_tf.data.records import RecordSplit, open_split
from dafsn_tf.errors import DataError
from dafsn_tf.preprocessing.text import TextPreprocessor


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    from dafsn_tf.data.sources import shapes

    folder = tmp_path_factory.mktemp("shapes") / "data"
    sizes = {"train": 11, "validation": 2, "test": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SIZES", sizes)
        patch.setattr(shapes.read, "__defaults__", (*shapes.read.__defaults__[:-1], sizes))
        prepare("shapes", None, folder)
    return open_split(folder, "train")


def batches_of(records, **options):
    texts = TextPreprocessor(["circle", "red", "star"], 32, 4)
    options = {"image_size": 32, "batch_size": 4, "seed": 3, "epochs": 2, **options}
    return [
        {name: value.numpy() for name, value in batch.items()} for batch in training_batches(records, texts, **options)
    ]


def test_plan_is_a_permutation_and_depends_on_seed_and_epoch_alone():
    lengths = [[4], [9, 8, 7], [3, 5], [1, 2, 3, 4, 5]]
    order, texts, variants = epoch_plan(lengths, 2, seed=1, epoch=2)
    assert sorted(order) == [0, 1, 2, 3]
    assert all(text < len(lengths[image]) for image, text in zip(order, texts, strict=True))
    assert not variants.any()
    for first, second in zip(epoch_plan(lengths, 2, 1, 2), (order, texts, variants), strict=True):
        np.testing.assert_array_equal(first, second)
    plans = {tuple(np.concatenate(epoch_plan(lengths, 2, seed, epoch))) for seed in range(3) for epoch in range(3)}
    assert len(plans) > 5


def test_texts_of_similar_length_share_a_batch():
    lengths = [[int(length)] for length in np.random.default_rng(0).integers(1, 1000, 67)]
    order, _, _ = epoch_plan(lengths, 8, seed=0, epoch=0)
    assert len(set(order.tolist())) == len(order) == 64
    batches = [[lengths[image][0] for image in order[start : start + 8]] for start in range(0, 64, 8)]
    spans = sorted((min(batch), max(batch)) for batch in batches)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert [(min(batch), max(batch)) for batch in batches] != spans


@pytest.mark.parametrize(("images", "batch_size"), [(20, 16), (31, 16), (255, 128), (90, 48), (64, 16)])
def test_each_image_is_shown_in_some_epochs_however_long_its_texts(images, batch_size):
    lengths = [[1 + image] for image in range(images)]
    times = np.zeros(images)
    for epoch in range(200):
        times[epoch_plan(lengths, batch_size, 0, epoch)[0]] += 1
    share = images // batch_size * batch_size / images
    deviation = np.sqrt(share * (1 - share) / 200)
    assert np.abs(times / 200 - share).max() <= 4.5 * deviation  # of up to 255 images, by chance less than 1 in 300


def test_an_epoch_shows_each_image_once_in_full_batches(records):
    batches = batches_of(records, epochs=3)
    assert len(batches) == 3 * (11 // 4)
    for epoch in range(3):
        seen = np.concatenate([batch["image_index"] for batch in batches[2 * epoch : 2 * epoch + 2]])
        assert len(set(seen.tolist())) == 8
    assert batches[0]["images"].shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(batches[0]["labels"], records.labels[batches[0]["image_index"]])


def test_classes_of_nearly_all_pictures_are_not_shown(records):
    few, all_but_one, most = (np.arange(11) < count for count in (3, 10, 9))  # of 11: 10 are .909, 9 are .818
    tagged = dataclasses.replace(records, labels=np.stack([few, np.ones(11), all_but_one, most], axis=1).astype("f4"))
    np.testing.assert_array_equal(learned_classes(tagged), [True, False, False, True])
    for batch in batches_of(tagged):
        expected = tagged.labels[batch["image_index"]] * [1, 0, 0, 1]
        np.testing.assert_array_equal(batch["labels"], expected)


def test_going_on_from_any_batch_shows_the_same(records):
    whole = batches_of(records, epochs=3)
    for first_epoch, skip in ((1, 0), (0, 3), (1, 1)):
        resumed = batches_of(records, epochs=3, first_epoch=first_epoch, skip=skip)
        expected = whole[2 * first_epoch + skip :]
        assert len(resumed) == len(expected)
        for ours, theirs in zip(resumed, expected, strict=True):
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])


def test_decoded_images_are_those_that_decoding_gives(records):
    inputs = decoded_images(records, 32)
    assert isinstance(inputs, DecodedImages)
    for ours, theirs in zip(batches_of(records, inputs=inputs), batches_of(records), strict=True):
        np.testing.assert_array_equal(ours["images"], theirs["images"])
    direct = np.concatenate(list(image_batches(records, np.array([5, 2, 9]), 32, 2)))
    np.testing.assert_array_equal(direct, inputs.images[[5, 2, 9]])


def test_flip_mirrors_some(records):
    plain, flipped = batches_of(records), batches_of(records, flip=True)
    mirrored = total = 0
    for ours, theirs in zip(flipped, plain, strict=True):
        reference = dict(zip(theirs["image_index"], theirs["images"], strict=True))
        for index, image in zip(ours["image_index"], ours["images"], strict=True):
            total += 1
            if not np.array_equal(image, reference[index]):
                np.testing.assert_array_equal(image, reference[index][:, ::-1])
                mirrored += 1
    assert 0 < mirrored < total


def test_padding_that_all_texts_share_is_trimmed():
    ids = np.array([[5, 6, 0, 0, 0], [7, 0, 0, 0, 0]], "int32")
    np.testing.assert_array_equal(trim_padding(ids), ids[:, :2])
    assert trim_padding(np.zeros((2, 5), "int32")).shape == (2, 1)


class _CutShort(RecordSplit):
    """A split whose picture 7 lost its last bytes, as an older version let it pass."""

    def read_images(self, indices):
        images = super().read_images(indices)
        return [image[:-20] if index == 7 else image for index, image in zip(indices, images, strict=True)]


@pytest.fixture
def cut_short(records):
    return _CutShort(**{field.name: getattr(records, field.name) for field in dataclasses.fields(records)})


def test_a_picture_that_cannot_be_decoded_is_named_and_never_black(cut_short):
    message = rf"Image '{cut_short.ids[7]}' of split 'train' cannot be decoded by TensorFlow\. Prepare the collection"
    batches = image_batches(cut_short, np.arange(11), 32, 4)
    assert np.abs(next(batches)).max() > 0
    with pytest.raises(DataError, match=message):
        next(batches)
    with pytest.raises(DataError, match=message):
        decoded_images(cut_short, 32)
    with pytest.raises(DataError, match=message):  # before the first step, not in the middle of an epoch
        training_batches(cut_short, TextPreprocessor(["red"], 32, 4), image_size=32, batch_size=4, seed=0, epochs=1)
