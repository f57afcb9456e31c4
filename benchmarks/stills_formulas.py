"""Each formula of still images against a simulation that shares no code with it: limits that see 10 % in any of them.

40 small frames with everything that the model knows: mosaicity, growing spots, polarization, a thin sensor, large
spreads of ln G and B. A deviate is (measured - true) / its own standard deviation. A mean of n deviates is wrong by
less than 4 / sqrt(n); limits that are not of that kind are twice what the formulas reach.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gates import Row, at_most, told, within
from crystint.io.frames.sequence import open_frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.prediction.partiality import RockingWidth
from crystint.stills.integration.first_width import first_width
from crystint.stills.integration.integrate import integrate
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.rocking import fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.noise import fitted_variance
from crystint.stills.simulation.simulate import Crystal, simulate_stills

__all__ = ["formulas"]

Floats = NDArray[np.float64]
_EXPECTED = {
    ("sum", "weak"): (0.98, 1.02), ("profile", "weak"): (0.88, 0.94), ("combined", "weak"): (0.89, 0.95),
    ("sum", "strong"): (0.98, 1.02), ("profile", "strong"): (0.98, 1.02), ("combined", "strong"): (1.0, 1.06),
}  # fmt: skip
"""Limits of the expected variance over that of the best fit: that of a faint spot is up to 11 % below it (`expected`),
and combined amplitudes lie between a fit and a sum."""
_WIDTH = RockingWidth(domain=8e-4, mosaicity=1.5e-3, bandwidth=1e-3)


def formulas(_: Path | None = None) -> Iterator[Row]:
    """From pixels to merged intensities."""
    data = simulate_stills(
        40, crystal=Crystal(intensity=3000.0, dead_below=2.3), d_min=2.1, shape=(900, 920), distance=0.12,
        domain=_WIDTH.domain, mosaicity=_WIDTH.mosaicity, bandwidth=_WIDTH.bandwidth, spot=2e-3, spot_growth=1.5e-3,
        polarization_fraction=0.8, thickness=450e-6, attenuation=1000.0, spread_ln_g=0.7, spread_b=8.0, seed=5,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        path, beside = write_frames(data, Path(made) / "frames.h5")
        images = read_expt(beside)
        with open_frames(path) as frames:
            start = first_width(frames, images, d_min=2.1, bandwidth=_WIDTH.bandwidth)
            results = {
                method: integrate(frames, images, d_min=2.1, width=_WIDTH, method=method)
                for method in ("combined", "profile", "sum")
            }
    yield within("first width over the truth, at 3 A", float(start.at(3.0, 1.0) / _WIDTH.at(3.0, 1.0)), 0.9, 1.1)
    table = results["combined"].observations
    truth, seen = common(data.listed, table)
    yield told("reflections", f"{len(data.listed)}")
    yield at_most("of these, not predicted", float(len(data.listed) - len(truth)), 3, ".0f")
    yield at_most("predicted, but none of these", float(len(table) - len(truth)), 3, ".0f")
    yield from factors(truth, seen)
    yield from profiles(data, results["combined"].profile)
    for method, result in results.items():
        yield from amplitudes(*common(data.listed, result.observations), method)
    yield from scales(data, images, table)
    yield from merged(data, images, table)


def common(listed: Any, table: Any) -> tuple[Any, Any]:
    """What is in both, the truth and the observations of it, in one order."""
    row = {(int(image), *hkl): number for number, (image, hkl) in enumerate(zip(listed.image, listed.hkl.tolist()))}
    at = np.array([row.get((int(image), *hkl), -1) for image, hkl in zip(table.image, table.hkl.tolist())])
    return listed.select(at[at >= 0]), table.select(at >= 0)


def factors(truth: Any, table: Any) -> Iterator[Row]:
    """What is computed, not measured."""
    for name, value, known in (
        ("polarization times efficiency", table.correction, truth.polarization * truth.efficiency),
        ("partiality", table.partiality, truth.partiality),
    ):
        yield at_most(f"{name}: largest error", float(np.abs(value - known).max()), 1e-6, ".1e")
    away = float(np.hypot(table.slow - truth.slow, table.fast - truth.fast).max())
    yield at_most("places: largest error, px", away, 1e-3, ".1e")
    ratio = table.background / truth.background
    yield within("background over the truth, mean", float(ratio[table.usable].mean()), 0.99, 1.01, ".4f")


def profiles(data: Any, profile: Any) -> Iterator[Row]:
    """Widths of the spots."""
    d = np.array([4.0, 2.5])
    for name, width in (("radial", profile.at(d)[0]), ("tangential", profile.at(d)[1])):
        for one, ratio in zip(d, width / data.settings.spot_width(d), strict=True):
            yield within(f"R1 over the truth, {name}, {one:g} A", float(ratio), 0.95, 1.05)


def amplitudes(truth: Any, table: Any, method: str) -> Iterator[Row]:
    """Counts of reflections, and their errors, by how strong they are and where."""
    good, ring = table.usable, 100.0
    variance = fitted_variance(truth.signal, truth.background, truth.spot_pixels, ring)
    if method == "sum":
        variance = table.background_variance + truth.signal
    deviate = (table.intensity - truth.signal) / np.sqrt(variance)
    expected = truth.signal / np.sqrt(table.background_variance)
    weak, strong = good & (expected < 1.0), good & (expected > 20.0)
    limit = 4.0 / np.sqrt(np.count_nonzero(weak))
    yield within(f"{method}: mean deviate of weak ones", float(deviate[weak].mean()), -limit, limit, "+.4f")
    yield within(f"{method}: rms deviate of {np.count_nonzero(weak)} weak ones", rms(deviate[weak]), 0.96, 1.04)
    yield within(f"{method}: rms deviate of {np.count_nonzero(strong)} strong ones", rms(deviate[strong]), 0.95, 1.05)
    ratio = float(np.mean(table.sigma[strong] ** 2 / variance[strong]))
    yield within(f"{method}: sigma^2 of strong ones over what counts allow", ratio, 0.97, 1.04)
    model = SignalVariance.of(table).expected(truth.signal) / variance
    for name, rows in (("weak", weak), ("strong", strong)):
        yield within(
            f"{method}: expected variance over the same, {name}", float(model[rows].mean()), *_EXPECTED[method, name]
        )
    parts = {
        "d > 4 A": truth.d > 4.0, "d < 3 A": truth.d < 3.0, "partiality > 0.7": truth.partiality > 0.7,
        "partiality < 0.4": truth.partiality < 0.4, "along the field": np.abs(truth.ray[:, 0]) > 0.25,
        "across it": np.abs(truth.ray[:, 1]) > 0.25,
    }  # fmt: skip
    for name, part in parts.items():
        rows = strong & part
        ratio = float(table.intensity[rows].sum() / truth.signal[rows].sum())
        yield within(f"{method}: counts over the truth, strong, {name}", ratio, 0.99, 1.01, ".4f")


def scales(data: Any, images: Any, table: Any) -> Iterator[Row]:
    """ln G and B against the truth, to a reference and without one; the width with both."""
    group = data.settings.crystal.group
    for how, reference in (("to the truth", data.reference()), ("to one another", None)):
        found = scale(table, images, space_group=group, reference=reference)
        sigma = np.sqrt(found.covariance[:, (0, 1), (0, 1)])
        for number, (name, value, known) in enumerate((("ln G", found.ln_g, data.ln_g), ("B", found.b, data.b))):
            shift = 0.0 if reference is not None else float(known.mean())
            error = value - known + shift
            slope = float(np.polyfit(known, value, 1)[0])
            yield within(f"{how}: {name}, slope on the truth", slope, 0.98, 1.02, ".4f")
            yield within(f"{how}: {name}, mean error in its errors", mean_in_errors(error), -4, 4, "+.1f")
            yield within(f"{how}: {name}, rms deviate", rms(error / sigma[:, number]), 0.75, 1.3)
    fit = fit_rocking(table, images, reference=data.reference(), space_group=group, start=RockingWidth(2e-3, 0.0, 1e-3))
    for d in (6.0, 2.4):
        yield within(f"R0 over the truth at {d:g} A", float(fit.width.at(d, 1.0) / _WIDTH.at(d, 1.0)), 0.98, 1.02)


def merged(data: Any, images: Any, table: Any) -> Iterator[Row]:
    """Merged intensities and their errors."""
    group, cell = data.settings.crystal.group, data.settings.crystal.cell
    found = scale(table, images, space_group=group, reference=data.reference())
    result = merge(table, found, space_group=group, cell=cell)
    known = data.reference().match(result.hkl, group)
    live = known > 0.0
    overall = result.statistics.overall
    yield at_most("R_meas", overall.r_meas, 0.055)
    yield within("chi^2 of equivalents", overall.reduced_chi2, 0.95, 1.05)
    yield within("error model: a", result.error_model.a, 0.93, 1.07)
    yield at_most("error model: b", result.error_model.b, 0.02)
    deviate = (result.intensity - known) / result.sigma
    yield within("merged: rms deviate", rms(deviate[live]), 0.95, 1.05)
    yield within("merged: within one sigma (0.683)", float(np.mean(np.abs(deviate[live]) < 1.0)), 0.66, 0.70)
    for name, part in (("d > 4 A", result.d > 4.0), ("d < 3 A", result.d < 3.0)):
        rows = live & part
        ratio = float(result.intensity[rows].sum() / known[rows].sum())
        yield within(f"merged: intensities over the truth, {name}", ratio, 0.99, 1.01, ".4f")
    weak = live & (known < np.median(known[live]))
    yield within("merged: mean deviate of the weak half", float(deviate[weak].mean()), -0.1, 0.1, "+.3f")
    good = live & np.isfinite(result.intensity)
    cc = float(np.corrcoef(known[good], result.intensity[good])[0, 1])
    yield within("CC* (of CC1/2) less CC to the truth", overall.cc_star - cc, -0.002, 0.002, "+.4f")


def mean_in_errors(error: Floats) -> float:
    """Mean over its standard deviation."""
    return float(error.mean() / (error.std() / np.sqrt(len(error))))


def rms(values: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    import sys

    from benchmarks.gates import print_tables

    sys.exit(bool(print_tables({"formulas": ("Formulas", formulas)})))
