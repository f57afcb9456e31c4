"""Print what `crystint.stills` is held to, and what it does: docs/validation.md, section "Still images".

    python benchmarks/validate_stills.py FOLDER [PART...]

FOLDER holds ``l_cysteine_wedge/`` (frames and DIALS's integration of them), ``l_cysteine_observations.npz`` and
``xfel_lysozyme/``. PART is any of formulas, prediction, integration, sweeps, xfel, simulated, weak, speed; all of them
take a quarter of an hour on one core, the first five half a minute. Simulated stills need no files. Settings are the
defaults unless a row says otherwise. Limits are those that other programs reach, or the best that counts allow, or
where data are always the same, 5 % from what was reached. Ends with 1 where one is missed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import crystint
from benchmarks.gates import Row, at_least, at_most, print_tables, told, within
from benchmarks.stills_formulas import formulas
from crystint.io.frames.sequence import open_frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_table import read_table
from crystint.model import symmetry
from crystint.model.observations import Flag, Observations
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import predict
from crystint.prediction.rays import project
from crystint.stills.inputs import read_reference
from crystint.stills.integration.amplitude import amplitudes
from crystint.stills.integration.amplitude_device import ProfileAmplitude
from crystint.stills.integration.integrate import integrate
from crystint.stills.integration.ring import ring_means
from crystint.stills.merging.merge import merge
from crystint.stills.scaling.rocking import fit_rocking
from crystint.stills.scaling.scale import scale
from crystint.stills.simulation.files import write_frames
from crystint.stills.simulation.noise import fitted_variance
from crystint.stills.simulation.simulate import Crystal, simulate_stills

ROOT = Path(__file__).resolve().parents[1]
Floats = NDArray[np.float64]
_BATCH = 50
"""frames of 0.1 degrees that are scaled as one image"""


def cc(one: Floats, other: Floats) -> float:
    """Correlation of what both have."""
    good = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[good], other[good])[0, 1])


# --- 1. prediction --------------------------------------------------------------------------------------------------


def prediction(folder: Path) -> Iterator[Row]:
    """Where and when DIALS predicts the reflections of the wedge."""
    path = folder / "l_cysteine_wedge" / "11_integrated.expt"
    experiment, table = read_expt(path), read_table(path.with_suffix(".refl"))
    rows = np.flatnonzero(table["flags"] & 256)
    hkl, place = table["miller_index"][rows].astype(np.float64), table["xyzcal.px"][rows]
    turn = settings_at(experiment.setting, place[:, 2])
    s0 = experiment.incident[0]
    ray = s0 + np.einsum("nij,nj->ni", turn, hkl)
    length = np.linalg.norm(ray, axis=1)
    excitation = np.abs(length - np.linalg.norm(s0))
    _, slow, fast = project(experiment.detectors[0], ray / length[:, None])
    away = np.hypot(fast - place[:, 0], slow - place[:, 1])
    yield told("reflections of the wedge", f"{len(rows)}")
    yield at_most("excitation error where DIALS says 0: median, 1/A", float(np.median(excitation)), 7e-8, ".1e")
    yield at_most("the same, largest, 1/A", float(excitation.max()), 3.5e-7, ".1e")
    yield at_most("distance to DIALS's place: median, px", float(np.median(away)), 2e-4, ".1e")
    yield at_most("the same, 99 % of them, px", float(np.quantile(away, 0.99)), 5e-4, ".1e")
    found = predict(experiment, 0.55, RockingWidth(1e-7), band=1.0)
    known = {(int(i), *h) for i, h in zip(found.image, found.hkl.tolist(), strict=True)}
    inside = (place[:, 2] >= 0) & (place[:, 2] < len(experiment))
    wanted = np.column_stack([np.floor(place[inside, 2]), hkl[inside]]).astype(int).tolist()
    missed = sum(tuple(row) not in known for row in wanted)
    yield at_most(f"of {len(wanted)} that cross the sphere in the wedge, not predicted on their frame", missed, 0, "d")


def settings_at(setting: Floats, z: Floats) -> Floats:
    """float64 [n, 3, 3]: settings at the array indices z; `setting` is those at the middles of frames."""
    near = np.clip(np.floor(z).astype(int), 0, len(setting) - 1)
    steps = Rotation.from_matrix(setting[1:] @ np.linalg.inv(setting[:-1])).as_rotvec()
    turn = Rotation.from_rotvec((z - 0.5 - near)[:, None] * steps.mean(axis=0))
    return np.asarray(turn.as_matrix() @ setting[near])


# --- 2. integration -------------------------------------------------------------------------------------------------


def integration(folder: Path) -> Iterator[Row]:
    """Frames of 0.1 degrees integrated as stills, summed over frames, against DIALS in three dimensions."""
    wedge = folder / "l_cysteine_wedge"
    experiment, table = read_expt(wedge / "11_integrated.expt"), read_table(wedge / "11_integrated.refl")
    frames = open_frames([wedge / f"l-cyst_01_{number:05d}.cbf.bz2" for number in range(1, 11)])[:]
    # exp(-(e d / R)^2) has sqrt(2) times the width of DIALS's profile model
    profile = json.loads((wedge / "11_integrated.expt").read_text())["profile"][0]
    width = RockingWidth(domain=5e-4, mosaicity=np.sqrt(2.0) * np.radians(profile["sigma_m"]))
    flags, theirs, partial = (table[name] for name in ("flags", "intensity.sum.value", "partiality"))
    row_of = {tuple(hkl): row for row, hkl in enumerate(table["miller_index"].tolist()) if flags[row] & 256}
    for method in ("combined", "profile", "sum"):
        seen = integrate(frames, experiment, width=width, band=2.5, method=method).observations
        row = np.array([row_of.get(tuple(hkl), -1) for hkl in seen.hkl.tolist()])
        ours = row >= 0
        total = np.bincount(row[ours], seen.intensity[ours], len(flags))
        spoilt = np.bincount(row[ours], (seen.flags[ours] & Flag.excluding()) > 0, len(flags)) > 0
        whole = (np.bincount(row[ours], minlength=len(flags)) > 0) & ~spoilt & (flags & 256 > 0)
        for kind, rows in (("all", whole), ("95 % inside", whole & (partial > 0.95))):
            x, y = theirs[rows], total[rows]
            name = f"{method}, {kind}, n = {len(x)}"
            yield at_least(f"{name}: CC", cc(x, y), 0.999, ".5f")
            yield at_most(f"{name}: R", float(np.abs(x - y).sum() / x.sum()), 0.034 if kind == "all" else 0.024)
            yield within(f"{name}: slope", float((x @ y) / (x @ x)), 0.975, 1.02)
        dark = (seen.partiality < 0.005) & seen.usable
        yield within(
            f"{method}: median counts of {dark.sum()} hardly excited", float(np.median(seen.intensity[dark])), -1, 1
        )


# --- 3. four sweeps of l-cysteine -----------------------------------------------------------------------------------


def sweeps(folder: Path) -> Iterator[Row]:
    """Observations that DIALS integrated, scaled in batches of 5 degrees."""
    group, cell = "P 21 21 21", (5.43, 8.14, 12.04, 90.0, 90.0, 90.0)
    with np.load(folder / "l_cysteine_observations.npz") as data:
        flags = data["flags"]
        use = (flags & (1 << 8) > 0) & (flags & (7 << 22) & ~(1 << 25) == 0) & (data["partiality"] > 0.4)
        get = {name: data[name][use] for name in data.files}
    frame = np.maximum(get["xyzcal_px"][:, 2], 0).astype(int)
    batch = np.unique(get["sweep"].astype(int) * 1000 + frame // _BATCH, return_inverse=True)[1]
    lp = get["dqe"] / get["lp"]
    table = Observations(
        batch, get["miller_index"], get["intensity_sum_value"], np.sqrt(get["intensity_sum_variance"]), d=get["d"],
        partiality=get["partiality"], correction=lp,
    )  # fmt: skip
    images = int(batch.max()) + 1
    theirs = table.replace(correction=lp * get["inverse_scale_factor"])
    unique, number = symmetry.groups(table.hkl, group)
    dials = merge(theirs, space_group=group, cell=cell, repeats=10)
    yield told("observations, reflections, batches", f"{len(table)}, {len(unique)}, {images}")
    yield within("ISa on DIALS's scales (DIALS: 18.86)", dials.error_model.isa, 18.0, 19.8, ".2f")
    yield told("R_meas on DIALS's scales", f"{dials.statistics.overall.r_meas:.4f}")
    scales = scale(table, images, space_group=group)
    ours = merge(table, scales, space_group=group, cell=cell, repeats=10)
    overall = ours.statistics.overall
    yield at_most("R_meas, all data", overall.r_meas, 0.039)
    yield at_least("CC1/2, halves by observation", overall.cc_half_observations, 0.999)
    yield at_least("CC1/2, halves by batch", overall.cc_half, 0.999)
    theirs_merged = matched(dials, ours.hkl)
    yield at_least("CC to DIALS's merged intensities", cc(ours.intensity, theirs_merged), 0.9994, ".5f")
    yield within("B of ours less DIALS's, A^2", relative_b(ours, theirs_merged), -0.15, 0.15)
    yield within("ISa", ours.error_model.isa, 19.9, 22.0, ".2f")
    half = np.random.default_rng(5).random(len(unique)) < 0.5
    for which, seen in (("one half", half[number]), ("the other half", ~half[number])):
        fitted = table.replace(flags=np.where(seen, 0, int(Flag.MASKED)).astype(np.uint32))
        held = scale(fitted, images, space_group=group)
        rest = merge(table.select(~seen), held, space_group=group, cell=cell).statistics.overall
        yield at_most(f"R_meas of {which} of the reflections, scales from the rest", rest.r_meas, 0.0435)


def relative_b(merged: Any, known: Floats) -> float:
    """B by which merged intensities fall off faster than others, from the strong half of them."""
    good = (known > np.nanmedian(known)) & (merged.intensity > 0.0)
    return -float(np.polyfit(0.25 / merged.d[good] ** 2, np.log(merged.intensity[good] / known[good]), 1)[0])


def matched(merged: Any, hkl: NDArray[np.int32]) -> Floats:
    """Intensities of `hkl` in a merged data set."""
    return np.asarray(merged.reference().match(hkl, merged.space_group))


# --- 4. XFEL lysozyme -----------------------------------------------------------------------------------------------


def xfel(folder: Path) -> Iterator[Row]:
    """Sums of strong spots of 300 stills, scaled to intensities of another crystal."""
    group = gemmi.SpaceGroup("P 43 21 2")
    with np.load(folder / "xfel_lysozyme" / "observations.npz") as data:
        image, hkl = data["image"], data["miller_index"]
        point = np.einsum("nij,nj->ni", data["A"][image], hkl)
        ray = data["s0"][image] + point
        intensity, sigma = data["intensity"], np.sqrt(data["variance"])
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    polarization = 1.0 - ray[:, 1] ** 2
    d = 1.0 / np.linalg.norm(point, axis=1)
    table = Observations(image, hkl, intensity, sigma, d=d, correction=polarization)
    reference = read_reference(folder / "xfel_lysozyme" / "hewl_reference.mtz")
    scales = scale(table, 300, space_group=group, reference=reference)
    options = {"space_group": group, "cell": reference.cell, "reference": reference, "repeats": 20}
    overall = merge(table, scales, **options).statistics.overall
    raw = merge(table, **options).statistics.overall
    yield told("observations, reflections", f"{overall.observations}, {overall.unique}")
    yield at_least("CC1/2, halves by observation", overall.cc_half_observations, 0.42)
    yield at_least("CC1/2, halves by image", overall.cc_half, 0.40)
    yield at_least("CC to the reference", overall.cc_reference, 0.67)
    yield told("the same of unscaled data: CC1/2, CC", f"{raw.cc_half_observations:.3f}, {raw.cc_reference:.3f}")
    number = symmetry.groups(hkl, group)[1]
    scaled, error = scales.apply(table)
    mean = np.bincount(number, scaled) / np.bincount(number)
    for _ in range(3):
        mean = weighted(number, scaled, np.hypot(error, 0.5 * np.maximum(mean, 0.0)[number]))
    known = np.full(len(mean), np.nan)
    known[number] = reference.match(hkl, group)
    right = cc(mean, known)
    wrong = cc(weighted(number, scaled, np.hypot(error, 0.5 * scaled)), known)
    yield told("CC, weights from expected and from observed counts", f"{right:.3f}, {wrong:.3f}")
    yield at_least("what weights from observed counts lose", right - wrong, 0.2, ".3f")


def weighted(number: NDArray[Any], intensity: Floats, sigma: Floats) -> Floats:
    """Weighted means of groups."""
    weight = sigma**-2.0
    return np.bincount(number, weight * intensity) / np.bincount(number, weight)


# --- 5. simulated stills --------------------------------------------------------------------------------------------


def simulated(_: Path) -> Iterator[Row]:
    """120 frames of 2527 x 2463 pixels with known truth, from the pixels on; nothing beyond 2 A."""
    data = simulate_stills(120, crystal=Crystal(dead_below=2.0), seed=1)
    truth, group, cell = data.listed, data.settings.crystal.group, data.settings.crystal.cell
    with tempfile.TemporaryDirectory() as made:
        path, beside = write_frames(data, Path(made) / "frames.h5")
        images = read_expt(beside)
        run = {"d_min": 1.7, "width": RockingWidth(1e-3)}
        exact, permuted = data.reference(), data.reference(permuted=True)
        frames = open_frames(path)
        table = integrate(frames, images, reference=exact, **run).observations
        plain = integrate(frames, images, **run).observations
        fooled = integrate(frames, images, reference=permuted, **run).observations
        frames.close()
    yield told("observations, reflections", f"{len(table)}, {len(exact)}")
    variance = fitted_variance(truth.signal, truth.background, truth.spot_pixels, data.settings.ring_pixels)
    best_g, best_b = bounds(truth.image, truth.d, truth.signal, variance, len(images))
    for name, seen in (("variances from the reference", table), ("variances from the data", plain)):
        found = scale(seen, images, space_group=group, reference=exact)
        error_g, error_b = found.ln_g - data.ln_g, found.b - data.b
        root = np.sqrt(len(images))
        yield within(
            f"{name}: mean error of ln G, in its errors", error_g.mean() / (error_g.std() / root), -3, 3, ".1f"
        )
        yield told("the mean error itself", f"{error_g.mean():+.5f}")
        yield at_most("sd of ln G over the Cramer-Rao bound", error_g.std() / rms(best_g), 1.2, ".3f")
        yield told("sd of ln G, and the bound", f"{error_g.std():.5f}, {rms(best_g):.5f}")
        yield within("mean error of B, in its errors", error_b.mean() / (error_b.std() / root), -3, 3, ".1f")
        yield told(
            "the mean itself, sd and bound of B, A^2", f"{error_b.mean():+.3f}, {error_b.std():.3f}, {rms(best_b):.3f}"
        )
    found = scale(table, images, space_group=group, reference=exact)
    merged = merge(table, found, space_group=group, cell=cell, d_min=1.7)
    yield from against_truth(data, variance, merged)
    alone = scale(plain, images, space_group=group)
    self_made = merge(plain, alone, space_group=group, cell=cell, d_min=1.7)
    dead = self_made.d < 2.0
    yield within(
        "without any reference: mean I/sigma beyond 2 A",
        float(np.mean(self_made.intensity[dead] / self_made.sigma[dead])), -0.2, 0.2, "+.3f",
    )  # fmt: skip
    for start in (0.7e-3, 1.5e-3):
        fit = fit_rocking(table, images, reference=exact, space_group=group, start=RockingWidth(start))
        for d in (6.0, 2.2):
            ratio = float(fit.width.at(d, 1.0)) / 1e-3
            yield within(f"R0 at {d:g} A over the truth, started at {1e3 * start:g}e-3", ratio, 0.95, 1.05, ".4f")
    wrong = scale(fooled, images, space_group=group, reference=permuted)
    yield from fooled_by(data, merged, merge(fooled, wrong, space_group=group, cell=cell, d_min=1.7))


def weak(_: Path) -> Iterator[Row]:
    """60 frames of crystals that scatter a seventh as much, on backgrounds high and low."""
    for background in (16.0, 4.0, 0.05):
        data = simulate_stills(60, crystal=Crystal(intensity=300.0, dead_below=2.0), background=background, seed=2)
        truth, group = data.listed, data.settings.crystal.group
        with tempfile.TemporaryDirectory() as made:
            path, beside = write_frames(data, Path(made) / "frames.h5")
            images = read_expt(beside)
            with open_frames(path) as frames:
                table = integrate(frames, images, d_min=1.7, width=RockingWidth(1e-3)).observations
        variance = fitted_variance(truth.signal, truth.background, truth.spot_pixels, data.settings.ring_pixels)
        bound = bounds(truth.image, truth.d, truth.signal, variance, len(images))
        found = scale(table, images, space_group=group, reference=data.reference())
        yield told("**background, counts per pixel**", f"{background:g}")
        for name, error, best in (("ln G", found.ln_g - data.ln_g, bound[0]), ("B", found.b - data.b, bound[1])):
            mean = error.mean() / (error.std() / np.sqrt(len(images)))
            yield within(f"mean error of {name}, in its errors", mean, -3, 3, ".1f")
            yield at_most(f"sd of {name} over the bound, {rms(best):.4f}", error.std() / rms(best), 1.2, ".3f")
        merged = merge(table, found, space_group=group, cell=data.settings.crystal.cell, d_min=1.7)
        yield from against_truth(data, variance, merged, 4)


def rms(values: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def bounds(image: NDArray[Any], d: Floats, signal: Floats, variance: Floats, images: int) -> tuple[Floats, Floats]:
    """Cramer-Rao bounds of ln G and B of each image, the intensities known."""
    slope = np.stack([signal, -signal / (4.0 * d**2)])
    square = [np.bincount(image, slope[i] * slope[j] / variance, images) for i, j in ((0, 0), (0, 1), (1, 1))]
    determinant = square[0] * square[2] - square[1] ** 2
    return np.sqrt(square[2] / determinant), np.sqrt(square[0] / determinant)


def truth_of(data: Any, merged: Any) -> Floats:
    """True intensities of merged reflections."""
    return np.asarray(data.reference().match(merged.hkl, data.settings.crystal.group))


def against_truth(data: Any, variance: Floats, merged: Any, shells: int = 8) -> Iterator[Row]:
    """Correlation to the truth per shell against what the variances allow, and shells without a signal."""
    truth, group = data.listed, data.settings.crystal.group
    known = truth_of(data, merged)
    use = truth.partiality >= 0.3
    factor = truth.signal[use] / np.where(truth.true_intensity[use] > 0.0, truth.true_intensity[use], np.nan)
    weight = np.where(np.isfinite(factor), factor**2 / variance[use], 0.0)
    hkl, number = symmetry.groups(truth.hkl[use], group)
    best = np.bincount(number, weight)
    place = {tuple(row): i for i, row in enumerate(hkl.tolist())}
    at = np.array([place.get(tuple(row), -1) for row in merged.hkl.tolist()])
    with np.errstate(divide="ignore"):
        sigma = np.where(at >= 0, 1.0 / np.sqrt(best[at]), np.inf)
    rng = np.random.default_rng(0)
    edges = np.cbrt(1.0 / np.linspace(1.0 / 50.0**3, 1.0 / 2.0**3, shells + 1))
    for high, low in pairwise(edges):
        rows = (merged.d <= high) & (merged.d > max(low, 2.001)) & np.isfinite(sigma)
        ideal = [cc(known[rows], known[rows] + sigma[rows] * rng.normal(size=rows.sum())) for _ in range(50)]
        best, spread = float(np.mean(ideal)), float(np.std(ideal))
        found = cc(known[rows], merged.intensity[rows])
        what = f"CC to the truth, {high:.2f} to {low:.2f} A ({best:.4f} +- {spread:.4f} is best)"
        yield at_least(what, found, round(0.99 * best - 2.0 * spread, 4))
    dead = merged.d < 2.0
    for high, low in ((2.0, 1.84), (1.84, 1.7)):
        rows = (merged.d < high) & (merged.d >= low)
        mean = float(np.mean(merged.intensity[rows] / merged.sigma[rows]))
        yield within(f"mean I/sigma where nothing is, {high:g} to {low:g} A, n = {rows.sum()}", mean, -0.2, 0.2, "+.3f")
    spread = float(np.std(merged.intensity[dead] / merged.sigma[dead]))
    yield told("sd of I/sigma where nothing is (sigma has the shot noise of the mean itself)", f"{spread:.3f}")


def fooled_by(data: Any, right: Any, wrong: Any) -> Iterator[Row]:
    """What merging says of data scaled, and given variances, by a permuted reference."""
    live = [one.d > 2.001 for one in (right, wrong)]
    levels = [
        float(np.mean(one.intensity[rows] / one.sigma[rows])) for one, rows in zip((right, wrong), live, strict=True)
    ]
    yield told("mean I/sigma to 2 A: exact reference, permuted reference", f"{levels[0]:.1f}, {levels[1]:.1f}")
    yield at_most("their ratio", levels[1] / levels[0], 1.0, ".2f")
    known, value, sigma = truth_of(data, wrong)[live[1]], wrong.intensity[live[1]], wrong.sigma[live[1]]
    away = (value - fitted_scale(known, value, wrong.d[live[1]]) * known) / sigma
    name = "permuted: (I - truth) / sigma, overall scale and B fitted: median / 0.674"
    yield within(name, float(np.median(np.abs(away)) / 0.6745), 0.0, 1.2, ".2f")
    model = wrong.error_model
    yield told("permuted: error model", f"a {model.a:.2f}, b {model.b:.3f}, ISa {model.isa:.1f}")
    dead = wrong.d < 2.0
    mean = float(np.mean(wrong.intensity[dead] / wrong.sigma[dead]))
    yield within("permuted: mean I/sigma where nothing is", mean, -0.2, 0.2, "+.3f")
    yield told("permuted: CC to the truth, CC1/2", f"{cc(known, value):.4f}, {wrong.statistics.overall.cc_half:.4f}")


def fitted_scale(known: Floats, value: Floats, d: Floats) -> Floats:
    """k exp(-B / 4 d^2) that makes known intensities most like others; of a reference, these two mean nothing."""
    strong = value > np.quantile(value, 0.5)

    def off(x: Floats) -> Floats:
        return np.log(value[strong]) - np.log(known[strong]) - x[0] + 0.25 * x[1] / d[strong] ** 2

    k, b = least_squares(off, [0.0, 0.0], loss="soft_l1", f_scale=0.1).x
    return np.asarray(np.exp(k - 0.25 * b / d**2))


# --- 6. speed -------------------------------------------------------------------------------------------------------


def speed(_: Path) -> Iterator[Row]:
    """Amplitudes of boxes, and scaling of 5000 images in a process of its own."""
    n, side = 100_000, 13
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side // 2
    square = (y**2 + x**2).ravel()[None, :] / rng.uniform(1.5, 2.2, n)[:, None] ** 2
    profile = np.exp(-square)
    profile /= profile.sum(axis=1)[:, None]
    counts = rng.poisson(1.0 + rng.exponential(300.0, n)[:, None] * profile).astype(np.int32)
    mean, pixels = ring_means(counts, square > 9.0)
    core = np.where(square < 6.25, profile, 0.0)
    least = 1e6 / n * best_of(5, lambda: amplitudes(counts, core, mean, pixels))
    yield at_most("amplitudes, NumPy, one thread: us per 13 x 13 box", least, 4.0, ".2f")
    try:
        engine = crystint.Engine()
    except crystint.CrystintError as error:
        yield told("amplitudes, OpenCL", str(error))
    else:
        run = ProfileAmplitude(engine).run
        arrays = counts.astype(np.float32), core.astype(np.float32), mean, pixels
        yield told(
            f"the same, OpenCL on {engine.device.name}, transfers in",
            f"{1e6 / n * best_of(5, lambda: run(*arrays)):.2f}",
        )
        a, b = amplitudes(counts, core, mean, pixels), run(*arrays)
        off = np.abs(a.intensity - b.intensity) / np.maximum(np.abs(a.intensity), np.sqrt(a.variance))
        yield at_most("largest difference of the two, over the larger of J and sigma", float(off.max()), 1e-5, ".1e")
    yield from scaling_speed()


def best_of(times: int, function: Callable[[], Any]) -> float:
    """Shortest time of a few, seconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def scaling_speed() -> Iterator[Row]:
    """2.5 million observations of 5000 simulated images."""
    with tempfile.TemporaryDirectory() as made:
        for part in ("simulate", "reference", "free"):
            done = subprocess.run(
                [sys.executable, __file__, "--scaling", made, part], check=True, capture_output=True, text=True
            )
            if part == "simulate":
                yield told("observations, images, reflections", done.stdout.strip())
                continue
            seconds, memory, off = map(float, done.stdout.split())
            name = {"reference": "to a reference", "free": "to one another"}[part]
            yield at_most(f"scaling {name}: s", seconds, 5.0, ".2f")
            yield at_most("peak memory of that process, observations in, GB", memory, 2.0, ".2f")
            yield told("sd of ln G about the truth", f"{off:.5f}")


