"""The names of LOKI over this package: for scripts that were written for it.

LOKI (D. Mendez, github.com/dermen/loki) is what tutorials of difference correlations use. Its arguments, their order
and what comes back are kept here; the work is done by the rest of `crystint.correlate`, which new scripts use itself.

LOKI's conventions, in this module alone: x is the fast and y the slow axis, counted from the centre of the first pixel
(crystint counts from its outer corner: 0.5 more); masks are True where a pixel is valid; 0 in a ring is no data.
Each class and function says in what it differs from LOKI: where that was wrong.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, overload

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.correlate.center import profile
from crystint.correlate.center.circles import place_on_ring
from crystint.correlate.center.ring_fit import Rings, fit_rings
from crystint.correlate.pairs.pairing import pair_exposures
from crystint.correlate.polar import background
from crystint.correlate.polar.background import PeakRemoval, RingCurves
from crystint.correlate.polar.outliers import is_outlier
from crystint.correlate.polar.polar_table import nearest_table
from crystint.correlate.sums.correlation import Norm, autocorrelation, cross_correlation, difference
from crystint.engine import Engine
from crystint.errors import SettingError, ShapeError
from crystint.model.polar_grid import PolarGrid

__all__ = [
    "DiffCorr",
    "InterpSimple",
    "RadialProfile",
    "RingFit",
    "fit_periodic",
    "is_outlier",
    "pair_fits",
    "remove_peaks",
    "remove_peaks_of_ring",
]


class RingFit:
    """Centre and radius of a powder ring.

    Not LOKI's fit of the brightest pixels near the guess, which returned the guess where the ring was weak, and which
    hot pixels moved: `fit_rings`, whose result does not depend on the start, and which uses
    all rings of the frame for the centre.

    Parameters
    ----------
    img : real [slow, fast]
    mask : bool [slow, fast], optional
        True = valid; without one, pixels of 0 or less are not used, as in LOKI.

    Examples
    --------
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> (x, y, radius), residual, mean = correlate.RingFit(data.frame, data.mask == 0).fit_circle((80, 76, 50))
    >>> print(f"{x:.1f} {y:.1f} {radius:.0f}")
    81.3 74.8 50
    """

    def __init__(self, img: NDArray[Any], mask: ArrayLike | None = None) -> None:
        self.img = np.asarray(img)
        self._valid = self.img > 0 if mask is None else np.asarray(mask, dtype=np.bool_)

    def fit_circle(
        self,
        beta_i: tuple[float, float, float],
        num_fitting_pts: int = 5000,
        ring_width: float = 20,
        num_high_pix: int = 20,
    ) -> tuple[Floats, float, float]:
        """The ring nearest to a guess.

        Parameters
        ----------
        beta_i : (x_center, y_center, radius)
            px; the centre may be 20 px off.
        ring_width : float
            The radius may be off by half of this, px.
        num_fitting_pts, num_high_pix
            For LOKI's choice of pixels; not used.

        Returns
        -------
        beta : float64 [3]
            x_center, y_center, radius, px.
        residual : float
            Sum of the squared distances of the fitted points from the ring, px^2: of some hundred points along the
            ring, not LOKI's of pixels.
        mean : float
            Mean of the valid pixels within 1 px of the ring.

        Raises
        ------
        SettingError
            When there is no ring where it should be.
        """
        rings, which = self._fit(beta_i, ring_width, "circle")
        slow, fast = rings.center
        return np.array([fast - 0.5, slow - 0.5, rings.radius[which]]), *self._about(rings, which)

    def fit_circle_slow(
        self,
        beta_i: tuple[float, float, float],
        ring_scan_width: float,
        center_scan_width: float,
        resolution: float = 1,
    ) -> Floats:
        """(x_center, y_center, radius) as `fit_circle`: no grid is searched, so it is not slow, nor rounded.

        The widths are how far radius and centre may be off; `resolution` is not used.
        """
        rings, which = self._fit(beta_i, 2 * ring_scan_width, "circle", max(float(center_scan_width), 1.0))
        slow, fast = rings.center
        return np.array([fast - 0.5, slow - 0.5, rings.radius[which]])

    def fit_ellipse(
        self,
        beta_i: tuple[float, float, float, float],
        num_fitting_pts: int = 5000,
        ring_width: float = 40,
        num_high_pix: int = 20,
    ) -> tuple[Floats, float, float]:
        """As `fit_circle`, for an ellipse: (x_center, y_center, a, b), px, its half lengths along x and along y.

        The ellipse may be turned, LOKI's could not; a and b are distances from the centre along the axes of the frame.
        """
        x, y, a, b = beta_i
        rings, which = self._fit((x, y, 0.5 * (a + b)), ring_width, "ellipse")
        (slow, fast), radius = rings.center, rings.radius[which]
        places = place_on_ring(rings.shape, radius, np.array([0.0, 0.5 * np.pi]))
        beta = np.array([fast - 0.5, slow - 0.5, places[1][0] - fast, places[0][1] - slow])
        return beta, *self._about(rings, which)

    def _fit(self, beta_i: Any, width: float, shape: Any, reach: float = 20.0) -> tuple[Rings, int]:
        x, y, radius = (float(value) for value in beta_i)
        rings = fit_rings(self.img, ~self._valid, start=(y + 0.5, x + 0.5), radius=radius, shape=shape, reach=reach)
        which = rings.nearest(radius)
        if abs(rings.radius[which] - radius) > 0.5 * width:
            near = ", ".join(f"{value:.1f}" for value in rings.radius)
            raise SettingError(f"no ring within {0.5 * width:g} px of the radius {radius:g} px; rings are at {near} px")
        return rings, which

    def _about(self, rings: Rings, which: int) -> tuple[float, float]:
        points, radius = rings.points[which], rings.radius[which]
        residual = float(np.square(rings.shape.radius(points.slow, points.fast) - radius).sum())
        slow, fast = np.indices(self.img.shape) + 0.5
        near = self._valid & (np.abs(rings.shape.radius(slow, fast) - radius) <= 1.0)
        return residual, float(self.img[near].mean()) if near.any() else float("nan")


class InterpSimple:
    """Polar images by the nearest pixel: rows of radius qRmin .. qRmax - 1 px, columns clockwise on screen from -x.

    Points outside the frame are NaN (0 or False where the result holds no floats); LOKI took pixels of other rows.
    `crystint.correlate.polar.polar.PolarTransform` does this on a device, and other interpolations.

    Parameters
    ----------
    a, b : float
        x_center, y_center, px.
    qRmax, qRmin : int
    nphi : int
        Columns; fastest to correlate without prime factors above 5.
    raw_img_shape : (slow, fast)
    bin_fac : None
        LOKI's binning is not supported: bin the image.

    Examples
    --------
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> interpolation = correlate.InterpSimple(81.3, 74.8, 60, 20, 360, data.frame.shape)
    >>> interpolation.nearest(data.frame).shape
    (40, 360)
    """

    def __init__(
        self,
        a: float,
        b: float,
        qRmax: int,  # noqa: N803
        qRmin: int,  # noqa: N803
        nphi: int,
        raw_img_shape: tuple[int, int],
        bin_fac: None = None,
    ) -> None:
        if bin_fac is not None:
            raise SettingError("bin_fac is not supported: bin the image")
        self.grid = PolarGrid.loki(a, b, qRmax, qRmin, nphi)
        self.phis = 2.0 * np.pi * np.arange(nphi) / nphi
        self.raw_img_shape = (int(raw_img_shape[0]), int(raw_img_shape[1]))
        table = nearest_table(self.grid, self.raw_img_shape).astype(np.int64)
        wide = self.raw_img_shape[1] + 2
        self._outside = table == 0
        self._pixel = np.where(self._outside, 0, (table // wide - 1) * (wide - 2) + table % wide - 1)

    def nearest(self, data: ArrayLike, dtype: Any = None, mask: ArrayLike | None = None) -> NDArray[Any]:
        """The polar image [qRmax - qRmin, nphi] of data or a mask [slow, fast], of its dtype or that given.

        Whole numbers become float64 when there are points without data and no dtype is given. Pixels that are not
        valid in `mask` are as those outside the frame. LOKI took both arguments and did nothing with them.
        """
        image = np.asarray(data)
        if image.shape != self.raw_img_shape:
            raise ShapeError(f"data is {image.shape}, expected {self.raw_img_shape} (slow, fast)")
        none = self._outside
        if mask is not None:
            valid = np.asarray(mask, dtype=np.bool_)
            if valid.shape != image.shape:
                raise ShapeError(f"mask is {valid.shape}, expected {image.shape} (slow, fast)")
            none = none | ~valid.ravel()[self._pixel]
        kind = np.dtype(dtype if dtype is not None else image.dtype)
        if dtype is None and kind.kind in "iu" and none.any():
            kind = np.dtype(np.float64)
        polar = image.ravel()[self._pixel].astype(kind)
        polar[none] = np.nan if kind.kind == "f" else 0
        return polar


class RadialProfile:
    """Mean of the valid pixels of each whole radius int(r); 0 where there are none, as in LOKI.

    Parameters
    ----------
    center : (x, y), px
    img_shape : (slow, fast)
    mask : bool [slow, fast], optional
        True = valid.
    minlength : int, optional
        Least number of values; LOKI failed when a pixel was farther out.
    """

    def __init__(
        self,
        center: tuple[float, float],
        img_shape: tuple[int, int],
        mask: ArrayLike | None = None,
        minlength: int | None = None,
    ) -> None:
        self.img_shape, self.minlength = (int(img_shape[0]), int(img_shape[1])), minlength
        self._masked = None if mask is None else ~np.asarray(mask, dtype=np.bool_)
        self.update_center(center)

    def update_center(self, new_center: tuple[float, float]) -> None:
        """Move the centre to (x, y), px."""
        x, y = float(new_center[0]), float(new_center[1])
        self._profile = profile.RadialProfile(self.img_shape, (y + 0.5, x + 0.5), self._masked)

    def calculate(self, img: NDArray[Any]) -> Floats:
        """float64 [radii]: the profile of an image; pixels that are NaN, or negative integers, are left out, too."""
        mean = np.nan_to_num(self._profile.run(np.asarray(img)).mean)
        return np.pad(mean, (0, max(0, (self.minlength or 0) - len(mean))))


class DiffCorr:
    """Correlations of exposures, or of differences of exposures.

    Parameters
    ----------
    shots : real [shots, q, phi] or [shots, phi], or a list of such
        Differences when `pre_dif`. NaN is no data, in the norm "sum" as good as 0. LOKI could not take a list.
    delta_shot : int, optional
        Without `pre_dif`: take the difference of each exposure and that so many after it.
    pre_dif : bool

    Examples
    --------
    >>> from crystint import correlate
    >>> shots = correlate.simulate_rings(20, 360, rings=3, seed=1).values
    >>> differences = correlate.DiffCorr(shots, delta_shot=1, pre_dif=False)
    >>> differences.autocorr().shape
    (19, 3, 360)
    """

    def __init__(self, shots: ArrayLike, delta_shot: int | None = None, pre_dif: bool = True) -> None:
        values = np.asarray(shots)
        if values.dtype != np.float64:
            values = values.astype(np.float64)
        if values.ndim not in (2, 3):
            raise ShapeError(f"shots is {values.shape}, expected (shots, phi) or (shots, q, phi)")
        if not pre_dif:
            if delta_shot is None or not 1 <= delta_shot < len(values):
                raise SettingError(
                    f"delta_shot is {delta_shot}, expected 1 to {len(values) - 1}, below the number of shots"
                )
            values = difference(values[:-delta_shot], values[delta_shot:])
        self.shotsAB: Any = values

    @property
    def phi_values(self) -> Floats:
        """float64 [phi]: lags, rad: 2 pi k / phi. LOKI's had both 0 and 2 pi, which is the same lag twice."""
        n = self.shotsAB.shape[-1]
        return np.asarray(2.0 * np.pi * np.arange(n) / n)

    def autocorr(self, norm: Norm = "sum") -> Floats:
        """Every ring with itself, of the shape of the shots: sum over phi of I(phi) I(phi + D).

        With norm "mask" each lag is divided by its own number of pairs of valid samples, in NaN where there are none;
        put NaN where data are missing. `crystint.correlate.sums.correlation.CorrelationSums` defines the norms.
        """
        return np.asarray(autocorrelation(self.shotsAB, norm=norm), dtype=np.float64)

    def crosscorr(self, qindex: int, norm: Norm = "sum") -> Floats:
        """All rings with one of them, of the shape of the shots: of ring j, sum over phi of I_j(phi) I_q(phi + D)."""
        if self.shotsAB.ndim != 3:
            raise ShapeError("crosscorr needs shots of several rings, (shots, q, phi)")
        rings = self.shotsAB.shape[1]
        if not -rings <= qindex < rings:
            raise SettingError(f"qindex is {qindex}, expected 0 to {rings - 1}")
        one = self.shotsAB[:, qindex][:, None]
        return np.asarray(cross_correlation(self.shotsAB, one, norm=norm), dtype=np.float64)


