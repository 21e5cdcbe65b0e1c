"""Decision-level (late) fusion: each modality decides, then the answers are joined."""

import functools
from collections.abc import Sequence

import keras
from keras import ops

from mmlearn.fusion.base import (
    Fusion,
    column,
    only_where,
    require_positive,
    softmax_over_present,
)

RULES = ("mean", "mean_logits", "weighted", "max", "vote", "product")
_SMALLEST = 1e-7


class _Late(Fusion):
    """Base of the layers that take each modality's class probabilities."""

    def __init__(self, *, from_logits: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.from_logits = from_logits

    def probabilities(self, inputs, presence=None) -> tuple[list, object]:
        """Return float32 probabilities per modality, and the mask or `None`."""
        features, is_present = self.present(inputs, presence)
        # Probabilities near 0 and 1 need float32 whatever the precision of the rest.
        features = [ops.cast(x, "float32") for x in features]
        if self.from_logits:
            features = [ops.softmax(x, axis=-1) for x in features]
        return features, is_present

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="mmlearn")
class DecisionFusion(_Late):
    """Join class probabilities by a rule, over the modalities that are present.

    - `"mean"`: (1/n) Σ_m p_m, the mean of probabilities.
    - `"mean_logits"`: softmax((1/n) Σ_m log p_m), their normalised geometric mean,
      which is what averaging logits gives.
    - `"weighted"`: Σ_m α_m p_m with learned α = softmax(a) over those present.
    - `"max"`: max_m p_m for each class, then normalised.
    - `"vote"`: the share of modalities whose most likely class it is; it has no
      gradient.
    - `"product"`: softmax(Σ_m log p_m − (n − 1) log prior), Bayes' rule for modalities
      that are independent given the class; the prior is counted once.

    n is the number of modalities present; where there is none, the prior is returned.

    Args:
        rule: One of the names above.
        from_logits: The inputs are logits; a softmax is taken first.
        prior: Probability of each class; `None` for all the same.

    Weights:
        For the rule "weighted": `scores` (M,): a.

    Call arguments:
        inputs: List or dict of probabilities of shape (B, num_classes).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        return_weights: Return α, of shape (B, M), too; for the rule "weighted" only.

    Returns:
        Probabilities, float32 of shape (B, num_classes).

    Raises:
        ValueError: If the rule is unknown, the prior is none, or the modalities do not
            have the same number of classes.

    Example:
        >>> DecisionFusion("product")([keras.Input((10,)), keras.Input((10,))]).shape
        (None, 10)
    """

    def __init__(
        self,
        rule: str = "mean",
        *,
        from_logits: bool = False,
        prior: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(from_logits=from_logits, **kwargs)
        if rule not in RULES:
            raise ValueError(
                f"{self.name}: rule is {rule!r}, choose one of {', '.join(RULES)}"
            )
        if prior is not None:
            prior = [float(share) for share in prior]
            if min(prior) <= 0 or abs(sum(prior) - 1) > 1e-3:
                raise ValueError(
                    f"{self.name}: prior is {prior}, expected positive shares that add "
                    "up to 1"
                )
        self.rule, self.prior = rule, prior

    def build_weights(self):
        _require_same_classes(self)
        if self.prior is not None and len(self.prior) != self.dims[0]:
            raise ValueError(
                f"{self.name}: prior has {len(self.prior)} entries for {self.dims[0]} "
                "classes"
            )
        if self.rule == "weighted":
            self.scores = self.vector("scores", len(self.dims))

    def call(self, inputs, presence=None, return_weights=False):
        if return_weights and self.rule != "weighted":
            raise ValueError(
                f"{self.name}: the rule {self.rule!r} has no weights to return"
            )
        p, here = self.probabilities(inputs, presence)
        count, weights = len(p), None
        if here is not None:
            count = ops.sum(ops.cast(here, "float32"), axis=-1, keepdims=True)
        if self.rule == "weighted":
            scores = ops.cast(self.scores, "float32")[None]
            if here is not None or return_weights:
                scores = ops.zeros_like(p[0][:, :1]) + scores
            weights = softmax_over_present(scores, here)
            fused = sum(weights[:, m : m + 1] * x for m, x in enumerate(p))
        else:
            fused = self._by_rule(p, here, count)
        if here is not None:
            fused = ops.where(count > 0, fused, self._prior(p[0]))
        return (fused, weights) if return_weights else fused

    def _by_rule(self, p: list, here, count):
        def kept(values):
            if here is None:
                return values
            return [only_where(column(here, m), x) for m, x in enumerate(values)]

        # A plain number where nothing is absent.
        some = count if here is None else ops.maximum(count, 1)
        if self.rule == "mean":
            return sum(kept(p)) / some
        if self.rule == "vote":
            classes = p[0].shape[-1]
            votes = [ops.one_hot(ops.argmax(x, axis=-1), classes) for x in p]
            return sum(kept(votes)) / some
        if self.rule == "max":
            highest = functools.reduce(ops.maximum, kept(p))
            mass = ops.sum(highest, axis=-1, keepdims=True)
            return highest / ops.maximum(mass, _SMALLEST)
        logs = sum(kept([_log(x) for x in p]))
        if self.rule == "mean_logits":
            return ops.softmax(logs / some, axis=-1)
        if self.prior is None and here is None:
            return ops.softmax(logs, axis=-1)
        return ops.softmax(logs - (count - 1) * _log(self._prior(p[0])), axis=-1)

    def _prior(self, like):
        classes = like.shape[-1]
        prior = self.prior or [1 / classes] * classes
        return ops.zeros_like(like) + ops.convert_to_tensor(prior, "float32")

    def get_config(self):
        return {**super().get_config(), "rule": self.rule, "prior": self.prior}


@keras.saving.register_keras_serializable(package="mmlearn")
class EvidentialFusion(Fusion):
    """Join the evidence of the modalities, and say how much of it there is.

    The scores of modality m become evidence e_m = softplus(x_m) for each of K classes,
    and that an opinion, with S_m = K + Σ_k e_mk: belief b_m = e_m / S_m and uncertainty
    u_m = K / S_m. Dempster's reduced rule joins two opinions:

    b = (b_1 b_2 + b_1 u_2 + b_2 u_1) / (1 − C),   u = u_1 u_2 / (1 − C),
    C = Σ_{i≠j} b_1i b_2j

    Written for evidence it is a product, for any number of modalities:

    1 + e_k / K = Π_m (1 + e_mk / K),   p_k = (e_k + 1) / S,   u = K / S

    So the order does not matter, an absent modality is no evidence, and where none is
    present p is uniform and u = 1. Evidence only adds up: modalities that contradict
    each other with much evidence leave p undecided and u small all the same.

    Cross-entropy on p is the marginal likelihood of the class under the Dirichlet
    distribution with parameters e + 1 (Sensoy et al. 2018, equation 3); Han et al. also
    train each modality alone, and pull the evidence for wrong classes to 0.
    Han et al. 2021, https://arxiv.org/abs/2102.02051

    Call arguments:
        inputs: List or dict of scores (logits) of shape (B, num_classes).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        return_uncertainty: Return u, float32 of shape (B,), 0 to 1, too.

    Returns:
        Probabilities p, float32 of shape (B, num_classes).

    Raises:
        ValueError: If the modalities do not have the same number of classes.

    Example:
        >>> EvidentialFusion()([keras.Input((10,)), keras.Input((10,))]).shape
        (None, 10)
    """

    def build_weights(self):
        _require_same_classes(self)

    def call(self, inputs, presence=None, return_uncertainty=False):
        features, here = self.present(inputs, presence)
        classes, product, scale = self.dims[0], 1, 1
        for m, x in enumerate(features):
            # In float32: much evidence and little differ by more than float16 can hold.
            factor = ops.softplus(ops.cast(x, "float32")) / classes + 1
            if here is not None:
                factor = ops.where(column(here, m), factor, ops.ones_like(factor))
            # p and u are fractions: over the largest factor, neither side overflows.
            largest = ops.stop_gradient(ops.max(factor, axis=-1, keepdims=True))
            product, scale = product * (factor / largest), scale / largest
        shares = classes * product + (1 - classes) * scale
        mass = ops.sum(shares, axis=-1, keepdims=True)
        fused = shares / mass
        uncertainty = (classes * scale / mass)[:, 0]
        return (fused, uncertainty) if return_uncertainty else fused


@keras.saving.register_keras_serializable(package="mmlearn")
class StackingFusion(_Late):
    """Learn from the modalities' answers: logistic regression on log-probabilities.

    y = softmax(Σ_m V_m log p_m + b)

    Train it on *out-of-fold* probabilities, never on those that the base models give to
    their own training samples: there, the one that overfits most would be trusted most.
    An absent modality leaves the sum. Wolpert 1992,
    https://doi.org/10.1016/S0893-6080(05)80023-1

    Args:
        num_classes: Number of classes of the answer.
        from_logits: The inputs are logits; a softmax is taken first.

    Weights:
        `kernel_m` (K_m, num_classes): V_m transposed; `bias` (num_classes,).

    Call arguments:
        inputs: List or dict of probabilities of shape (B, K_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Probabilities, float32 of shape (B, num_classes).

    Example:
        >>> StackingFusion(10)([keras.Input((10,)), keras.Input((10,))]).shape
        (None, 10)
    """

    def __init__(self, num_classes: int, *, from_logits: bool = False, **kwargs):
        super().__init__(from_logits=from_logits, **kwargs)
        require_positive(self, num_classes=num_classes)
        self.num_classes = num_classes

    def build_weights(self):
        self.kernels = [
            self.matrix(f"kernel_{m}", dim, self.num_classes)
            for m, dim in enumerate(self.dims)
        ]
        self.bias = self.vector("bias", self.num_classes)

    def call(self, inputs, presence=None):
        p, is_present = self.probabilities(inputs, presence)
        scores = ops.zeros_like(p[0][:, :1]) + ops.cast(self.bias, "float32")
        for m, (x, kernel) in enumerate(zip(p, self.kernels, strict=True)):
            share = ops.matmul(_log(x), ops.cast(kernel, "float32"))
            if is_present is not None:
                share = only_where(column(is_present, m), share)
            scores = scores + share
        return ops.softmax(scores, axis=-1)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def _require_same_classes(layer: Fusion) -> None:
    for name, dim in zip(layer.modalities, layer.dims, strict=True):
        if dim != layer.dims[0]:
            raise ValueError(
                f"{layer.name}: {name} has {dim} classes, {layer.modalities[0]} has "
                f"{layer.dims[0]}: all modalities must decide between the same ones"
            )


def _log(probabilities):
    return ops.log(ops.maximum(probabilities, _SMALLEST))
