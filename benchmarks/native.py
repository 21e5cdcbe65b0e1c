"""The current backend's own operations, and steps (forward + backward) with them.

This folder is the one place in the project where a backend is used by name: to say what
Keras costs, somebody has to write the equations without it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import keras
import numpy as np


@dataclass(frozen=True)
class Native:
    """One backend: its operations, and how a step is made.

    Args:
        ops: The operations that `equations.py` is written in.
        step: Takes `outputs(values, fixed, x)`, the trainable and the other Keras
            variables, inputs and a direction; returns a function without arguments that
            computes outputs and gradients, with respect to the trainable variables and
            the inputs, of the outputs along the direction.
    """

    ops: SimpleNamespace
    step: Callable

    def layer_step(self, layer, inputs: list[np.ndarray], along: np.ndarray):
        """Return the step of a Keras layer."""

        def outputs(values, fixed, x):
            if keras.backend.backend() == "jax":
                return layer.stateless_call(values, fixed, x)[0]
            return layer(x)

        return self._step(layer, outputs, inputs, along)

    def equation_step(self, layer, equation, weights, inputs, along):
        """Return the step of `equation(ops, w, x)` on the weights of the layer.

        Args:
            layer: The layer whose variables are used.
            equation: Hand-written, see `equations.py`.
            weights: The layer's variables in a nest, as the equation wants them.
            inputs: Arrays.
            along: Array of the outputs' shape.
        """
        places = {
            id(v): n
            for n, v in enumerate([*layer.trainable_weights, *_fixed(layer, weights)])
        }

        def outputs(values, fixed, x):
            every = [*values, *fixed]
            w = keras.tree.map_structure(lambda v: every[places[id(v)]], weights)
            return equation(self.ops, w, x)

        return self._step(layer, outputs, inputs, along, _fixed(layer, weights))

    def _step(self, layer, outputs, inputs, along, fixed=None):
        if fixed is None:
            fixed = layer.non_trainable_variables
        return self.step(outputs, layer.trainable_weights, fixed, inputs, along)


def _fixed(layer, weights) -> list:
    trained = {id(v) for v in layer.trainable_weights}
    return [v for v in keras.tree.flatten(weights) if id(v) not in trained]


def native() -> Native:
    """Return the current backend's `Native`."""
    makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return makers[keras.backend.backend()]()


def _tensorflow() -> Native:
    import tensorflow as tf

    def dense(x, kernel, bias):
        flat = tf.reshape(x, (-1, x.shape[-1])) @ kernel + bias
        return tf.reshape(flat, (-1, *x.shape[1:-1], kernel.shape[-1]))

    def layer_norm(x, gamma, beta):
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)

    def attend(w, queries, keys):
        wq, bq, wk, bk, wv, bv, wo, bo = w
        dim, heads, size = wq.shape

        def project(x, kernel, bias):
            x = dense(x, tf.reshape(kernel, (dim, -1)), tf.reshape(bias, (-1,)))
            x = tf.reshape(x, (-1, x.shape[1], heads, size))
            return tf.transpose(x, (0, 2, 1, 3))

        q, k, v = project(queries, wq, bq), project(keys, wk, bk), project(keys, wv, bv)
        shares = tf.nn.softmax(tf.matmul(q * size**-0.5, k, transpose_b=True))
        answers = tf.transpose(shares @ v, (0, 2, 1, 3))
        answers = tf.reshape(answers, (-1, queries.shape[1], heads * size))
        return dense(answers, tf.reshape(wo, (-1, dim)), bo)

    def sketch(x, places, signs, length):
        return (x * signs) @ tf.one_hot(places, length)

    def step(outputs, trained, fixed, inputs, along):
        values, fixed = [v.value for v in trained], [v.value for v in fixed]

        @tf.function
        def run(x, along):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = outputs(values, fixed, x)
            return y, tape.gradient(y, [*values, *x], along)

        inputs = [tf.constant(x) for x in inputs]
        along = tf.constant(along)
        return lambda: run(inputs, along)

    ops = SimpleNamespace(
        concat=tf.concat,
        reshape=tf.reshape,
        einsum=tf.einsum,
        dense=dense,
        ones=lambda x: tf.ones((x.shape[0], 1)),
        repeat=lambda row, x: tf.broadcast_to(row, (x.shape[0], *row.shape)),
        sum=tf.reduce_sum,
        mean=tf.reduce_mean,
        maximum=tf.maximum,
        largest=lambda x: tf.stop_gradient(tf.reduce_max(x, -1, keepdims=True)),
        abs=tf.abs,
        rsqrt=tf.math.rsqrt,
        where=tf.where,
        log=tf.math.log,
        tanh=tf.tanh,
        sigmoid=tf.sigmoid,
        relu=tf.nn.relu,
        softplus=tf.nn.softplus,
        gelu=tf.nn.gelu,
        softmax=tf.nn.softmax,
        layer_norm=layer_norm,
        attend=attend,
        rfft=tf.signal.rfft,
        irfft=lambda x, length: tf.signal.irfft(x, [length]),
        sketch=sketch,
    )
    return Native(ops, step)


