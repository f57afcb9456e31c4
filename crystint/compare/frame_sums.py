"""One frame compared with its sparse form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtri

from crystint.compare.comparison import Comparison
from crystint.compare.shells import SHELL_DTYPE, Shells
from crystint.errors import check
from crystint.io.hdf5.packing import packed_size
from crystint.model.mask import unusable
from crystint.model.rings import interpolate
from crystint.model.sparse import SparseFrame

__all__ = ["measure"]

_MARGIN = 0.1
"""Sigma above SNR_pick from which an unpicked pixel counts as missed: thresholds may be interpolated."""


def measure(
    frame: NDArray[Any], sparse: SparseFrame, clean: NDArray[Any], noisy: NDArray[Any], shells: Shells
) -> Comparison:
    """Compare one frame with its sparse form and with what densify made of that.

    Parameters
    ----------
    frame, clean, noisy : [slow, fast]
        Raw counts; densified without and with noise; of the sparse frame's dtype.
    sparse : SparseFrame
    shells : Shells

    Returns
    -------
    Comparison

    Raises
    ------
    ShapeError, DTypeError
        When a frame is not of the sparse frame's shape and dtype.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> shells = crystint.compare.Shells.of(sparse, 4)
    >>> clean, noisy = crystint.densify(sparse, noise=False), crystint.densify(sparse)
    >>> crystint.compare.measure(data[0], sparse, clean, noisy, shells).wrong_picked
    0
    """
    for what, image in (("raw frame", frame), ("clean frame", clean), ("noisy frame", noisy)):
        check(what, image, sparse.shape, [np.dtype(sparse.dtype)])
    raw, again, index = frame.ravel(), noisy.ravel(), sparse.index.astype(np.intp)
    stored = sparse.background.image().ravel()
    in_ring = np.isfinite(stored) & (sparse.background.rings.mask.ravel() == 0)
    valid = sparse.background.rings.valid
    free = in_ring & ~unusable(raw, valid)
    if sparse.unusable_index is not None:
        free[sparse.unusable_index] = False
    free[index] = False
    at = np.flatnonzero(free)
    count = len(shells.edges) - 1
    shell = shells.number.ravel()
    of_pixel, level = shell[at], stored[at]
    over_raw, over_noisy = raw[at] - level, again[at] - level

    def add(number: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.bincount(number, weights, minlength=count + 1)[:count]

    sums = np.zeros(count, SHELL_DTYPE)
    sums["picked"], sums["pixels"] = add(shell[index]), add(of_pixel)
    sums["expected"] = add(of_pixel, level)
    sums["raw"], sums["raw_square"] = add(of_pixel, over_raw), add(of_pixel, over_raw**2)
    sums["clean"] = add(of_pixel, clean.ravel()[at] - level)
    sums["noisy"], sums["noisy_square"] = add(of_pixel, over_noisy), add(of_pixel, over_noisy**2)
    sums["raw_zeros"], sums["noisy_zeros"] = add(of_pixel[raw[at] == 0]), add(of_pixel[again[at] == 0])
    signal = index[in_ring[index]]
    sums["signal"] = add(shell[signal], raw[signal] - stored[signal])
    tail = _neighbours(index, sparse.shape)
    tail = tail[free[tail]]
    sums["tail"] = add(shell[tail], raw[tail] - stored[tail])
    close, sigma = _close(raw, stored, at, over_raw, sparse)
    strongest = np.zeros(count + 1)
    np.maximum.at(strongest, shell[close], sigma)
    sums["strongest"] = strongest[:count]
    missed = close[sigma > sparse.snr + _MARGIN]
    sums["missed"], sums["missed_signal"] = (
        add(shell[missed]),
        add(shell[missed], raw[missed] - stored[missed]),
    )

    changed = in_ring & (unusable(raw, valid) != unusable(again, valid))
    if sparse.unusable_index is not None:
        changed[sparse.unusable_index] = _differ(raw, again)[sparse.unusable_index]
    return Comparison(
        shells.edges,
        shells.unit,
        sums,
        frames=1,
        wrong_picked=int(np.sum((raw[index] != sparse.value) | (raw[index] != again[index]))),
        wrong_unusable=int(changed.sum()),
        dense_bytes=frame.nbytes,
        packed_bytes=packed_size(frame),
        payload_bytes=sparse.index.nbytes + sparse.value.nbytes,
    )


def _differ(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ; two NaN are equal."""
    return np.asarray((one != other) & ~((one != one) & (other != other)))


def _neighbours(index: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.intp]:
    """The pixels that touch the given ones by side or corner, each once, ascending."""
    slow, fast = np.divmod(index, shape[1])
    row = (slow[:, None] + np.repeat([-1, 0, 1], 3)).ravel()
    column = (fast[:, None] + np.tile([-1, 0, 1], 3)).ravel()
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    return np.unique(row[inside] * shape[1] + column[inside])


def _close(
    raw: NDArray[Any],
    stored: NDArray[np.float64],
    at: NDArray[np.intp],
    over: NDArray[np.float64],
    sparse: SparseFrame,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The unpicked pixels that come close to SNR_pick, and their significance in sigma.

    Counting: the Gaussian sigma whose tail is P(N >= n / phi | lambda / phi). What is not from counting
    (read-out noise; all in the azimuthal model) is taken out of n in quadrature first, at SNR_pick sigma.
    No pixel is more significant than its excess over the standard deviation.
    """
    rings, background = sparse.background.rings, sparse.background
    counting = sparse.error_model != "azimuthal"
    level = np.maximum(stored[at] - (0.0 if rings.dark is None else rings.dark.ravel()[at]), 0.0)
    above = over > (0.9 * sparse.snr * np.sqrt(level) if counting else 0.0)  # the variance is not below the level
    at, over, level = at[above], over[above], level[above]
    weight, place = rings.weight.ravel()[at], rings.position.ravel()[at]
    excess = interpolate(background.excess, place) if counting else np.zeros(len(at))
    additive = background.additive if counting else background.std**2
    other = interpolate(additive, place) * weight**2 + sparse.noise**2
    variance = excess * level + other
    near = over > 0.9 * sparse.snr * np.sqrt(variance)
    at = at[near]
    over, level, excess, other, variance = (x[near] for x in (over, level, excess, other, variance))
    with np.errstate(divide="ignore"):
        sigma = over / np.sqrt(variance)
    if counting:
        counted = np.sqrt(np.maximum(over**2 - sparse.snr**2 * other, 0.0))
        with np.errstate(divide="ignore"):
            sigma = np.minimum(sigma, -ndtri(gammainc((level + counted) / excess, level / excess)))
    return at, np.nan_to_num(sigma, nan=0.0, posinf=1e3, neginf=0.0)
