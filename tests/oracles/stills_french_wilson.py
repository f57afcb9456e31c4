"""French & Wilson's posterior moments by adaptive quadrature over the true intensity. Knows nothing of the package."""

import math
from itertools import pairwise

from scipy.integrate import quad


def moments(intensity, sigma, expected, centric):
    """Mean and standard deviation of the amplitude and of the intensity."""

    def log_density(j):
        prior = -j / (2 * expected) - 0.5 * math.log(j) if centric else -j / expected
        return prior - 0.5 * ((intensity - j) / sigma) ** 2

    # where the density lives: about the Gaussian's maximum, or within some scale lengths of 0
    peak = max(intensity - sigma**2 / (expected * (2 if centric else 1)), 0.0)
    slope = max(1 / (expected * (2 if centric else 1)) - intensity / sigma**2, 1e-300)
    high = peak + 12 * sigma if peak > 0 else min(40 / slope, 12 * sigma)
    low = max(peak - 12 * sigma, 0.0)
    top = log_density(max(peak, high * 1e-12))

    def integral(power):
        # j = high u^2 takes the root out of the centric prior
        def f(u):
            j = low + (high - low) * u * u
            return j**power * math.exp(log_density(j) - top) * 2 * u if j > 0 else 0.0

        at = math.sqrt(max(peak - low, 0) / (high - low))
        points = sorted({0.0, max(at - 0.1, 0.0), at, min(at + 0.1, 1.0), 1.0})
        return math.fsum(quad(f, a, b, epsabs=0, epsrel=1e-11, limit=400)[0] for a, b in pairwise(points))

    total = integral(0)
    f, j, jj = integral(0.5) / total, integral(1) / total, integral(2) / total
    return f, math.sqrt(j - f * f), j, math.sqrt(jj - j * j)