def fit_periodic(data: ArrayLike, mask: ArrayLike, deg: int, overlap: float = 0.2) -> tuple[Floats, Floats, Floats]:
    """A polynomial along a ring, a part of which is repeated at either end. Fitted in a basis that keeps its digits.

    Parameters
    ----------
    data : real [n]
        0 is no data.
    mask : bool [n]
        True = valid.
    deg : int
    overlap : float
        Part that is repeated.

    Returns
    -------
    cheby : float64 [deg + 1]
        ``numpy.polynomial.chebyshev.chebval(index, cheby)`` is the curve. NaN with `deg` values or fewer.
    poly : float64 [deg + 1]
        So is ``numpy.polyval(poly, index)``.
    fit : float64 [n]
        The curve; 0 where masked.

    Raises
    ------
    ShapeError
        When data or mask are no rings, or not of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> ring = 100 + 5 * np.cos(2 * np.pi * np.arange(360) / 360)
    >>> cheby, poly, fit = correlate.fit_periodic(ring, ring > 0, 9)
    >>> bool(np.abs(fit - ring).max() < 0.01)
    True
    """
    ring, valid = np.asarray(data, dtype=np.float64), np.asarray(mask, dtype=np.bool_)
    if ring.ndim != 1 or valid.shape != ring.shape:
        raise ShapeError(f"data is {ring.shape} and mask {valid.shape}, expected (n,) both")
    curves = background.chebyshev_background(ring[None], (valid & (ring != 0.0))[None], degree=deg, overlap=overlap)
    return curves.raw_chebyshev()[0], curves.raw_polynomial()[0][::-1], np.where(valid, curves.values[0], 0.0)


