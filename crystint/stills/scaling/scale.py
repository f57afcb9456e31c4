"""Term 1: scale and temperature factor of each image, against a reference or against the other images.

For each image, over ln G and B,

    sum rho((J - y) / sigma_J) + ((ln G - m) / prior_ln_g)^2 + ((B - m_B) / prior_b)^2,   y = G exp(-B / 4 d^2) p c I

with rho of Huber, sigma_J^2 the variance expected of y (`expected`), m and m_B the means over all images (0 without a
reference). An image with a beam monitor has ((ln G - ln monitor - c) / prior_monitor)^2 in place of the second term,
the constant c being fitted; images without one then lie about the mean of ln monitor + c. The priors do not depend on
the number of reflections, so that they bias nothing that is measured. All images step at once: Gauss-Newton with 2 x 2
normal equations, weights and variances renewed at every step.

Without a reference I is the weighted mean of the scaled observations of its reflection, renewed at every step too.

Images whose G is not significantly above 0 (`signal`) have no scale: they are looked for before the fit, with the mean
intensities by resolution or those of the reference, and in it, with the fitted B and the means of the other images.
"""

from __future__ import annotations

from typing import Protocol

import gemmi
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.model.cells import symmetric_cell
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag, Observations
from crystint.model.symmetry import as_space_group, groups
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.fit import ScalingFit
from crystint.stills.scaling.monitor import values_of_monitor
from crystint.stills.scaling.options import ScalingOptions
from crystint.stills.scaling.scales import Scales
from crystint.stills.scaling.signal import SIGNIFICANT, levels, no_signal, significance
from crystint.stills.scaling.table import ScalingTable, components, misoriented
from crystint.stills.scaling.wavelength_curve import WavelengthCurve
from crystint.stills.settings import ScaleSettings

__all__ = ["Scales", "scale"]


class _Reference(Protocol):
    def match(self, hkl: NDArray[np.int32], space_group: gemmi.SpaceGroup) -> Floats: ...


