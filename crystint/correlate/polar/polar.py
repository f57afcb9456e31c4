"""From a frame to a polar image: nearest pixel, bilinear, or by the areas that cells share with pixels."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.polar.polar_table import GROUP, area_table, bilinear_table, groups, nearest_table
from crystint.engine import Engine, Kernel, default_engine
from crystint.errors import DTypeError, SettingError, ShapeError, check
from crystint.model.geometry import Geometry
from crystint.model.mask import combine_masks
from crystint.model.polar_grid import ORIGINS, PolarGrid, smooth_size
from crystint.model.polar_image import PolarImage
from crystint.model.valid_values import ValidValues
from crystint.ops.pixels import PIXEL_TYPES, largest_valid, pixel_defines

__all__ = ["METHODS", "ORIGINS", "PolarGrid", "PolarImage", "PolarTransform", "polar_image", "smooth_size"]

METHODS = ("nearest", "bilinear", "area")


class PolarTransform:
    """Polar images of any number of frames; the table of the grid is made once and stays on the device.

    "nearest" copies the pixel that holds each point. "bilinear" weights the four pixels about it; those without data
    take no part, and the weight is what the others have. "area" takes the mean over the area of the cell, every pixel
    weighted by the area that it shares with it, so that nothing is counted twice or left out: the sum of values *
    weights * `cell_area` is the sum of the pixels inside. Without data there is NaN and weight 0, as outside the frame.

    On the device: 4 (nearest), 8 (bilinear) or about 30 (area) bytes per cell, and 4 per pixel, 8 when normalized or
    masked.
    Threads may share it; frames then wait for one another.

    Parameters
    ----------
    engine : Engine
    grid : PolarGrid
    shape : (slow, fast)
        Shape of the frames.
    method : "nearest", "bilinear" or "area"
    mask : bool or integer [slow, fast], optional
        Nonzero = masked.
    geometry : Geometry, optional
        Divide by its solid angle and polarization.
    normalization : real [slow, fast], optional
        Divide by this as well; where it is not a positive number, the pixel is masked.
    saturation : float, optional
        Values above it are no data.
    valid : ValidValues, optional
        Which values are measurements; None = the default of the frame's dtype.

    Raises
    ------
    SettingError, ShapeError, DTypeError
        For an unknown method, and for images that are not of `shape` or not real.
    GeometryError
        When no point of the grid lies in the frame.
    DeviceError
        When the device cannot hold the table.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> grid = correlate.PolarGrid(data.center, np.arange(20.0, 60.0))
    >>> import crystint
    >>> transform = correlate.PolarTransform(crystint.Engine(), grid, (150, 160), method="area")
    >>> transform.run(data.frame).values.shape
    (40, 375)
    """

    def __init__(
        self,
        engine: Engine,
        grid: PolarGrid,
        shape: tuple[int, int],
        *,
        method: str = "nearest",
        mask: NDArray[Any] | None = None,
        geometry: Geometry | None = None,
        normalization: NDArray[Any] | None = None,
        saturation: float | None = None,
        valid: ValidValues | None = None,
    ) -> None:
        if method not in METHODS:
            raise SettingError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
        slow, fast = shape
        if slow < 1 or fast < 1 or (slow + 2) * (fast + 2) >= 2**31:
            raise ShapeError(f"shape is {shape}, expected at least one pixel and fewer than 2^31")
        self.engine, self.grid, self.shape, self.method = engine, grid, (int(slow), int(fast)), method
        self.saturation = saturation if valid is None else valid.limit(saturation)
        self.valid = valid
        scale = _scale(self.shape, mask, geometry, normalization)
        self._scaled = scale is not None
        self._scale = engine.send(np.ones(1, np.float32) if scale is None else scale)
        bordered = (slow + 2) * (fast + 2)
        self._image = engine.empty(bordered, np.float32)
        engine.write(self._image, np.full(bordered, np.nan, np.float32))
        self._cells = grid.shape[0] * grid.shape[1]
        self.cell_area: NDArray[np.float64] | None = None
        """float64 [rows, 1] or [rows, azimuths]: area of the cells, px^2; None but for the method "area" """
        self._table = self._make_table()
        self._lock = threading.Lock()

    def _make_table(self) -> dict[str, Any]:
        """What the kernel of the method looks up, by the names of its parameters."""
        engine, grid = self.engine, self.grid
        if self.method == "nearest":
            return {"place": engine.send(nearest_table(grid, self.shape))}
        if self.method == "bilinear":
            pixel, part = bilinear_table(grid, self.shape)
            return {"place": engine.send(pixel), "part": engine.send(part), "width": self.shape[1] + 2}
        table = area_table(engine, grid, self.shape)
        self.cell_area = table.cell_area
        whole = engine.send((1.0 / table.cell_area).astype(np.float32))
        return {"start": table.start, "place": table.pixel, "area": table.area, "whole": whole}

    def run(self, frame: NDArray[Any]) -> PolarImage:
        """The polar image of a frame.

        Parameters
        ----------
        frame : uint8, uint16, uint32, int16, int32 or float32 [slow, fast]
            Raw counts. Values that mark a pixel as unusable (crystint.model.mask.unusable) are no data.

        Raises
        ------
        ShapeError, DTypeError
            When the frame is of another shape, or of a dtype that no kernel was written for.
        """
        check("frame", frame, self.shape, PIXEL_TYPES)
        engine, shape, frame = self.engine, self.grid.shape, np.ascontiguousarray(frame)
        values = np.empty(shape, np.float32)
        weights = None if self.method == "nearest" else np.empty(shape, np.float32)
        results = {"values": values} if weights is None else {"values": values, "weights": weights}
        with self._lock:
            self._start_image(frame)
            buffers: dict[str, Any] = {name: engine.borrow(result) for name, result in results.items()}
            engine.launch(
                self._kernel(),
                groups(self._cells),
                GROUP,
                image=self._image,
                cells=self._cells,
                **self._table,
                **buffers,
            )
            for name, result in results.items():
                engine.give_back(buffers[name], result)
        return PolarImage(values, self.grid, weights)

    def _kernel(self) -> Kernel:
        if self.method == "nearest":
            return self.engine.kernel("polar_nearest.cl", LOCAL_SIZE=GROUP)
        if self.method == "bilinear":
            return self.engine.kernel("polar_bilinear.cl", LOCAL_SIZE=GROUP)
        per_row = self.cell_area is not None and self.cell_area.shape[1] == 1
        whole = self.grid.azimuths if per_row else 1
        return self.engine.kernel("polar_area.cl", LOCAL_SIZE=GROUP, WHOLE_ROW=whole)

    def _start_image(self, frame: NDArray[Any]) -> None:
        """Start to turn a frame into floats within a border; `frame` must live until they are used."""
        engine, (slow, fast) = self.engine, self.shape
        kernel = engine.kernel(
            "polar_frame.cl",
            LOCAL_SIZE=GROUP,
            HAS_SCALE=int(self._scaled),
            **pixel_defines(frame.dtype, self.valid, dark=False),
        )
        engine.launch(
            kernel,
            groups(fast),
            GROUP,
            frame=engine.lend(frame),
            scale=self._scale,
            fast=fast,
            saturation=largest_valid(frame.dtype, self.saturation),
            image=self._image,
            frames=slow,
        )


def polar_image(frame: NDArray[Any], grid: PolarGrid, **options: Any) -> PolarImage:
    """The polar image of one frame on the default device. For many frames, keep a `PolarTransform`.

    Parameters
    ----------
    frame : real [slow, fast]
    grid : PolarGrid
    **options
        method, mask, geometry, normalization, saturation, valid: as `PolarTransform`.

    Returns
    -------
    PolarImage

    Raises
    ------
    SettingError, ShapeError, DTypeError, GeometryError, DeviceError
        As `PolarTransform`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> grid = correlate.PolarGrid(data.center, np.arange(20.0, 60.0))
    >>> correlate.polar_image(data.frame, grid, method="bilinear", mask=data.mask).values.shape
    (40, 375)
    """
    return PolarTransform(default_engine(), grid, np.shape(frame), **options).run(frame)


def _scale(
    shape: tuple[int, int], mask: NDArray[Any] | None, geometry: Geometry | None, normalization: NDArray[Any] | None
) -> NDArray[np.float32] | None:
    """float32 [slow, fast]: 1 / normalization, NaN where masked; None = 1 everywhere."""
    if mask is None and geometry is None and normalization is None:
        return None
    weight = np.ones(shape)
    if geometry is not None:
        if geometry.shape != shape:
            raise ShapeError(f"the geometry is of {geometry.shape}, the frames are {shape} (slow, fast)")
        weight *= geometry.solid_angle()
        weight *= geometry.polarization_factor()
    if normalization is not None:
        image = np.asarray(normalization)
        if image.dtype.kind not in "biuf":
            raise DTypeError(f"normalization is {image.dtype}, expected real numbers")
        check("normalization", image, shape, [image.dtype])
        weight = weight * image
    with np.errstate(invalid="ignore", divide="ignore"):
        good = (weight > 0.0) & (weight < np.inf) & (combine_masks(mask, shape=shape) == 0)
        return np.where(good, 1.0 / weight, np.nan).astype(np.float32)