def pair_fits(fits: ArrayLike) -> tuple[list[list[int]], Floats]:
    """Pairs of exposures with like curves, and their Euclidean distances: LOKI's pairs, nearest first come.

    Parameters
    ----------
    fits : float [exposures, n]

    Returns
    -------
    pairs : list of [i, j]
        i < j, ascending. Of an odd number of exposures one is left over.
    distances : float64 [pairs]

    `crystint.correlate.pairs.pairing.pair_exposures` finds pairs of the least total distance, too.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> pairs, distances = correlate.pair_fits(np.array([[0.0, 1.0], [5.0, 1.0], [0.1, 1.0], [5.0, 1.2]]))
    >>> pairs
    [[0, 2], [1, 3]]
    """
    pairing = pair_exposures(np.asarray(fits))
    return [[int(i), int(j)] for i, j in pairing.pairs], pairing.distance


@overload
def remove_peaks(
    ring: ArrayLike,
    mask: ArrayLike,
    thick: int | None = None,
    peak_thresh: float = 3.0,
    coef: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]: ...
@overload
def remove_peaks(
    values: NDArray[Any],
    curves: RingCurves | NDArray[np.floating[Any]],
    good: NDArray[np.bool_] | None = None,
    *,
    thick: int = 2,
    threshold: float = 2.5,
    wrap: bool = True,
    engine: Engine | None = None,
) -> PeakRemoval: ...
@wraps(background.remove_peaks)
def remove_peaks(*arguments: Any, **options: Any) -> Any:
    first = arguments[0] if arguments else options.get("ring", options.get("values"))
    if first is not None and np.ndim(first) == 1:
        return remove_peaks_of_ring(*arguments, **options)
    return background.remove_peaks(*arguments, **options)