def scaling_process(folder: Path, part: str) -> None:
    """One of the processes of `scaling_speed`."""
    path, group = folder / "observations.npz", "P 21 21 21"
    if part == "simulate":
        data = simulate_stills(5000, d_min=2.65, seed=1)
        table, reference = data.observations(), data.reference()
        names = ("image", "hkl", "intensity", "sigma", "d", "partiality", "correction", "background_variance")
        np.savez(
            path, **{name: getattr(table, name) for name in names}, ln_g=data.ln_g,
            known=reference.match(table.hkl, data.settings.crystal.group),
        )  # fmt: skip
        print(f"{len(table)}, 5000, {len(reference)}")
        return
    with np.load(path) as data:
        columns = dict(data)
    known, ln_g = columns.pop("known"), columns.pop("ln_g")
    table = Observations(**columns)
    start = time.perf_counter()
    found = scale(table, 5000, space_group=group, reference=Known(known) if part == "reference" else None)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(seconds, memory, np.nanstd(found.ln_g - ln_g))


class Known:
    """A reference that is looked up already: one value per row."""

    def __init__(self, values: Floats) -> None:
        self.values = values

    def match(self, _: NDArray[np.int32], __: gemmi.SpaceGroup) -> Floats:
        """What it was made of."""
        return self.values


PARTS: dict[str, tuple[str, Callable[[Path], Iterator[Row]]]] = {
    "formulas": ("Formulas, one by one, on small simulated stills", formulas),
    "prediction": ("Prediction: l-cysteine wedge against DIALS", prediction),
    "integration": ("Integration: the frames of the wedge against DIALS's integration", integration),
    "sweeps": ("Scaling and merging: four sweeps of l-cysteine", sweeps),
    "xfel": ("Scaling and merging: 300 XFEL stills of lysozyme", xfel),
    "simulated": ("Simulated stills, from pixels to merged intensities", simulated),
    "weak": ("Weak simulated stills", weak),
    "speed": ("Speed", speed),
}


def main(arguments: list[str]) -> int:
    """Print all tables, or those that are named; 1 = something was missed."""
    if arguments[:1] == ["--scaling"]:
        scaling_process(Path(arguments[1]), arguments[2])
        return 0
    folder, *names = arguments or [str(ROOT.parent / "shared" / "data" / "stills")]
    print(f"crystint {crystint.__version__}, numpy {np.__version__}, gemmi {gemmi.__version__}")
    parts = {name: (title, partial(rows, Path(folder))) for name, (title, rows) in PARTS.items()}
    return int(print_tables(parts, names) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
