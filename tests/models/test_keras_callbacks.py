"""`model.fit` with Keras' own callbacks, as any Keras model has it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_dafsn import batch, tiny_model

from dafsn_tf.config import Config
from dafsn_tf.models import DAFSN


def batches():
    return tf.data.Dataset.from_tensor_slices(batch(12)).batch(6)


def everything(model):
    return [*model.variables, *model.optimizer.variables, *model.discriminator_optimizer.variables]


def test_checkpoint_early_stopping_plateau_tables_and_tensorboard(tmp_path):
    model = tiny_model()
    history = model.fit(
        batches(),
        epochs=5,
        validation_data=batches(),
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=1e9),
            keras.callbacks.EarlyStopping(patience=2, min_delta=1e9, restore_best_weights=True),
            keras.callbacks.CSVLogger(str(tmp_path / "table.csv")),
            keras.callbacks.TensorBoard(str(tmp_path / "tensorboard")),
        ],
    ).history
    assert len(history["val_loss"]) == 3  # nothing is better than the first epoch by 1e9
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.005])
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 3
    assert any((tmp_path / "tensorboard" / "validation").iterdir())
    first = keras.models.load_model(tmp_path / "1.keras")
    for ours, theirs in zip(model.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_backup_and_restore_equals_not_having_stopped(tmp_path):
    def fit(*callbacks):
        model = tiny_model()
        model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), run_eagerly=True)
        model.fit(batches(), epochs=3, verbose=0, callbacks=list(callbacks))
        return model

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    straight = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(keras.callbacks.BackupAndRestore(tmp_path), keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    resumed = fit(keras.callbacks.BackupAndRestore(tmp_path))
    for ours, theirs in zip(everything(straight), everything(resumed), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


def test_fit_leaves_a_frozen_backbone_as_it_was():
    config = {"image": {"image_size": 75, "region_layer": "mixed7", "global_layer": "mixed8"}, "model": {"dim": 8}}
    model = DAFSN(Config.from_dict(config), vocabulary_size=20)
    model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2), run_eagerly=True)
    backbone = model.image_encoder.backbone
    before = [weight.copy() for weight in backbone.get_weights()]
    projection = model.image_encoder.region_projection.get_weights()[0].copy()
    data = {**batch(2, classes=0), "images": tf.random.stateless_uniform((2, 75, 75, 3), (0, 1), -1, 1)}
    model.fit(tf.data.Dataset.from_tensors(data), verbose=0)
    assert len(before) > 300  # 94 layers of batch normalisation among them
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (projection != model.image_encoder.region_projection.get_weights()[0]).any()