def remove_peaks_of_ring(
    ring: ArrayLike,
    mask: ArrayLike,
    thick: int | None = None,
    peak_thresh: float = 3.0,
    coef: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Take away samples far from a curve, and their neighbours, beyond the ends of the ring as well.

    What `remove_peaks` does with one ring: these are LOKI's arguments. Rings it takes as
    `crystint.correlate.polar.background.remove_peaks`.

    Parameters
    ----------
    ring : real [n]
    mask : bool [n]
        True = valid.
    thick : int, optional
        Neighbours on either side that go; None = none.
    peak_thresh : float
        Of `is_outlier`.
    coef : float [deg + 1], optional
        Chebyshev coefficients of the curve (`fit_periodic`); None = the median.

    Returns
    -------
    ring : [n]
        0 where masked or removed.
    mask : bool [n]
        What is left.
    removed : [n]
        What was taken away; 0 elsewhere.
    """
    values, valid = np.asarray(ring), np.asarray(mask, dtype=np.bool_)
    if valid.shape != values.shape:
        raise ShapeError(f"ring is {values.shape} and mask {valid.shape}, expected (n,) both")
    line = np.zeros(len(values))
    if coef is not None:
        line = np.asarray(chebyshev.chebval(np.arange(len(values)), np.asarray(coef)), dtype=np.float64)
    peaks = background.remove_peaks(values[None], line[None], valid[None], thick=thick or 0, threshold=peak_thresh)
    removed, left = peaks.removed[0], valid & ~peaks.removed[0] & np.isfinite(values)
    return np.where(left, values, 0), left, np.where(removed, values, 0)
