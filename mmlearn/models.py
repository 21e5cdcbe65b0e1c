"""`fuse` and `shared_space`: encoders become one model, with a head or without."""

import inspect
from collections.abc import Mapping, Sequence
from functools import wraps
from types import GeneratorType, MappingProxyType
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from mmlearn import checks, runtime
from mmlearn.fusion import ModalityDropout
from mmlearn.layers import Temperature, ZeroAbsent

if TYPE_CHECKING:
    from mmlearn.datasets import Split


@keras.saving.register_keras_serializable(package="mmlearn")
class MultimodalModel(keras.Model):
    """A functional `keras.Model` that takes a dict of modalities and checks it.

    Keras only warns of an extra key, and its errors do not name a modality. This class
    binds by name: a missing, extra or mis-shaped modality raises one error that names
    it, in `fit`, `evaluate`, `predict` and calls, also after saving and loading. So do,
    in what the first three are given, NaN, ids beyond the vocabulary, pixels of 0 to 1
    for an encoder made for 0 to 255, and classes for which the head has no column: in
    all arrays, in each batch of a generator, and in the first of a `tf.data.Dataset`, a
    `PyDataset` or a `DataLoader`. A loss that becomes NaN ends `fit` with an error that
    says in which epoch, unless a `TerminateOnNaN` is among the callbacks.
    `predict` gives float32 under mixed precision, too.
    Where the model has an input `presence`, what is present is bound by name, too:
    `{"image": x, "text": t, "presence": {"image": here, "text": there}}`, with flags of
    shape (B,), 1 = present. Make one with `fuse`, or from named inputs:
    `MultimodalModel([image, text], outputs)`; the columns of an input `presence` then
    follow the other inputs' order.
    """

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the model takes, in its order."""
        return modalities_of(self)

    @property
    def encoders(self) -> Mapping[str, keras.Model]:
        """Modality → the model within that reads it, where there is one."""
        # No dict: Keras would look into one for weights to save.
        return MappingProxyType(encoders_of(self))

    def inputs_from(
        self,
        samples: "Split | Mapping[str, np.ndarray]",
        only: Sequence[str] | None = None,
    ) -> dict:
        """Return what this model takes from samples; see `models.inputs_from`."""
        return inputs_from(self, samples, only)

    @property
    def input_spec(self):
        """`None`: the check in `call` replaces Keras's own."""
        return

    def call(self, inputs, training=None, mask=None):
        return super().call(in_order(self, inputs), training=training)

    def compute_output_spec(self, inputs, training=None, mask=None):
        return super().compute_output_spec(in_order(self, inputs))

    def compute_output_shape(self, input_shape):
        tensors = keras.tree.map_shape_structure(keras.KerasTensor, input_shape)
        shapes = [tensor.shape for tensor in in_order(self, tensors)]
        return super().compute_output_shape(shapes)

    # Checked before Keras sees the arrays, too: a backend may trace `call` with unknown
    # sizes, where a wrong one could not be noticed.
    @wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        given = inspect.signature(super().fit).bind(*args, **kwargs)
        named = given.arguments
        named["x"] = _seen(self, named.get("x"), named.get("y"))
        if (validation := named.get("validation_data")) is not None:
            # Keras would notice after the first epoch only.
            if isinstance(validation, list | tuple):
                _seen(self, *validation[:2])
            else:
                named["validation_data"] = _seen(self, validation)
        named["callbacks"] = self._watched(named.get("callbacks"), named["x"])
        if self.compiled and not self.optimizer.built:
            # Variables made while TensorFlow traces a step make it trace it twice.
            self.optimizer.build(self.trainable_variables)
        return super().fit(*given.args, **given.kwargs)

    def _watched(self, callbacks, x):
        """Callbacks, and one that stops where the loss is no number."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        callbacks = keras.tree.flatten(callbacks or [])
        if any(isinstance(c, keras.callbacks.TerminateOnNaN) for c in callbacks):
            return callbacks  # the user has said what to do then
        return [*callbacks, checks.Finite(x, encoders_of(self))]

    @wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        given = inspect.signature(super().evaluate).bind(*args, **kwargs)
        named = given.arguments
        named["x"] = _seen(self, named.get("x"), named.get("y"))
        return super().evaluate(*given.args, **given.kwargs)

    @wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        given = inspect.signature(super().predict).bind(*args, **kwargs)
        given.arguments["x"] = _seen(self, given.arguments["x"])
        found = super().predict(*given.args, **given.kwargs)
        return keras.tree.map_structure(runtime.full_precision, found)


def fuse(
    encoders: Sequence[keras.Model],
    fusion: keras.layers.Layer | None = None,
    head: int | keras.layers.Layer = 2,
    presence: bool = False,
    modality_dropout: float = 0.0,
    name: str | None = None,
) -> MultimodalModel:
    """Compose encoders, a fusion layer and a head into one model.

    h = fusion(f_1(x_1), …, f_M(x_M));  y = head(h)

    Args:
        encoders: One model per modality, each with one named input.
        fusion: Layer from a list of features to one tensor; `None` for one encoder.
        head: Number of classes for a softmax, or any layer or model.
        presence: Add an input `presence`: modality → flags of shape (B,), 1 = present.
            What stands in the place of an absent modality has no effect.
        modality_dropout: Rate at which a present modality is hidden while training;
            needs `presence=True`.
        name: Name of the model.

    Returns:
        A model that takes a dict with one array per modality.

    Raises:
        ValueError: If two encoders share a modality's name, an encoder has several
            inputs, or there are several encoders and no fusion.

    Example:
        `fuse([image_encoder, text_encoder], ConcatFusion(), head=10)`
    """
    inputs, names = _inputs_of(encoders)
    if fusion is None and len(encoders) != 1:
        raise ValueError(f"{len(encoders)} encoders need a fusion layer, got None")
    if presence and fusion is None:
        raise ValueError("presence=True needs a fusion layer, got None")
    if modality_dropout and not presence:
        raise ValueError("modality_dropout hides by the mask: give presence=True too")
    if presence and "presence" in names:
        raise ValueError("a modality is named 'presence', as is the mask: rename it")
    shown, options = inputs, {}
    if presence:
        mask = keras.Input((len(names),), name="presence")
        here = ModalityDropout(modality_dropout)(mask) if modality_dropout else mask
        shown = [ZeroAbsent(m)(x, presence=here) for m, x in enumerate(inputs)]
        inputs, options = [*inputs, mask], {"presence": here}
    features = [encode(x) for encode, x in zip(encoders, shown, strict=True)]
    joint = features[0] if fusion is None else fusion(features, **options)
    head = classification_head(head) if isinstance(head, int) else head
    return MultimodalModel(inputs, head(joint), name=name)


def shared_space(
    encoders: Sequence[keras.Model],
    embed_dim: int,
    temperature: float = 0.07,
    name: str | None = None,
) -> MultimodalModel:
    """Compose encoders into one space, in which what belongs together is near.

    z_m = W_m f_m(x_m) / |W_m f_m(x_m)|, all times the root of a learned 1/τ: the dot
    product of two modalities is their cosine over τ (a dual encoder; Radford et al.
    2021, https://arxiv.org/abs/2103.00020).

    Weights, by layer: those of the encoders; `MODALITY_projection`: W; `temperature`.

    Args:
        encoders: Two models or more, each with one named input.
        embed_dim: Length of the embeddings.
        temperature: τ at the start.
        name: Name of the model.

    Returns:
        A model that takes a dict with one array per modality, and gives (B, M,
        embed_dim) for `losses.InfoNCE`; `embedder` gives the unit vectors of one.

    Raises:
        ValueError: If there is one encoder, one has several inputs or gives no vector,
            or two share a modality.

    Example:
        ```
        model = models.shared_space([image_encoder, text_encoder], embed_dim=64)
        model.compile("adam", losses.InfoNCE())
        model.fit(data.train.xy()[0], np.arange(len(data.train)), batch_size=256)
        ```
    """
    if len(encoders) < 2:
        raise ValueError(f"{len(encoders)} encoder, expected two or more")
    inputs, names = _inputs_of(encoders)
    points = []
    for modality, encode, x in zip(names, encoders, inputs, strict=True):
        features = encode(x)
        if len(features.shape) != 2:
            raise ValueError(
                f"encoder {encode.name!r} gives {features.shape}, expected vectors "
                "(B, size): build it with its pooling"
            )
        h = keras.layers.Dense(
            embed_dim, use_bias=False, name=f"{modality}_projection"
        )(features)
        unit = keras.layers.UnitNormalization(name=f"{modality}_embedding")
        points.append(keras.layers.Reshape((1, embed_dim))(unit(h)))
    stacked = keras.layers.Concatenate(axis=1)(points)
    return MultimodalModel(
        inputs, Temperature(temperature, name="temperature")(stacked), name=name
    )


def embedder(model: keras.Model, modality: str) -> keras.Model:
    """Return the part of an aligned model that embeds one modality.

    Args:
        model: What `shared_space` gave.
        modality: Which.

    Returns:
        A model from that modality alone to unit vectors (B, embed_dim); it shares the
        weights.

    Raises:
        ValueError: If the model embeds no such modality.
    """
    layer = f"{modality}_embedding"
    names = modalities_of(model)
    if modality not in names or layer not in {part.name for part in model.layers}:
        raise ValueError(f"{model.name} embeds no {modality!r}: it takes {names}")
    x = model.inputs[names.index(modality)]
    return keras.Model(x, model.get_layer(layer).output, name=f"embed_{modality}")


def _inputs_of(encoders: Sequence[keras.Model]) -> tuple[list, list[str]]:
    """Return fresh inputs for encoders, and their names."""
    for encoder in encoders:
        if len(encoder.inputs) != 1:
            raise ValueError(
                f"encoder {encoder.name!r} has {len(encoder.inputs)} inputs, expected 1"
            )
    inputs = [
        keras.Input(
            e.inputs[0].shape[1:], dtype=e.inputs[0].dtype, name=e.inputs[0].name
        )
        for e in encoders
    ]
    names = [tensor.name for tensor in inputs]
    if len(set(names)) != len(names):
        raise ValueError(f"two encoders share a modality: {names}; give each its name=")
    return inputs, names


def modalities_of(model: keras.Model) -> tuple[str, ...]:
    """Return the names of a model's inputs, in its order, without `presence`."""
    return tuple(t.name for t in model.inputs if t.name != "presence")


def encoders_of(model: keras.Model) -> dict[str, keras.Model]:
    """Return a composed model's encoders: modality → the model within that reads it."""
    parts = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    singles = [part for part in parts if len(part.inputs or ()) == 1]
    taken = {tensor.name for tensor in model.inputs}
    return {p.inputs[0].name: p for p in singles if p.inputs[0].name in taken}


def inputs_from(
    model: keras.Model,
    samples: "Split | Mapping[str, np.ndarray]",
    only: Sequence[str] | None = None,
) -> dict:
    """Return what a model takes from samples, on request with only some modalities.

    Args:
        model: A model with named inputs. One with an input `presence` is told what is
            absent; to any other the absent are blank: no words, or the mean of all
            samples.
        samples: A split, or modality → array (N, ...), perhaps with a key `presence`:
            modality → flags (N,). What is absent there stays absent.
        only: Modalities that are present; `None` for all.

    Returns:
        Modality → array (N, ...) in the model's order, and `presence` for a model that
        takes it: modality → booleans (N,); for a plain `keras.Model`, which cannot bind
        these by name, an array (N, M) in the model's order.

    Raises:
        KeyError: If there is no such modality, here or in the samples.
        ValueError: If `presence` in the samples is an array instead of a dict.

    Example:
        `model.predict(model.inputs_from(data.test, only=["image"]))`
    """
    given = dict(samples if isinstance(samples, Mapping) else samples.xy()[0])
    here = given.pop("presence", {})
    names = modalities_of(model)
    present = names if only is None else only
    if unknown := [name for name in (*present, *names) if name not in given]:
        raise KeyError(f"modality {unknown[0]!r}: choose from {list(given)}")
    arrays = {name: given[name] for name in names}
    num = len(arrays[names[0]])
    if len(names) == len(model.inputs):
        return {n: a if n in present else blank(a) for n, a in arrays.items()}
    _refuse_array(here, names)
    whole = np.ones(num, bool)
    flags = {n: (n in present) & np.asarray(here.get(n, whole), bool) for n in names}
    if not isinstance(model, MultimodalModel):
        flags = np.stack(list(flags.values()), axis=1).astype("float32")
    return {**arrays, "presence": flags}


def blank(array: np.ndarray) -> np.ndarray:
    """Return what stands for absence to a model that cannot be told of it.

    Args:
        array: Shape (N, ...). Strings, and ids of shape (N,) or (N, length), become
            empty texts; of anything else, each sample becomes the mean of all.

    Returns:
        An array of the same shape and dtype.
    """
    kind = array.dtype.kind
    if kind in "OUiu" and array.ndim <= 2:
        return np.full_like(array, "" if kind in "OU" else 0)
    mean = array.mean(axis=0, dtype="float64")
    return np.full_like(array, np.rint(mean) if kind in "iu" else mean)


def classification_head(
    num_classes: int, hidden: int | None = None, dropout: float = 0.0
) -> keras.Sequential:
    """Return a head that turns features into class probabilities.

    y = softmax(W h + b), after a hidden ReLU layer on request. The softmax is float32
    also under mixed precision.

    Args:
        num_classes: Number of classes, at least 2.
        hidden: Width of a hidden layer; `None` for none.
        dropout: Rate of dropout before the last layer.

    Raises:
        ValueError: If `num_classes` is below 2.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}, expected 2 or more")
    steps = []
    if hidden:
        steps.append(keras.layers.Dense(hidden, activation="relu", name="hidden"))
    if dropout:
        steps.append(keras.layers.Dropout(dropout))
    last = keras.layers.Dense(
        num_classes, activation="softmax", dtype="float32", name="classes"
    )
    return keras.Sequential([*steps, last], name="head")


def in_order(model: keras.Model, inputs) -> list:
    """Return a model's inputs as a list in its order, checked by name and shape.

    Args:
        model: A model with named inputs.
        inputs: Modality → tensor (B, ...), with `presence` as modality → flags (B,),
            which become a mask (B, M) in the model's order; or a list of tensors that
            is in the model's order already.

    Raises:
        ValueError: If a modality is missing, unknown or of another shape, or `presence`
            is an array, whose order cannot be known. (A plain `keras.Model` takes it
            as `inputs_from` gives it, as an array.)
    """
    names = [tensor.name for tensor in model.inputs]
    if isinstance(inputs, Mapping):
        _check_names(inputs, names, "modality")
        values = [inputs[name] for name in names]
        if "presence" in names and isinstance(model, MultimodalModel):
            place = names.index("presence")
            values[place] = _mask(values[place], modalities_of(model))
    else:
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(values) != len(names):
            raise ValueError(f"got {len(values)} arrays, this model takes {names}")
    for tensor, value in zip(model.inputs, values, strict=True):
        expected, found = tuple(tensor.shape[1:]), tuple(value.shape[1:])
        if len(expected) != len(found) or any(
            e is not None and f is not None and e != f
            for e, f in zip(expected, found, strict=True)
        ):
            raise ValueError(
                f"modality {tensor.name!r} has shape {('B', *found)}, expected "
                f"{('B', *expected)}"
            )
    return values


def _seen(model: keras.Model, x, y=None):
    """Return data as they are, after a look at them.

    Of a source that can be read again, the first batch is looked at; of a generator,
    every batch as it comes.
    """
    if isinstance(x, GeneratorType):
        return (_looked_at(model, batch) for batch in x)
    if isinstance(x, Mapping | list | tuple) or hasattr(x, "shape"):
        _look_at(model, x, y)
    elif isinstance(x, keras.utils.PyDataset):
        _looked_at(model, x[0])
    elif x is not None:
        _looked_at(model, next(iter(x)))
    return x


def _looked_at(model: keras.Model, batch):
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    _look_at(model, x, y)
    return batch


def _look_at(model: keras.Model, x, y) -> None:
    parts = x.values() if isinstance(x, Mapping) else x
    if isinstance(x, Mapping | list | tuple) and not all(
        hasattr(part, "shape") or isinstance(part, Mapping) for part in parts
    ):
        return  # no arrays, which Keras says better
    values = in_order(model, x)
    given = dict(zip((t.name for t in model.inputs), values, strict=True))
    mask = given.pop("presence", None)
    checks.arrays(given, mask, encoders_of(model))
    if y is not None:
        checks.labels(model, y)


def _mask(flags: Mapping, names: Sequence[str]):
    """The mask (B, M) of what is present, float32, its columns in the names' order."""
    _refuse_array(flags, names)
    _check_names(flags, names, "presence of")
    for name in names:
        if len(flags[name].shape) != 1:
            raise ValueError(
                f"presence of {name!r} has shape {('B', *flags[name].shape[1:])}, "
                "expected ('B',): one flag a sample"
            )
    return ops.stack([ops.cast(flags[name], "float32") for name in names], axis=1)


def _refuse_array(flags, names: Sequence[str]) -> None:
    if not isinstance(flags, Mapping):
        told = ", ".join(f"{name!r}: flags" for name in names)
        raise ValueError(
            "presence is an array, whose columns may be in another order than this "
            f"model's: give a dict with one flag a sample, {{{told}}}"
        )


def _check_names(given: Mapping, names: Sequence[str], what: str) -> None:
    """Refuse a name that is missing, or one too many."""
    if missing := [name for name in names if name not in given]:
        raise ValueError(
            f"{what} {missing[0]!r} is missing: this model takes {list(names)}, got "
            f"{list(given)}"
        )
    if extra := [name for name in given if name not in names]:
        raise ValueError(
            f"{what} {extra[0]!r} is unknown to this model, which takes {list(names)}: "
            "leave it out"
        )