def scale(
    observations: Observations,
    experiment: Experiment | int,
    *,
    space_group: gemmi.SpaceGroup | str,
    reference: _Reference | None = None,
    refine_b: bool = ScalingOptions.refine_b,
    prior_ln_g: float = ScalingOptions.prior_ln_g,
    prior_b: float = ScalingOptions.prior_b,
    monitor: ArrayLike | None = None,
    prior_monitor: float = ScalingOptions.prior_monitor,
    limit: float = ScalingOptions.limit,
    min_partiality: float = ScaleSettings().min_partiality,
    min_observations: int = 5,
    max_b: float = ScalingOptions.max_b,
    gain: float | None = None,
    fit_errors: bool = ScalingOptions.fit_errors,
    wavelength_nodes: int = ScalingOptions.wavelength_nodes,
    max_iterations: int = ScalingOptions.max_iterations,
) -> Scales:
    """Scale all images, against a reference or against one another.

    Parameters
    ----------
    observations
        Rows that are not `usable`, or below `min_partiality`, are left out, as are reflections that the reference does
        not have (with a reference) or that only one image saw (without).
    experiment
        For the names of the images, and whether their orientations can be; or their number.
    space_group
        By which reflections are equivalent; Friedel mates are.
    reference : optional
        Whatever has `match(hkl, space_group)` -> intensity per row, NaN where unknown: a
        `crystint.model.reference.Reference`.
    refine_b
        False: B = 0 for all.
    prior_ln_g, prior_b
        Standard deviations of ln G and of B (angstrom^2) between images; infinite = no prior. With 0.25 or less for
        ln G all images count as exposed: one without signal has the scale of the others, and is not left out.
    monitor : float [n_images], optional
        What a beam monitor says of each image, in any unit, above 0; NaN = not known. In place of the prior on ln G
        these images have ln G ~ N(ln monitor + c, s^2), s = `prior_monitor`, the constant c being fitted.
    prior_monitor
        Standard deviation of ln G about that.
    limit
        Residual, in sigma, from which an observation pulls no harder (Huber); infinite = least squares.
    min_observations
        Images with fewer usable rows have no scale.
    max_b
        Images whose B differs by more, angstrom^2, from the median of all have no scale.
    gain : optional
        Variance per count of signal, 1 for counted photons; None = measured (see `expected`).
    fit_errors
        Fit an error model to the residuals while scaling, so that errors proportional to the intensity (partiality,
        the reference) do not let the strongest reflections decide alone. False: variances as they are.
    wavelength_nodes
        Nodes of a curve over the wavelength, for Laue and pink-beam data; 0 = none.
    max_iterations
        Steps; images that still move after them have no scale.

    Returns
    -------
    Scales
        An image that could not be scaled has NaN there and its reason in `failed`; the others do not notice.

    Raises
    ------
    SettingError
        When an option is impossible, the cell of the experiment is none of this space group, or a wavelength curve is
        asked for and the column is empty.
    ShapeError
        When a row belongs to an image that the experiment does not have, or `monitor` has another length.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> scales = stills.scale(observations, data.experiment, space_group=group)
    >>> error = scales.ln_g - (data.ln_g - data.ln_g.mean())
    >>> bool(error.std() < 0.05)
    True
    """
    if isinstance(experiment, Experiment):
        symmetric_cell(experiment.cell, space_group)
    names = experiment.name if isinstance(experiment, Experiment) else tuple(f"image {i}" for i in range(experiment))
    options = ScalingOptions(
        refine_b, prior_ln_g, prior_b, prior_monitor, limit, max_b, fit_errors, max_iterations, wavelength_nodes
    )
    flux = None if monitor is None else values_of_monitor(monitor, len(names))
    if not (0.0 <= min_partiality <= 1.0 and min_observations >= 1):
        raise SettingError(f"min_partiality {min_partiality!r}, min_observations {min_observations!r}: not possible")
    image = observations.image
    if len(image) and not (image.min() >= 0 and image.max() < len(names)):
        raise ShapeError(f"observations of images {image.min()} to {image.max()}, but there are {len(names)} images")

    usable = observations.usable & (observations.partiality >= min_partiality)
    if wavelength_nodes:
        usable &= np.isfinite(observations.wavelength)
        if len(observations) and not np.isfinite(observations.wavelength).any():
            raise SettingError("a wavelength curve needs the wavelength of each observation; the column is empty")
    failed = misoriented(experiment) if isinstance(experiment, Experiment) else {}
    if failed:
        usable &= ~np.isin(image, list(failed))
    use = _enough(usable, image, names, min_observations, "usable observations", failed)
    target = None
    if reference is not None:
        target = np.asarray(reference.match(observations.hkl, as_space_group(space_group)), dtype=np.float64)
        use &= np.isfinite(target)
        use = _enough(use, image, names, min_observations, "observations of reflections that the reference has", failed)
    variance = _variance(observations, use, gain)
    if options.needs_signal:
        use = _with_signal(use, observations, variance, target, names, failed)
    group = np.zeros(0, dtype=np.int32)
    if target is None:
        group = groups(observations.hkl, space_group)[1].astype(np.int32)
        use = _shared(use, image, group, names, min_observations, failed)

    table = ScalingTable.of(observations, use, variance)
    tied = None if flux is None else flux[table.images]
    if target is not None:
        fit = ScalingFit(table, options, target=target[table.row], monitor=tied)
    else:
        fit = ScalingFit(table, options, group=_numbered(group[table.row]), monitor=tied)
    if wavelength_nodes and len(table):
        wavelength = observations.wavelength[table.row].astype(np.float64)
        fit.set_curve(WavelengthCurve.flat(wavelength, wavelength_nodes), wavelength)
    fit.run()
    return _result(fit, table, names, failed, variance.gain)


