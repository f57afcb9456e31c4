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
    frame: NDArray[Any], sparse: SparseFrame, clean: NDArray[Any] | None, noisy: NDArray[Any], shells: Shells
) -> Comparison:
    """Compare one frame with its sparse form and with what densify made of that.

    Parameters
    ----------
    frame, clean, noisy : [slow, fast]
        Raw counts; densified without and with noise; of the sparse frame's dtype. `clean` may be None: not known.
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
        if image is not None:
            check(what, image, sparse.shape, [np.dtype(sparse.dtype)])
    raw, again, index = frame.ravel(), noisy.ravel(), sparse.index.astype(np.intp)
    free = ~unusable(raw, sparse.background.rings.valid)
    if sparse.unusable_index is not None:
        free[sparse.unusable_index] = False
    free[index] = False
    sums = np.zeros(len(shells.edges) - 1, SHELL_DTYPE)
    number = shells.number.ravel()
    for pixels in shells.blocks:
        _add_block(sums, number, pixels[free[pixels]], raw, None if clean is None else clean.ravel(), again, sparse)
    picked = index[sparse.significant]
    sums["picked"] = np.bincount(number[picked], minlength=len(sums) + 1)[:-1]
    signal = picked
    if len(picked) < len(index):  # tails that are kept for another reason are no loss
        others = np.zeros(len(free), np.bool_)
        others[index[~sparse.significant]] = True
        signal = np.concatenate([picked, _neighbours(picked, others, sparse.shape)])
    for name, pixels in (("signal", signal), ("tail", _neighbours(picked, free, sparse.shape))):
        level = sparse.background.image_at(pixels)
        over = np.where(np.isfinite(level), raw[pixels] - level, 0.0)
        sums[name] = np.bincount(number[pixels], over, minlength=len(sums) + 1)[:-1]
    return Comparison(
        shells.edges,
        shells.unit,
        sums,
        frames=1,
        wrong_picked=int(np.sum((raw[index] != sparse.value) | (raw[index] != again[index]))),
        wrong_unusable=_wrong_unusable(raw, again, sparse),
        dense_bytes=frame.nbytes,
        packed_bytes=packed_size(frame),
        payload_bytes=sparse.index.nbytes + sparse.value.nbytes,
        thin=shells.thin,
    )


def _differ(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ; two NaN are equal."""
    return np.asarray((one != other) & ~((one != one) & (other != other)))


def _wrong_unusable(raw: NDArray[Any], again: NDArray[Any], sparse: SparseFrame) -> int:
    """How many pixels are unusable in one of the two only, or changed where the sparse frame keeps them as unusable."""
    rings, listed = sparse.background.rings, 0
    changed = unusable(raw, rings.valid) != unusable(again, rings.valid)
    if sparse.unusable_index is not None:
        changed[sparse.unusable_index] = False
        listed = int(_differ(raw[sparse.unusable_index], again[sparse.unusable_index]).sum())
    at = np.flatnonzero(changed)
    in_ring = np.isfinite(sparse.background.image_at(at)) & (rings.mask.ravel()[at] == 0)
    return listed + int(in_ring.sum())


def _add_block(
    sums: NDArray[np.void],
    number: NDArray[np.int32],
    at: NDArray[np.intp],
    raw: NDArray[Any],
    clean: NDArray[Any] | None,
    noisy: NDArray[Any],
    sparse: SparseFrame,
) -> None:
    """Add background pixels, sorted by their shell, to its sums; those without a stored background are left out."""
    level = sparse.background.image_at(at)
    finite = np.isfinite(level)
    if not finite.all():
        at, level = at[finite], level[finite]
    if not len(at):
        return
    shell = number[at]
    start = np.flatnonzero(np.diff(shell, prepend=-1))
    here = shell[start]
    of_raw, of_noisy = raw[at], noisy[at]
    over, over_noisy = of_raw - level, of_noisy - level
    sums["pixels"][here] += np.diff(start, append=len(at))
    for name, values in (
        ("expected", level),
        ("raw", over),
        ("raw_square", np.square(over)),
        ("clean", np.full(len(at), np.nan) if clean is None else clean[at] - level),
        ("noisy", over_noisy),
        ("noisy_square", np.square(over_noisy)),
    ):
        sums[name][here] += np.add.reduceat(values, start)
    for name, counts in (("raw_zeros", of_raw), ("noisy_zeros", of_noisy)):
        sums[name][here] += np.add.reduceat(counts == 0, start, dtype=np.int64)
    close, over, sigma = _close(at, level, over, sparse)
    if not len(close):
        return
    shell = number[close]
    np.maximum.at(sums["strongest"], shell, sigma)
    missed = sigma > sparse.snr + _MARGIN
    np.add.at(sums["missed"], shell[missed], 1)
    np.add.at(sums["missed_signal"], shell[missed], over[missed])


def _neighbours(index: NDArray[np.intp], free: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.intp]:
    """The free pixels that touch the given ones by side or corner, each once, ascending."""
    slow, fast = np.divmod(index, shape[1])
    row = (slow[:, None] + np.repeat([-1, 0, 1], 3)).ravel()
    column = (fast[:, None] + np.tile([-1, 0, 1], 3)).ravel()
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    touched = np.zeros(len(free), bool)
    touched[row[inside] * shape[1] + column[inside]] = True
    return np.flatnonzero(touched & free)


def _close(
    at: NDArray[np.intp], level: NDArray[np.float64], over: NDArray[np.float64], sparse: SparseFrame
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """The unpicked pixels that come close to SNR_pick: which, counts above the background, significance in sigma.

    Counting: the Gaussian sigma whose tail is P(N >= n / phi | lambda / phi). What is not from counting
    (read-out noise; all in the azimuthal model) is taken out of n in quadrature first, at SNR_pick sigma.
    No pixel is more significant than its excess over the standard deviation.
    """
    rings, background = sparse.background.rings, sparse.background
    counting = sparse.error_model != "azimuthal"
    level = np.maximum(level if rings.dark is None else level - rings.dark.ravel()[at], 0.0)
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
    return at, over, np.nan_to_num(sigma, nan=0.0, posinf=1e3, neginf=0.0)
