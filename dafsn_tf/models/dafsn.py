"""DAFSN: the attentional fine-grained similarity network against the modal discriminative network."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from keras import ops

from dafsn_tf.config import Config
from dafsn_tf.layers import (
    CanonicalProjections,
    ImageEncoder,
    ModalityDiscriminator,
    QuerybankNormalization,
    TextEncoder,
    WordRegionAttention,
    unit_vectors,
)
from dafsn_tf.layers.querybank import COLUMNS
from dafsn_tf.losses import (
    adversarial_loss,
    discriminator_loss,
    hinge_loss,
    label_loss,
    matching_loss,
    reversal_ramp,
)
from dafsn_tf.models.game import GRADIENTS, SEEN, gradient_norms, shown_vectors

LARGEST_LOG_GAMMA3 = math.log(100.0)  # CLIP's limit (Radford et al., ICML 2021)
LOSSES = (
    "loss",
    "word_loss",
    "sentence_loss",
    "fused_loss",
    "label_loss",
    "adversarial_loss",
    "discriminator_loss",
)


@keras.saving.register_keras_serializable("dafsn")
class DAFSN(keras.Model):
    """Deep Attentional Fine-grained Similarity Network with adversarial training (DESIGN section 2).

    Args:
        config: sizes, losses and the game between the players.
        vocabulary_size: word ids in all, padding and out-of-vocabulary ids included.
        num_classes: classes of the label classifier; 0 for a collection without labels.
        include_backbone: whether a frozen backbone is part of the model, so that it reads pixels. A backbone that is
            trained always is.

    A batch of B pairs is a dictionary: `word_ids` (B, T), and either `images` (B, H, W, 3) in [-1, 1] or the frozen
    backbone's `regions` (B, R, C) and `global` (B, C'); for training also `labels` (B, C) multi-hot and `image_index`
    (B,), which tells texts of one image.

    Weights are random until they are trained or loaded, as those of any Keras model, a backbone's too. `dafsn_tf.train`
    also has standardizers adapt to the training images' features, word embeddings begin with known vectors, and the
    best epoch chosen and completed; `load_run(RUN).model` and `DAFSN.from_preset` give models trained so.

    Example:
        ```python
        model = DAFSN(load_config("default"), vocabulary_size=5000, num_classes=20)
        model.build()
        model.image_encoder.backbone.load_pretrained("imagenet")
        model.compile()
        model.fit(batches, epochs=30)
        sentences = model.encode_texts(word_ids)["sentence_features"]
        ```
    """

    def __init__(
        self,
        config: Config | dict[str, Any],
        vocabulary_size: int,
        num_classes: int = 0,
        include_backbone: bool = True,
        **kwargs: Any,
    ) -> None:
        config = config if isinstance(config, Config) else Config.from_dict(config)
        kwargs.setdefault("dtype", config.training.mixed_precision)
        super().__init__(**kwargs)
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.num_classes = num_classes
        self.include_backbone = include_backbone or config.image.trains_backbone
        text, image, model, policy = config.text, config.image, config.model, self.dtype_policy
        self.text_encoder = TextEncoder(
            vocabulary_size,
            model.dim,
            text.embedding_dim,
            text.dropout,
            text.word_dropout,
            text.oov_buckets,
            text.sentence_pooling,
            text.word_features,
            dtype=policy,
        )
        self.image_encoder = ImageEncoder(
            model.dim,
            image.backbone,
            image.image_size,
            image.region_layer,
            image.global_layer,
            image.region_grid,
            image.dropout,
            image.region_dropout,
            image.global_pooling,
            image.flip_averaging,
            image.fine_tune_from,
            self.include_backbone,
            dtype=policy,
        )
        self.attention = WordRegionAttention(
            model.gamma1,
            model.gamma2,
            model.word_pooling,
            direction=model.attention,
            similarity=model.similarity,
            dtype=policy,
        )
        self.classifier: Any = keras.layers.Dense(num_classes, dtype=policy) if num_classes else None
        self.discriminator = ModalityDiscriminator(
            config.discriminator.hidden_dim, config.discriminator.dropout, dtype=policy
        )
        self.canonical: Any = None
        if model.canonical_dim and not image.trains_backbone:
            self.canonical = CanonicalProjections(
                vocabulary_size, model.canonical_dim, self.image_encoder.global_channels
            )
        self.querybank: Any = None
        if model.querybank_size:
            width = model.dim + (self.canonical.dim if self.canonical is not None else 0)
            self.querybank = QuerybankNormalization(model.querybank_size, width)
        self.log_gamma3: Any = None
        self.assets: Any = None  # `models.presets.Assets`, where the model comes from a run or a preset
        self.backbone_optimizer: Any = None  # of a backbone that is fine-tuned
        self.discriminator_steps = config.discriminator.steps
        self.total_steps = 1
        names = (*LOSSES, "discriminator_accuracy", *GRADIENTS)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}

    # Encoding

    def encode_texts(self, word_ids: Any, training: bool = False) -> dict[str, Any]:
        """Return `word_features` (N, T, D), `word_mask` (N, T) and `sentence_features` (N, D) of word ids (N, T).

        Outside training canonical directions and a querybank, which learn nothing there, make the latter wider: see
        `feature_dim`.
        """
        features = self.text_encoder(word_ids, training=training)
        if self.canonical is not None and not training:
            projections = self.canonical.texts(word_ids)
            features["sentence_features"] = self.canonical.join(features["sentence_features"], projections)
        if self.querybank is not None and not training:
            features["sentence_features"] = self.querybank.texts(features["sentence_features"])
        return features

    @property
    def words_know_their_text(self) -> bool:
        """Whether a word's features depend on the text around it; where not, `embed_words` gives them."""
        return self.text_encoder.words_know_their_text

    def embed_words(self, word_ids: Any) -> Any:
        """Return `word_features` (N, T, D) of word ids (N, T), of a model whose words do not know their text."""
        return self.text_encoder.embed_words(word_ids)

    def encode_images(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return `region_features` (B, R, D) and `image_features` (B, D) of pixels, or of backbone features.

        Outside training canonical directions and a querybank, which learn nothing there, make the latter wider: see
        `feature_dim`.
        """
        features = self.image_encoder(images, training=training)
        vectors = features.pop("global_vectors")
        if self.canonical is not None and not training:
            projections = self.canonical.images(vectors)
            features["image_features"] = self.canonical.join(features["image_features"], projections)
        if self.querybank is not None and not training:
            features["image_features"] = self.querybank.images(features["image_features"])
        return features

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return the features of both modalities, and class logits where the collection has labels."""
        images = batch["images"] if "images" in batch else {key: batch[key] for key in ("regions", "global")}
        features = {
            **self.encode_texts(batch["word_ids"], training=training),
            **self.encode_images(images, training=training),
        }
        if self.classifier is not None:
            for modality, name in (("text", "sentence_features"), ("image", "image_features")):
                features[f"{modality}_logits"] = self.class_logits(features[name])
        return features

    def class_logits(self, features: Any) -> Any:
        """Return class logits (N, C) of sentence or image features (N, D), which are compared at unit length.

        Of wider features the first D, which the encoders learned, are read.
        """
        return self.config.loss.gamma3 * self.classifier(unit_vectors(features[..., : self.config.model.dim]))

    @property
    def feature_dim(self) -> int:
        """F, width of sentence and image features outside training: D, L more with L canonical directions, and 4 more
        with a querybank."""
        if self.querybank is not None:
            return self.querybank.dim + COLUMNS
        return self.config.model.dim + (self.canonical.dim if self.canonical is not None else 0)

    def build(self, input_shape: Any = None) -> None:
        """Create every variable; sizes follow from the configuration."""
        del input_shape
        dim = self.config.model.dim
        if self.config.loss.learned_gamma3:
            start = keras.initializers.Constant(math.log(self.config.loss.gamma3))
            self.log_gamma3 = self.add_weight(shape=(), initializer=start, dtype="float32", name="log_gamma3")
        self.text_encoder.build((None, None))
        self.image_encoder.build(None)
        self.discriminator.build((None, dim))
        if self.classifier is not None:
            self.classifier.build((None, dim))
        if self.canonical is not None:
            self.canonical.build()
        if self.querybank is not None:
            self.querybank.build()
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create every variable; Keras Tuner asks for it before it loads weights."""
        del config
        if not self.built:
            self.build()

    # Training

    def compile(
        self,
        optimizer: Any = "adam",
        discriminator_optimizer: Any = "adam",
        discriminator_steps: int | None = None,
        total_steps: int = 1,
        backbone_optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set the optimizers of the two players, and of the backbone where it is fine-tuned.

        Args:
            optimizer: of the encoders and the label classifier.
            discriminator_optimizer: of the modality discriminator.
            discriminator_steps: k, discriminator steps for each step of the encoders; the configuration's by default.
            total_steps: length of training in steps, over which gradient reversal is ramped up; 1 reverses in full at
                once.
            backbone_optimizer: of the blocks of a pre-trained backbone that learn too, "adam" by default.
            **kwargs: as in `keras.Model.compile`.

        Weight decay of `optimizer` spares word embeddings and the learned temperature, unless it was built before.
        """
        super().compile(optimizer=optimizer, **kwargs)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.discriminator_steps = discriminator_steps or self.config.discriminator.steps
        self.total_steps = total_steps
        if not self.built:
            self.build()
        self._spare_from_weight_decay()
        self.optimizer.build(self.encoder_variables)
        self.backbone_optimizer = None
        if self.backbone_variables:
            self.backbone_optimizer = keras.optimizers.get(backbone_optimizer or "adam")
            self.backbone_optimizer.build(self.backbone_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        if self.optimizer.use_ema:
            finalize = self.optimizer.finalize_variable_values  # `fit` ends by handing it the discriminator's too
            self.optimizer.finalize_variable_values = lambda variables: finalize(self.encoder_variables)

    def _spare_from_weight_decay(self) -> None:
        """Exclude what is not to shrink; here, since a stored optimizer has forgotten what was excluded from it.

        0 is no place to shrink a sharpness to, and a word's vector would shrink in every step that its word is not in.
        """
        spared = [self.text_encoder.embedding.embeddings, self.log_gamma3]
        if not self.optimizer.built:
            self.optimizer.exclude_from_weight_decay(var_list=[each for each in spared if each is not None])

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within, everything but the discriminator has the moving averages of its weights, if the optimizer keeps such.

        They are those of `keras.optimizers.Optimizer(use_ema=True)` (Polyak and Juditsky, SIAM J. Control Optim. 1992,
        with exponential weights). Afterwards the weights are what they were, bit for bit. Statistics of batch
        normalisation are not averaged.
        """
        if self.optimizer is None or not self.optimizer.use_ema:
            yield
            return
        variables = [*self.encoder_variables, *self.backbone_variables]
        kept = [variable.numpy() for variable in variables]
        self.optimizer.finalize_variable_values(self.encoder_variables)
        if self.backbone_optimizer is not None and self.backbone_optimizer.use_ema:
            self.backbone_optimizer.finalize_variable_values(self.backbone_variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, kept, strict=True):
                variable.assign(value)

    @property
    def encoder_variables(self) -> list[Any]:
        """Trainable variables of everything but the discriminator and a pre-trained backbone."""
        own = {id(variable) for variable in (*self.discriminator.trainable_variables, *self.backbone_variables)}
        return [variable for variable in self.trainable_variables if id(variable) not in own]

    @property
    def backbone_variables(self) -> list[Any]:
        """Trainable variables of a pre-trained backbone: those of the blocks that are fine-tuned."""
        backbone = self.image_encoder.backbone
        return backbone.trainable_variables if backbone is not None and backbone.pretrained else []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Play one round of the two players.

        The discriminator learns to tell the modalities apart, k times; then the encoders learn to match pairs and to
        leave it no clue. Beside the losses, `adversarial_gradient` is the norm of the gradient of
        adversarial_weight L_adv with respect to the batch's features that the discriminator sees (sentence and image
        features, by default), and `retrieval_gradient` that of all other terms: their ratio is the adversary's share in
        what moves these features.
        """
        import tensorflow as tf

        with tf.GradientTape(persistent=True) as tape:
            features = self(batch, training=True)
            played = [self._discriminator_step(features) for _ in range(self.discriminator_steps)]
            losses = self.alignment_losses(features, batch)
            adversarial = self.config.loss.adversarial_weight * losses["adversarial_loss"]
        variables, tuned = self.encoder_variables, self.backbone_variables
        seen = [features[name] for name in SEEN[self.config.discriminator.inputs]]
        moved = [*variables, *tuned, *seen]
        gradients = tape.gradient(losses["loss"], moved)
        gradients = [  # a term of no weight is not computed, and leaves its own layers without a gradient
            ops.zeros_like(tensor) if gradient is None else gradient
            for gradient, tensor in zip(gradients, moved, strict=True)
        ]
        self.optimizer.apply(gradients[: len(variables)], variables)
        if self.backbone_optimizer is not None:
            self.backbone_optimizer.apply(gradients[len(variables) : -len(seen)], tuned)
        norms = gradient_norms(tape.gradient(adversarial, seen), gradients[-len(seen) :])
        loss, logits = played[-1]
        return self._track({**losses, **norms, "discriminator_loss": loss}, logits)

    def _discriminator_step(self, features: dict[str, Any]) -> tuple[Any, Any]:
        """Move the discriminator alone; return its loss and what `_modality_logits` gave it."""
        import tensorflow as tf

        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._modality_logits(features, stop_gradient=True)
            loss = discriminator_loss(*logits)
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, logits

    def test_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the losses of a batch without learning from it."""
        features = self(batch, training=False)
        logits = self._modality_logits(features, stop_gradient=True, training=False)
        losses = self.alignment_losses(features, batch, training=False)
        return self._track({**losses, "discriminator_loss": discriminator_loss(*logits)}, logits)

    def alignment_losses(
        self, features: dict[str, Any], batch: dict[str, Any], training: bool = True
    ) -> dict[str, Any]:
        """Return the aligned representation's loss and its named terms, before weighting; words of no weight have 0.

        L = word_weight (L1w + L2w) + sentence_weight (L1s + L2s) + fused_weight (L1f + L2f) + label_weight L_label
        + adversarial_weight L_adv; f is the sum of both scores.
        """
        loss, labels = self.config.loss, batch["labels"]
        index = batch["image_index"]
        same_item = ops.equal(index[:, None], index[None, :])
        same_class = ops.matmul(labels, ops.transpose(labels)) > 0
        sentence_scores = cosine_scores(features["sentence_features"], features["image_features"])
        terms = {
            "word_loss": ops.convert_to_tensor(0.0),
            "sentence_loss": self._matching(sentence_scores, same_item, same_class, loss.sentence_positives),
            "fused_loss": ops.convert_to_tensor(0.0),
            "label_loss": ops.convert_to_tensor(0.0),
            "adversarial_loss": ops.convert_to_tensor(0.0),
        }
        if loss.learns_words:  # most of a step's work
            word_scores = self.attention(features["word_features"], features["word_mask"], features["region_features"])
            terms["word_loss"] = self._matching(word_scores, same_item, same_class, loss.word_positives)
            if loss.fused_weight:
                fused_scores = sentence_scores + word_scores
                terms["fused_loss"] = self._matching(fused_scores, same_item, same_class, loss.sentence_positives)
        if self.classifier is not None:
            terms["label_loss"] = label_loss(features["text_logits"], labels) + label_loss(
                features["image_logits"], labels
            )
        if loss.has_adversary:
            logits = self._modality_logits(features, stop_gradient=False, training=training)
            terms["adversarial_loss"] = adversarial_loss(*logits, loss.adversarial_kind, self._ramp())
        weights = {
            "word_loss": loss.word_weight,
            "sentence_loss": loss.sentence_weight,
            "fused_loss": loss.fused_weight,
            "label_loss": loss.label_weight,
            "adversarial_loss": loss.adversarial_weight,
        }
        return {**terms, "loss": sum(weights[name] * term for name, term in terms.items())}

    def _matching(self, scores: Any, same_item: Any, same_class: Any, positives: str) -> Any:
        loss = self.config.loss
        if loss.matching == "hardest_negative":
            warm = True if self.optimizer is None else self.optimizer.iterations >= loss.hinge_warmup_steps
            return hinge_loss(scores, same_item, same_class, loss.margin, positives, warm)
        gamma3 = loss.gamma3 if self.log_gamma3 is None else ops.exp(ops.minimum(self.log_gamma3, LARGEST_LOG_GAMMA3))
        return matching_loss(scores, same_item, same_class, gamma3, positives)

    def _modality_logits(
        self, features: dict[str, Any], stop_gradient: bool, training: bool = True
    ) -> tuple[Any, Any, Any]:
        """Return the discriminator's logits of the image and the text vectors that it is shown, and their weights."""
        dim = self.config.model.dim  # what the encoders learned; what is fitted afterwards is no player's
        learned = {name: features[name][..., :dim] for name in ("sentence_features", "image_features")}
        *shown, weights = shown_vectors({**features, **learned}, self.config.discriminator.inputs, self.attention)
        if stop_gradient:
            shown = [ops.stop_gradient(vectors) for vectors in shown]
        image_logits, text_logits = (self.discriminator(vectors, training=training) for vectors in shown)
        return image_logits, text_logits, weights

    def _ramp(self) -> Any:
        return reversal_ramp(ops.cast(self.optimizer.iterations, "float32") / self.total_steps)

    def _track(self, losses: dict[str, Any], logits: tuple[Any, Any, Any]) -> dict[str, Any]:
        image_logits, text_logits, weights = logits
        right = 0.5 * (ops.cast(image_logits > 0, "float32") + ops.cast(text_logits <= 0, "float32"))
        losses["discriminator_accuracy"] = ops.mean(right) if weights is None else ops.sum(weights * right)
        trackers = {name: tracker for name, tracker in self.trackers.items() if name in losses}
        for name, tracker in trackers.items():
            tracker.update_state(losses[name])
        return {name: tracker.result() for name, tracker in trackers.items()}

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    # Saving

    def heads(self) -> dict[str, Any]:
        """Return every layer with weights by name, but for a frozen backbone."""
        encoder = self.image_encoder
        layers = {
            "text_encoder": self.text_encoder,
            **{
                name: getattr(encoder, name)
                for name in ("region_standardizer", "global_standardizer", "region_projection", "global_projection")
            },
            "image_pooling": encoder.pooling,
            "backbone": encoder.backbone if encoder.backbone is not None and not encoder.backbone.frozen else None,
            "classifier": self.classifier,
            "discriminator": self.discriminator,
            "canonical": self.canonical,
            "querybank": self.querybank,
        }
        return {name: layer for name, layer in layers.items() if layer is not None}

    def save_to_preset(self, folder: str | Path, terms: str = "") -> Path:
        """Write the model to a folder that `from_preset` reads; see `models.presets.save_preset`."""
        from dafsn_tf.models.presets import save_preset

        return save_preset(self, folder, terms)

    @classmethod
    def from_preset(cls, folder_or_name: str | Path, weights: str | None = None) -> "DAFSN":
        """Return a model that somebody saved, ready for pixels and word ids.

        Args:
            folder_or_name: a folder that `save_to_preset` wrote, or the name of a model that the package ships.
            weights: of the frozen backbone, as `image.weights` of a configuration; the stored configuration's where
                None.

        Raises:
            RunError: no such preset. WeightsError: the backbone's weights cannot be had, or are not those of training.
        """
        from dafsn_tf.models.presets import load_heads, preset_folder, with_backbone

        model = load_heads(preset_folder(folder_or_name))
        return with_backbone(model, weights or model.config.image.weights)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "config": self.config.to_dict(),
            "vocabulary_size": self.vocabulary_size,
            "num_classes": self.num_classes,
            "include_backbone": self.include_backbone,
        }

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        return {
            **super().get_compile_config(),
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "discriminator_optimizer": keras.saving.serialize_keras_object(self.discriminator_optimizer),
            "backbone_optimizer": keras.saving.serialize_keras_object(self.backbone_optimizer),
            "discriminator_steps": self.discriminator_steps,
            "total_steps": self.total_steps,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for number, generator in enumerate(_seed_generators(self)):
            store[f"seed_generator_{number}"] = generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        # Keras refuses entries that it did not write, so the seed generators' states are read aside.
        names = list(store.keys())
        super().load_own_variables({name: store[name] for name in names if not name.startswith("seed_generator_")})
        for number, generator in enumerate(_seed_generators(self)):
            if f"seed_generator_{number}" in names:
                generator.state.assign(store[f"seed_generator_{number}"])


def cosine_scores(sentence_features: Any, image_features: Any) -> Any:
    """Return cos (N, B) of sentence features (N, D) and image features (B, D), in float32."""
    return ops.matmul(unit_vectors(sentence_features), ops.transpose(unit_vectors(image_features)))


def _seed_generators(model: keras.Model) -> list[Any]:
    """Return the model's seed generators in the order of its layers; dropout continues only with their states."""
    generators = []
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for generator in layer._seed_generators:
            if all(generator is not known for known in generators):
                generators.append(generator)
    return generators