def _numbered(group: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same reflections, numbered without gaps."""
    there = np.bincount(group) > 0
    return np.asarray((np.cumsum(there, dtype=np.int32) - 1)[group])


def _enough(
    use: NDArray[np.bool_],
    image: NDArray[np.int32],
    names: tuple[str, ...],
    least: int,
    what: str,
    failed: dict[int, str],
) -> NDArray[np.bool_]:
    """`use` without the rows of images that have fewer than `least`; those that are new to it go to `failed`."""
    count = np.bincount(image[use], minlength=len(names))
    for number in np.flatnonzero(count < least):
        failed.setdefault(int(number), f"{names[number]}: {count[number] or 'no'} {what}, {least} needed for a scale")
    return np.asarray(use & (count >= least)[image]) if len(image) else use


def _variance(observations: Observations, use: NDArray[np.bool_], gain: float | None) -> SignalVariance:
    """Variances with the signal taken out, the gain that of the rows in use."""
    flags = np.where(use, observations.flags, np.uint32(Flag.MASKED)).astype(np.uint32)
    return SignalVariance.of(observations.replace(flags=flags), gain)


def _with_signal(
    use: NDArray[np.bool_],
    observations: Observations,
    variance: SignalVariance,
    target: Floats | None,
    names: tuple[str, ...],
    failed: dict[int, str],
) -> NDArray[np.bool_]:
    """`use` without images that have no signal, whatever their scale."""
    rows = slice(None) if use.all() else np.flatnonzero(use)  # of all of them no copies are made
    image, intensity = observations.image[rows], observations.intensity[rows]
    factor = observations.partiality[rows] * observations.correction[rows]
    expected = levels(0.25 / observations.d[rows] ** 2, intensity, factor) if target is None else target[rows]
    sigma = np.sqrt(variance.without_signal[rows])
    z = significance(image, len(names), intensity, sigma, factor * expected / sigma)
    count = np.bincount(image, minlength=len(names))
    blank = (count > 0) & (z < SIGNIFICANT)
    for number in np.flatnonzero(blank):
        failed[int(number)] = f"{names[number]}: {no_signal(z[number], int(count[number]))}"
    return np.asarray(use & ~blank[observations.image]) if blank.any() else use


def _shared(
    use: NDArray[np.bool_],
    image: NDArray[np.int32],
    group: NDArray[np.int32],
    names: tuple[str, ...],
    least: int,
    failed: dict[int, str],
) -> NDArray[np.bool_]:
    """`use` without reflections of one image only, and without images that no shared reflection ties to the rest."""
    n_groups = int(group.max(initial=-1)) + 1
    low, high = np.full(n_groups, np.iinfo(np.int32).max), np.full(n_groups, -1)
    order = np.flatnonzero(use)
    high[group[order]] = image[order]  # the last assignment stays; backwards, the first
    low[group[order[::-1]]] = image[order[::-1]]
    several = low != high
    if not (np.diff(image[order]) >= 0).all():  # first and last row say nothing about those between
        np.minimum.at(low, group[order], image[order])
        np.maximum.at(high, group[order], image[order])
        several = low < high
    use = _enough(
        use & several[group], image, names, least, "observations of reflections that other images have too", failed
    )
    rows = np.flatnonzero(use)
    if not len(rows):
        return use
    numbers, compact = np.unique(image[rows], return_inverse=True)
    part = components(compact, group[rows], len(numbers), n_groups)
    sizes = np.bincount(part)
    for number in np.flatnonzero(part > 0):
        failed[int(numbers[number])] = (
            f"{names[numbers[number]]}: no common reflections tie it to most of the images; it is in a set of "
            f"{sizes[part[number]]} beside one of {sizes[0]}"
        )
    use[rows] = part[compact] == 0
    return use


def _result(
    fit: ScalingFit, table: ScalingTable, names: tuple[str, ...], failed: dict[int, str], gain: float
) -> Scales:
    n = len(names)
    values = {key: np.full(shape, np.nan) for key, shape in (("g", n), ("b", n), ("chi2", n), ("c", (n, 2, 2)))}
    used = np.zeros(n, dtype=np.intp)
    used[table.images] = table.used
    good = fit.good
    scaled = table.images[good]
    values["g"][scaled], values["b"][scaled] = fit.ln_g[good], fit.b[good]
    values["c"][scaled], values["chi2"][scaled] = fit.covariance()[good], fit.chi2_of_images()[good]
    for number in np.flatnonzero(~good):
        image = int(table.images[number])
        failed[image] = f"{names[image]}: {fit.reason(int(number))}"
    note = "" if scaled.size else "no image could be scaled"
    if scaled.size and not fit.converged:
        note = f"not everything stands still after {fit.iterations} iterations: more may help"
    return Scales(
        values["g"], values["b"], values["c"], used, values["chi2"], dict(sorted(failed.items())), fit.iterations,
        bool(fit.converged and scaled.size), fit.error_model, gain, fit.curve, note,
    )  # fmt: skip
