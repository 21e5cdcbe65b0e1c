"""What is measured: each fusion layer with its main options, and its equation."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import equations as eq
from mmlearn import fusion as f


@dataclass(frozen=True)
class Case:
    """A layer, its inputs' shapes without the batch, and its equation."""

    name: str
    make: Callable
    shapes: tuple
    equation: Callable
    probabilities: bool = False

    def build(self):
        layer = self.make()
        layer.build([(None, *shape) for shape in self.shapes])
        return layer

    def inputs(self, batch: int, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        x = [rng.normal(size=(batch, *shape)) for shape in self.shapes]
        if self.probabilities:
            x = [np.exp(one) / np.exp(one).sum(-1, keepdims=True) for one in x]
        return [one.astype("float32") for one in x]


def cases(dim: int = 256, units: int = 64, tokens: int = 8) -> list[Case]:
    """Return all cases: features and embeddings of length `dim`, a multiple of 4.

    Args:
        dim: Feature length d of each modality, also used for embed_dim, and for the
            number of classes of the decision layers.
        units: Length of the output where the kernel grows with d².
        tokens: T for sequences.
    """
    three, two = ((dim,),) * 3, ((dim,),) * 2
    sequences = ((tokens, dim),) * 2
    rows = [("ConcatFusion", f.ConcatFusion, three, eq.concat)]
    for make, equation in [
        (f.SumFusion, partial(eq.elementwise, operation="add")),
        (f.MeanFusion, eq.mean),
        (f.MaxFusion, partial(eq.elementwise, operation="maximum")),
        (f.ProductFusion, partial(eq.elementwise, operation="mul")),
    ]:
        rows.append((make.__name__, make, three, equation))
        rows.append((f"{make.__name__}(e)", partial(make, dim), three, equation))
    rows += [
        ("WeightedFusion(e)", partial(f.WeightedFusion, dim), three, eq.weighted),
        (
            "WeightedFusion(e, per_sample)",
            partial(f.WeightedFusion, dim, per_sample=True),
            three,
            partial(eq.weighted, per_sample=True),
        ),
        ("DeepSetFusion(e)", partial(f.DeepSetFusion, dim), three, eq.deep_set),
        ("GatedFusion(e)", partial(f.GatedFusion, dim), three, eq.gated),
        (
            "GatedFusion(e, tied)",
            partial(f.GatedFusion, dim, tied=True),
            two,
            partial(eq.gated, tied=True),
        ),
        ("FiLMFusion on (B, T, d)", f.FiLMFusion, ((tokens, dim), (dim,)), eq.film),
        ("TensorFusion", f.TensorFusion, two, eq.tensor),
        ("TensorFusion(u)", partial(f.TensorFusion, units), two, eq.tensor),
        ("LowRankFusion(u)", partial(f.LowRankFusion, units), three, eq.low_rank),
        (
            "MultiplicativeInteraction(u)",
            partial(f.MultiplicativeInteraction, units),
            two,
            eq.multiplicative,
        ),
    ]
    for form in ("vector", "scalar"):
        rows.append(
            (
                f"MultiplicativeInteraction({form})",
                partial(f.MultiplicativeInteraction, form=form),
                two,
                partial(eq.multiplicative, form=form),
            )
        )
    rows.append(
        ("BilinearFusion(u)", partial(f.BilinearFusion, units), two, eq.bilinear)
    )
    for kind in ("mlb", "mfb", "mfh", "mutan", "tucker", "block", "mcb"):
        # The core of tucker has embed_dim³ numbers.
        embed_dim = units if kind == "tucker" else dim
        make = partial(f.BilinearFusion, units, kind, embed_dim=embed_dim)
        rows.append(
            (f"BilinearFusion(u, {kind})", make, two, partial(eq.bilinear, kind=kind))
        )
    for name, make, equation in [
        ("SelfAttentionFusion", f.SelfAttentionFusion, eq.self_attention),
        ("CrossModalAttention", f.CrossModalAttention, eq.cross_modal),
        ("BottleneckFusion", f.BottleneckFusion, eq.bottleneck),
    ]:
        rows.append((f"{name}(e)", partial(make, dim), sequences, equation))
    decisions = [
        (
            f"DecisionFusion({rule})",
            partial(f.DecisionFusion, rule),
            three,
            partial(eq.decision, rule=rule),
            True,
        )
        # Not "vote": it has no gradient.
        for rule in ("mean", "mean_logits", "weighted", "max", "product")
    ]
    stack = ("StackingFusion(u)", partial(f.StackingFusion, units), three, eq.stacking)
    rows.append(("EvidentialFusion", f.EvidentialFusion, three, eq.evidential))
    return [Case(*row) for row in [*rows, *decisions, (*stack, True)]]