def _jax() -> Native:
    import jax
    from jax import numpy as jnp

    def layer_norm(x, gamma, beta):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-3) * gamma + beta

    def attend(w, queries, keys):
        wq, bq, wk, bk, wv, bv, wo, bo = w
        q = jnp.einsum("btd,dhk->bthk", queries, wq) + bq
        k = jnp.einsum("bsd,dhk->bshk", keys, wk) + bk
        v = jnp.einsum("bsd,dhk->bshk", keys, wv) + bv
        scores = jnp.einsum("bshk,bthk->bhts", k, q * q.shape[-1] ** -0.5)
        answers = jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores), v)
        return jnp.einsum("bthk,hkd->btd", answers, wo) + bo

    def sketch(x, places, signs, length):
        return (x * signs) @ jax.nn.one_hot(places, length)

    def step(outputs, trained, fixed, inputs, along):
        @jax.jit
        def run(values, fixed, x, along):
            y, pull = jax.vjp(lambda v, x: outputs(v, fixed, x), values, x)
            values, x = pull(along.astype(y.dtype))
            return y, [*values, *x]

        # To the device once, also what was made on another.
        arguments = jax.device_put(
            (
                [v.value for v in trained],
                [v.value for v in fixed],
                [jnp.asarray(x) for x in inputs],
                jnp.asarray(along),
            ),
            jax.devices()[0],
        )

        def call():
            return jax.block_until_ready(run(*arguments))

        def cost():
            """Operations, and bytes if each array is moved once."""
            results = jax.eval_shape(run, *arguments)
            arrays = jax.tree.leaves((arguments, results))
            moved = sum(a.size * a.dtype.itemsize for a in arrays)
            # A GPU's compiler does not count operations.
            with jax.default_device(jax.devices("cpu")[0]):
                shapes = jax.eval_shape(lambda *given: given, *arguments)
                counted = run.lower(*shapes).cost_analysis() or {}
            return counted.get("flops", 0), moved

        call.cost = cost
        return call

    ops = SimpleNamespace(
        concat=jnp.concatenate,
        reshape=jnp.reshape,
        einsum=jnp.einsum,
        dense=lambda x, kernel, bias: x @ kernel + bias,
        ones=lambda x: jnp.ones((x.shape[0], 1)),
        repeat=lambda row, x: jnp.broadcast_to(row, (x.shape[0], *row.shape)),
        sum=jnp.sum,
        mean=jnp.mean,
        maximum=jnp.maximum,
        largest=lambda x: jax.lax.stop_gradient(x.max(-1, keepdims=True)),
        abs=jnp.abs,
        rsqrt=jax.lax.rsqrt,
        where=jnp.where,
        log=jnp.log,
        tanh=jnp.tanh,
        sigmoid=jax.nn.sigmoid,
        relu=jax.nn.relu,
        softplus=jax.nn.softplus,
        gelu=lambda x: jax.nn.gelu(x, approximate=False),
        softmax=jax.nn.softmax,
        layer_norm=layer_norm,
        attend=attend,
        rfft=jnp.fft.rfft,
        irfft=jnp.fft.irfft,
        sketch=sketch,
    )
    return Native(ops, step)


def _torch() -> Native:
    import torch
    from torch.nn import functional

    def attend(w, queries, keys):
        wq, bq, wk, bk, wv, bv, wo, bo = w
        dim, heads, size = wq.shape

        def project(x, kernel, bias):
            x = x @ kernel.reshape(dim, -1) + bias.reshape(-1)
            return x.reshape(*x.shape[:2], heads, size).transpose(1, 2)

        q, k, v = project(queries, wq, bq), project(keys, wk, bk), project(keys, wv, bv)
        answers = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return answers.reshape(queries.shape) @ wo.reshape(-1, dim) + bo

    def sketch(x, places, signs, length):
        return (x * signs) @ functional.one_hot(places.long(), length).float()

    def step(outputs, trained, fixed, inputs, along):
        values, fixed = [v.value for v in trained], [v.value for v in fixed]
        inputs = [torch.tensor(x, requires_grad=True) for x in inputs]
        along = torch.tensor(along)

        def run():
            y = outputs(values, fixed, inputs)
            return y, torch.autograd.grad(y, [*values, *inputs], along)

        return run

    ops = SimpleNamespace(
        concat=torch.cat,
        reshape=torch.reshape,
        einsum=torch.einsum,
        dense=lambda x, kernel, bias: x @ kernel + bias,
        ones=lambda x: torch.ones((x.shape[0], 1)),
        repeat=lambda row, x: row.expand(x.shape[0], *row.shape),
        sum=torch.sum,
        mean=torch.mean,
        maximum=lambda x, y: (
            torch.maximum(x, y) if torch.is_tensor(y) else torch.clamp_min(x, y)
        ),
        largest=lambda x: x.detach().amax(-1, keepdim=True),
        abs=torch.abs,
        rsqrt=torch.rsqrt,
        where=torch.where,
        log=torch.log,
        tanh=torch.tanh,
        sigmoid=torch.sigmoid,
        relu=torch.relu,
        softplus=functional.softplus,
        gelu=functional.gelu,
        softmax=lambda x: torch.softmax(x, -1),
        layer_norm=lambda x, gamma, beta: functional.layer_norm(
            x, x.shape[-1:], gamma, beta, 1e-3
        ),
        attend=attend,
        rfft=torch.fft.rfft,
        irfft=torch.fft.irfft,
        sketch=sketch,
    )
    return Native(ops, step)
