"""What tests of layers share: fixed weights, and gradients on every backend."""

import keras
import numpy as np
from keras import ops


def to_numpy(x) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def parts(outputs) -> list[np.ndarray]:
    """The outputs of a layer, one tensor or any nest of them, as a flat list."""
    return [to_numpy(x) for x in keras.tree.flatten(outputs)]


def assert_close(found, expected, atol: float = 0, **options) -> None:
    """`numpy.testing.assert_allclose`, also for tensors that carry gradients."""
    found, expected = to_numpy(found), to_numpy(expected)
    np.testing.assert_allclose(found, expected, atol=atol, **options)


def assert_equal(found, expected, **options) -> None:
    """`numpy.testing.assert_array_equal`, also for tensors that carry gradients."""
    np.testing.assert_array_equal(to_numpy(found), to_numpy(expected), **options)


def fill(layer: keras.layers.Layer, seed: int = 3) -> None:
    """Give weights fixed values; start values of 0 and 1 would hide errors."""
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        moved = weight.name.endswith(("bias", "gamma"))
        start = to_numpy(weight) if moved else 0
        weight.assign(start + 0.4 * rng.normal(size=weight.shape))


def gradients(layer: keras.layers.Layer, inputs: list[np.ndarray], **call):
    """Gradients of a fixed random projection of the outputs.

    Returns:
        Those per trainable weight, a dict by path, and a list of those per input; an
        unused one is `None`.
    """
    weights = layer.trainable_variables

    def loss(outputs):
        rng = np.random.default_rng(4)

        def drawn(shape):
            return ops.convert_to_tensor(rng.normal(size=shape), "float32")

        return sum(
            ops.sum(ops.multiply(ops.cast(y, "float32"), drawn(y.shape)))
            for y in keras.tree.flatten(outputs)
        )

    inputs = [ops.convert_to_tensor(x) for x in inputs]
    # Ids and other whole numbers have no gradient.
    smooth = ["float" in keras.backend.standardize_dtype(x.dtype) for x in inputs]
    chosen = [x for x, is_smooth in zip(inputs, smooth, strict=True) if is_smooth]

    def complete(values):
        values = iter(values)
        pairs = zip(inputs, smooth, strict=True)
        whole = [next(values) if is_smooth else x for x, is_smooth in pairs]
        alone = isinstance(layer, keras.Model) and len(whole) == 1
        return whole[0] if alone else whole

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def projected(values, x):
            rest = [v.value for v in layer.non_trainable_variables]
            return loss(layer.stateless_call(values, rest, complete(x), **call)[0])

        found = jax.grad(projected, (0, 1))([v.value for v in weights], chosen)
        found = [*found[0], *found[1]]
    elif backend == "torch":
        import torch

        chosen = [x.clone().requires_grad_() for x in chosen]
        sources = [*(v.value for v in weights), *chosen]
        value = loss(layer(complete(chosen), **call))
        found = (
            torch.autograd.grad(value, sources, allow_unused=True)
            if value.requires_grad
            else [None] * len(sources)
        )
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(chosen)
            value = loss(layer(complete(chosen), **call))
        found = tape.gradient(value, [*(v.value for v in weights), *chosen])
        # Rows of an embedding come as indexed slices.
        found = [None if g is None else tf.convert_to_tensor(g) for g in found]
    found = [None if g is None else to_numpy(g) for g in found]
    by_weight = {v.path: g for v, g in zip(weights, found[: len(weights)], strict=True)}
    by_input = iter(found[len(weights) :])
    return by_weight, [next(by_input) if is_smooth else None for is_smooth in smooth]
