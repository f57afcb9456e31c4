"""Print whether the uncertainties of `crystint.cbc` are what they say, over simulated data: the figures of docs/cbc.md.

    python benchmarks/validate_cbc.py [SETS [PART...]]

SETS is 200 unless given; PART is any of default, optimum, wide, weak, crowded, offset, bootstrap. Every set has a
crystal, maps and counts of its own (`simulate_cbc`, 4 frames). Deviations are of log |q|^2 from the truth, both less
their weighted means, for the common scale is arbitrary; all reflections count, the faintest too. With all parts and 200
sets it takes half an hour on one core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.merging.uncertainty import Uncertainty, uncertainty
from crystint.cbc.scaling.bandwidth import UNDERSMOOTHING, choose_bandwidth
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_cbc

Floats = NDArray[np.float64]
_WANTED = (0.63, 0.73)
_PARTS: dict[str, tuple[float, dict[str, Any]]] = {
    "default": (1.0, {}),
    "optimum": (1.0 / UNDERSMOOTHING, {}),
    "wide": (2.0 / UNDERSMOOTHING, {}),
    "weak": (1.0, {"intensity": 12.0}),
    "crowded": (1.0, {"crowding": 3.0}),
    "offset": (1.0, {"intercept": 5.0}),
}
"""What the bandwidth that is chosen (by a set of its own) is multiplied by, and settings of the simulation."""


@dataclass
class Set:
    """One data set; H reflections."""

    deviation: Floats
    sigma: Floats
    sigma_known: Floats
    bias: Floats

    def covered(self, shift: float = 0.0, within: float = 1.0) -> Floats:
        """Whether each deviation, less the bias times `shift`, is within so many sigmas."""
        known = np.isfinite(self.sigma)
        return np.abs(self.deviation - shift * self.bias)[known] < within * self.sigma[known]


def fitted(data: CBCSimulation, bandwidth: float, offset: bool) -> tuple[IntensityScaler, Floats, Uncertainty]:
    """The default training, and its uncertainties."""
    scaler, x = IntensityScaler.of(data.table).merge_hkl("mmm").train(bandwidth, fit_intercept=offset)
    return scaler, x, of(scaler, x, offset)


def of(scaler: IntensityScaler, x: Floats, offset: bool) -> Uncertainty:
    b = x[: scaler.layout.n_streaks] if offset else None
    return uncertainty(scaler.layout, scaler.xtal, np.nan_to_num(scaler.q2(x)), scaler.bandwidth, intercepts=b)


def sets(count: int, factor: float, settings: dict[str, Any]) -> Iterator[tuple[float, Set]]:
    """Bandwidth and each set."""
    offset = settings.get("intercept", 0.0) > 0.0
    first = IntensityScaler.of(simulate_cbc(4, seed=0, **settings).table).merge_hkl("mmm")
    bandwidth = factor * float(choose_bandwidth(first, folds=3, n_iter=10, fit_intercept=offset))
    for seed in range(count):
        data = simulate_cbc(4, seed=1000 + seed, **settings)
        scaler, x, found = fitted(data, bandwidth, offset)
        assert np.array_equal(scaler.layout.reflection_hkl, data.truth.hkl)
        deviation = found.relative(x[scaler.layout.n_streaks :] - np.log(data.truth.q2))
        yield bandwidth, Set(deviation, found.sigma, found.sigma_known, found.bias)


def coverage(name: str, count: int) -> None:
    """A row of the table."""
    factor, settings = _PARTS[name]
    begin = time.perf_counter()
    bandwidths, found = zip(*sets(count, factor, settings))
    shares = np.array([each.covered().mean() for each in found])
    all_of = {
        "1 sigma": np.concatenate([each.covered() for each in found]).mean(),
        "2 sigma": np.concatenate([each.covered(within=2.0) for each in found]).mean(),
        "less bias": np.concatenate([each.covered(1.0) for each in found]).mean(),
        "chi known": np.concatenate([replace(each, sigma=each.sigma_known).covered() for each in found]).mean(),
    }
    size = np.median(np.concatenate([np.abs(each.bias / each.sigma) for each in found]))
    met = "met" if _WANTED[0] <= all_of["1 sigma"] <= _WANTED[1] else "NOT met"
    print(
        f"| {name} | {bandwidths[0]:.2e} | {len(found)} | {sum(len(each.sigma) for each in found)} |"
        f" {all_of['1 sigma']:.3f} +- {shares.std(ddof=1) / np.sqrt(len(shares)):.3f} | {all_of['2 sigma']:.3f} |"
        f" {all_of['less bias']:.3f} | {all_of['chi known']:.3f} | {size:.2f} | {met} |"
        f" {time.perf_counter() - begin:.0f} s |",
        flush=True,
    )


def bootstrap(count: int) -> None:
    """Sigmas of one fit beside the spread of fits to counts drawn from what it expects."""
    data = simulate_cbc(4, seed=1000)
    first = IntensityScaler.of(data.table).merge_hkl("mmm")
    bandwidth = float(choose_bandwidth(first, folds=3, n_iter=10))
    scaler, x, found = fitted(data, bandwidth, False)
    layout, rng, logs = scaler.layout, np.random.default_rng(1), []
    signal = scaler.model(x)[0] * scaler.xtal_bi * layout.profile
    expected = layout.background + np.bincount(layout.pixel, signal, layout.n_pixels)
    for _ in range(count):
        counts = rng.poisson(expected).astype(np.float64)
        again = first.replace(layout=replace(layout, counts=counts))
        logs.append(found.relative(again.train(bandwidth)[1][layout.n_streaks :]))
    spread, shift = np.std(logs, axis=0, ddof=1), np.mean(logs, axis=0) - found.relative(x[layout.n_streaks :])
    good = found.sigma < 0.2
    ratio, (slope, _) = spread[good] / found.sigma[good], np.polyfit(found.bias[good], shift[good], 1)
    print(f"\nparametric bootstrap, {count} fits, {int(good.sum())} reflections with sigma below 0.2:")
    print(
        f"spread / sigma: median {np.median(ratio):.3f}, 10 % below {np.quantile(ratio, 0.1):.3f}, 10 % above", end=" "
    )
    print(f"{np.quantile(ratio, 0.9):.3f} (sampling alone: +-{1.28 / np.sqrt(2 * count):.3f})")
    print(f"shift against bias: correlation {np.corrcoef(found.bias[good], shift[good])[0, 1]:.3f}, slope {slope:.2f}")


def main(arguments: list[str]) -> None:
    """Run the parts."""
    count = int(arguments[0]) if arguments else 200
    parts = arguments[1:] or [*_PARTS, "bootstrap"]
    if set(parts) - {*_PARTS, "bootstrap"}:
        raise SystemExit(__doc__)
    print(f"wanted: within 1 sigma {_WANTED[0]:.0%} to {_WANTED[1]:.0%}\n")
    print(
        "| data | bandwidth | sets | reflections | within 1 sigma | 2 sigma | less bias | chi known | bias/sigma | | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for part in parts:
        if part == "bootstrap":
            bootstrap(max(count // 2, 2))
        else:
            coverage(part, count)


if __name__ == "__main__":
    main(sys.argv[1:])
