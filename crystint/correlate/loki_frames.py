"""Of the names of LOKI those that take frames; see `crystint.correlate.loki` for its conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.correlate.center import profile
from crystint.correlate.center.circles import place_on_ring
from crystint.correlate.center.ring_fit import Rings, fit_rings
from crystint.correlate.polar.polar_table import nearest_table
from crystint.errors import SettingError, ShapeError
from crystint.model.polar_grid import PolarGrid

__all__ = ["InterpSimple", "RadialProfile", "RingFit"]

Array = NDArray[np.float64]


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
    ) -> tuple[Array, float, float]:
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
    ) -> Array:
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
    ) -> tuple[Array, float, float]:
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
        found = image.ravel()[self._pixel].astype(kind)
        found[none] = np.nan if kind.kind == "f" else 0
        return found


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

    def calculate(self, img: NDArray[Any]) -> Array:
        """float64 [radii]: the profile of an image; pixels that are NaN, or negative integers, are left out, too."""
        mean = np.nan_to_num(self._profile.run(np.asarray(img)).mean)
        return np.pad(mean, (0, max(0, (self.minlength or 0) - len(mean))))
