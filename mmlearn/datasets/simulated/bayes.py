"""Best possible accuracies of known generative models, in closed form or by quadrature.

Each hidden sign or number is observed through a Gaussian channel: signal + σ ε.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np


def sign(noise: Sequence[float]) -> float:
    """Return the limit for a sign ±1 that is observed once or several times.

    Φ(√Σ_i σ_i⁻²), Φ being the normal distribution function: the observations, each
    weighted with σ_i⁻², add up to the sign and normal noise. Without one, 1/2.

    Args:
        noise: σ_i of each observation.
    """
    from scipy.stats import norm

    # Below 1e-9 the limit is 1 to the last digit, and σ⁻² still finite.
    precision = sum(max(s, 1e-9) ** -2 for s in noise)
    return float(norm.cdf(np.sqrt(precision)))


def parity(noise: Sequence[float]) -> float:
    """Return the limit for the product of random signs, each observed once.

    1/2 + 1/2 Π_i (2 Φ(1/σ_i) − 1): the product's posterior odds lie on the side of the
    product of the single best guesses, so that it is right if an even number of them
    is wrong.

    Args:
        noise: σ_i of each sign; all signs are observed.
    """
    return float(0.5 + 0.5 * np.prod([2 * sign([s]) - 1 for s in noise]))


def sign_of_sum(noise: Sequence[float], num_terms: int) -> float:
    """Return the limit for the sign of a sum of normal numbers, some of them observed.

    1/2 + arcsin(ρ) / π with ρ² = Σ_i (1 + σ_i²)⁻¹ / M: ρ is the correlation between
    the sum and its best linear prediction, and both are normal.

    Args:
        noise: σ_i of each observed number; the numbers are N(0, 1).
        num_terms: M, the length of the sum.
    """
    share = sum(1 / (1 + s**2) for s in noise) / num_terms
    return float(0.5 + np.arcsin(np.sqrt(min(share, 1.0))) / np.pi)


@cache
def bilinear_from_one(num_classes: int, num_nodes: int = 200) -> float:
    """Return the limit for argmax_k x_1ᵀ W_k x_2 from x_1 alone, by quadrature.

    The W_k are of rank 2 with singular values 1 and singular vectors that are
    orthogonal across k. Given x_1, the K scores are independent N(0, r_k²), r_k being
    the length of x_1 in the plane of W_k: Rayleigh distributed. The best guess is the
    class of the largest r_k. By symmetry it is right with probability

        K P(class 1 has the largest r and the largest score r t)
        = K ∫ p(r) ∫ φ(t) G(r, t)^(K−1) dt dr,  G(r, t) = ∫_0^1 r p(r v) Φ(t / v) dv

    with p(r) = r exp(−r²/2) and φ the normal density. No sampling is involved.

    Args:
        num_classes: K.
        num_nodes: Gauss-Legendre nodes of each integral; with 200 the error is below
            1e-6.
    """
    from scipy.stats import norm

    nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
    v, by_v = (nodes + 1) / 2, weights / 2
    r, by_r = 9 * v, 9 * by_v
    # Two panels, as Φ(t / v) is steep around t = 0.
    t, by_t = np.concatenate([-r, r]), np.tile(by_r, 2)
    rv = np.outer(r, v)
    density = r[:, None] * rv * np.exp(-(rv**2) / 2) * by_v
    smaller = density @ norm.cdf(t / v[:, None])
    by_r = by_r * r * np.exp(-(r**2) / 2)
    by_t = by_t * norm.pdf(t)
    return float(num_classes * by_r @ smaller ** (num_classes - 1) @ by_t)
