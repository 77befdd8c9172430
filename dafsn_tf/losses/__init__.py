"""Pure functions of tensors, in `keras.ops`."""

from dafsn_tf.losses.adversarial import adversarial_loss, discriminator_loss, reversal_ramp
from dafsn_tf.losses.label import label_loss
from dafsn_tf.losses.matching import hinge_loss, matching_loss

__all__ = ["adversarial_loss", "discriminator_loss", "hinge_loss", "label_loss", "matching_loss", "reversal_ramp"]
