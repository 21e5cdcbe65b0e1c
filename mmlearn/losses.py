"""What aligns modalities: losses of embeddings of the same thing seen in several ways.

Both take what `models.shared_space` gives: (B, M, embed_dim), one row per sample, one
column per modality.
"""

from itertools import combinations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mmlearn")
class InfoNCE(keras.losses.Loss):
    """Symmetric InfoNCE: which of the batch's texts belongs to this picture, and back.

    For modalities a and b with s_ij = <a_i, b_j>,
    l_i = (log Σ_j exp s_ij + log Σ_j exp s_ji)/2 - s_ii, averaged over the pairs of
    modalities (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748; symmetric:
    Radford et al. 2021, https://arxiv.org/abs/2103.00020). The temperature is in the
    embeddings: `models.shared_space` gives unit vectors, each times the root of the
    learned 1/temperature.

    Two samples with the same label show the same thing: neither counts as wrong for the
    other. `fit` wants labels in any case; where each sample is something of its own,
    give `np.arange(N)`.

    Args:
        **options: Of `keras.losses.Loss`: `reduction`, `name`, `dtype`.

    Example:
        >>> import numpy as np
        >>> z = np.eye(2, dtype="float32")[:, None].repeat(2, axis=1)
        >>> loss = InfoNCE()(np.array([0, 1]), 10 * z)
        >>> bool(loss < 1e-3)
        True
    """

    def __init__(self, name: str = "info_nce", **options):
        super().__init__(name=name, **options)

    def call(self, y_true, y_pred):
        """Return one loss per sample, (B,).

        Args:
            y_true: What each sample shows, whole numbers below 2²⁴, (B,) or (B, 1).
            y_pred: Embeddings, (B, M, embed_dim), M ≥ 2.

        Raises:
            ValueError: If `y_pred` has another shape.
        """
        _require_pairs(y_pred)
        shown = ops.reshape(y_true, (-1,))
        place = ops.arange(ops.shape(shown)[0])
        itself = ops.equal(place[:, None], place[None])
        twin = ops.logical_and(
            ops.equal(shown[:, None], shown[None]), ops.logical_not(itself)
        )
        losses = []
        for m, n in combinations(range(y_pred.shape[1]), 2):
            a, b = y_pred[:, m], y_pred[:, n]
            s = ops.where(twin, -1e9, ops.matmul(a, ops.transpose(b)))
            either = ops.logsumexp(s, axis=1) + ops.logsumexp(s, axis=0)
            losses.append(either / 2 - ops.sum(a * b, axis=-1))
        return sum(losses) / len(losses)


@keras.saving.register_keras_serializable(package="mmlearn")
class CCALoss(keras.losses.Loss):
    """Minus the canonical correlations of two modalities, summed: deep CCA.

    -Σ_i σ_i(T),  T = L_a⁻¹ C_ab L_b⁻ᵀ,  L Lᵀ = C + r I, with the batch's covariances C
    (Andrew et al. 2013, https://proceedings.mlr.press/v28/andrew13.html). Whitening by
    Cholesky's L instead of C^(-1/2) turns T and leaves its singular values σ. Their sum
    is tr(Uᵀ T V) with U and V held fixed, so that the gradient is U Vᵀ: finite also
    where singular values are equal, where that of a decomposition is not.

    Correlated is not yet near: any invertible map of one side leaves the loss as it is.
    A linear CCA of the trained embeddings (`sklearn.cross_decomposition.CCA`) turns
    them into one another.

    Args:
        num_components: How many of the largest correlations count; `None` for all.
        regularization: r, added to the variances; above 0.
        **options: Of `keras.losses.Loss`: `name`, `dtype`.

    Raises:
        ValueError: If `num_components` is below 1, or `regularization` is not above 0.
    """

    def __init__(
        self,
        num_components: int | None = None,
        regularization: float = 1e-3,
        name: str = "cca",
        **options,
    ):
        if num_components is not None and num_components < 1:
            raise ValueError(f"num_components is {num_components}, expected 1 or more")
        if not regularization > 0:
            raise ValueError(f"regularization is {regularization}, expected above 0")
        super().__init__(name=name, **options)
        self.num_components, self.regularization = num_components, regularization

    def call(self, y_true, y_pred):
        """Return one loss for the batch.

        Args:
            y_true: Not used; `fit` wants labels in any case.
            y_pred: Embeddings, (B, 2, embed_dim); B well above embed_dim, or the
                correlations are those of chance.

        Raises:
            ValueError: If `y_pred` has another shape.
        """
        _require_pairs(y_pred)
        if y_pred.shape[1] != 2:
            raise ValueError(f"CCA is defined for 2 modalities, got {y_pred.shape[1]}")
        a, b = (y_pred[:, m] for m in range(2))
        a, b = (x - ops.mean(x, axis=0) for x in (a, b))
        num = ops.cast(ops.shape(a)[0] - 1, a.dtype)
        ridge = self.regularization * ops.eye(y_pred.shape[-1], dtype=a.dtype)

        def whitened(x, of):
            root = ops.cholesky(ops.matmul(ops.transpose(of), of) / num + ridge)
            return ops.solve_triangular(root, x, lower=True)

        t = whitened(ops.matmul(ops.transpose(a), b) / num, a)
        t = ops.transpose(whitened(ops.transpose(t), b))
        u, _, v = ops.svd(ops.stop_gradient(t), full_matrices=False)
        k = self.num_components
        u, v = ops.stop_gradient(u[:, :k]), ops.stop_gradient(v[:k])
        return -ops.sum(u * ops.matmul(t, ops.transpose(v)))

    def get_config(self):
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "regularization": self.regularization,
        }


def _require_pairs(y_pred) -> None:
    shape = tuple(y_pred.shape)
    if len(shape) != 3 or shape[1] < 2:
        raise ValueError(
            f"embeddings have shape {shape}, expected (B, M, embed_dim) of two or more "
            "modalities, as models.shared_space gives them"
        )
