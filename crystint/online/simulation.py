"""A detector that is simulated: it sends series of images at an exact rate, with the faults of a script."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, StreamError
from crystint.io.frames import Frames
from crystint.model.valid_values import hidden_value
from crystint.online.armed import ArmedDetector
from crystint.online.exposures import Exposures, exposures_of
from crystint.online.faults import Faults, Way, actions
from crystint.online.outlet import Outlet
from crystint.online.sending import SeriesSender
from crystint.online.simplon import Parameters, Simplon
from crystint.online.truth import SeriesTruth, Truth
from crystint.online.wire import Wire
from crystint.simulate import Simulation
from crystint.stream import SeriesKey, Start
from crystint.stream.messages import Dialect
from crystint.units import energy_of

__all__ = ["HeaderDetail", "Simulator"]

HeaderDetail = Literal["all", "basic", "none"]
_ARM_WAIT = 2.0
"""s that a start waits for somebody who pulls, when the detector is armed"""
_LAST_WAIT = 10.0
"""s that what is queued may take to be fetched at the end"""
_UNIQUE = "01JE{:09d}CRYSTINTSIMULATED"


class Simulator:
    """A detector that sends frames in turn.

    It binds its socket at once, waits for somebody who pulls, and sends from a thread of its own. What nobody fetched
    in time is thrown away and counted, as detectors do.

    Parameters
    ----------
    frames : Simulation, Frames, integer [n, slow, fast], or sequence of integer [slow, fast]
        Packed before anything is sent; image i shows frame i modulo n.
    fps : float or None
        Images per second; None = as fast as they are fetched, none is thrown away.
    images : int, optional
        Per series; None = as many as there are frames.
    series : int
        How many, one after the other.
    stream : str or sequence of str
        Where the socket is bound; ``tcp://127.0.0.1:*`` = a port that is free, see `addresses`. In the dialect of
        Jungfraujoch there is a socket for each address, `images_per_file` images go to each in turn, and starts and
        ends to all.
    faults : Faults, mapping or path of a YAML file, optional
    dialect : "stream2", "jungfraujoch", "legacy"
    channels : sequence of str, optional
        Of an exposure; the default is that of the dialect.
    header_detail : "all", "basic", "none"
        Whether the start has the pixel mask, the geometry and the instrument; not the mask; neither.
    compression : "bslz4", "lz4", "none"
    seed : int
        Of the faults.
    queue : int
        Bytes of images that are held for those who do not fetch them in time.
    wait : float
        s to wait for somebody who pulls.
    images_per_file : int
        See `stream`.
    simplon : str, optional
        "HOST:PORT" of the REST interface of a detector; then series start when they are armed and triggered.

    Attributes
    ----------
    addresses : tuple of str
        Where it is bound.

    Raises
    ------
    SettingError, ShapeError, FileError
        When frames, faults or addresses are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.online import Simulator
    >>> frames = np.zeros((3, 20, 30), np.uint16)
    >>> with Simulator(frames, fps=500, faults={"drop": [1]}, stream="tcp://127.0.0.1:*", wait=0.1) as detector:
    ...     detector.stop()
    """

    def __init__(
        self,
        frames: Exposures | Simulation | Frames | NDArray[Any] | Iterable[NDArray[Any]],
        fps: float | None = 250.0,
        *,
        images: int | None = None,
        series: int = 1,
        stream: str | Sequence[str] = "tcp://127.0.0.1:31001",
        faults: Faults | Mapping[str, Any] | str | Path | None = None,
        dialect: Dialect = "stream2",
        channels: Sequence[str] | None = None,
        header_detail: HeaderDetail = "basic",
        compression: Literal["bslz4", "lz4", "none"] = "bslz4",
        seed: int = 0,
        queue: int = 2**29,
        wait: float = 60.0,
        images_per_file: int = 1000,
        simplon: str | None = None,
    ) -> None:
        if fps is not None and not 0 < fps < np.inf:
            raise SettingError(f"fps is {fps!r}, expected a number above 0, or None")
        if dialect not in ("stream2", "jungfraujoch", "legacy"):
            raise SettingError(f"dialect is {dialect!r}, expected stream2, jungfraujoch or legacy")
        if dialect == "jungfraujoch" and compression == "lz4":
            raise SettingError("compression is 'lz4', which Jungfraujoch does not send; expected bslz4 or none")
        self.faults = Faults.read(faults)
        names = tuple(channels) if channels else ("default",) if dialect == "jungfraujoch" else ("threshold_1",)
        if dialect == "legacy" and len(names) > 1:
            raise SettingError(f"channels are {', '.join(names)}; the legacy stream has one")
        self.exposures = exposures_of(frames, names, compression)
        self.fps, self._waited = fps, wait
        self._images = len(self.exposures.images) if images is None else images
        self._count, self._seed, self._per_file = series, seed, max(images_per_file, 1)
        self._first_unique = time.time_ns() // 10**6 % 10**9
        self._start = _start_of(self.exposures, dialect, names, header_detail, fps)
        self._wire = Wire(self.exposures.images, self._start, _ways(self.faults))
        self.truth = Truth(
            {
                "dialect": dialect,
                "fps": fps,
                "shape": list(self.exposures.shape),
                "dtype": self.exposures.dtype.name,
                "channels": list(names),
                "header_detail": header_detail,
                "seed": seed,
                "faults": self.faults.model_dump(mode="json", exclude_defaults=True),
            },
            self.exposures.truth,
            len(self.exposures.images),
        )
        self._halt, self._done = Event(), Event()
        self._stopping = False
        self._error: Exception | None = None
        self._thread: Thread | None = None
        places = (stream,) if isinstance(stream, str) else tuple(stream)
        queued = max(8, queue // max(self.exposures.size, 2048))
        self._outlet = Outlet(places, each=dialect == "jungfraujoch", queue=queued)
        self.addresses: tuple[str, ...] = self._outlet.addresses
        self.simplon: Simplon | None = None
        self._control: ArmedDetector | None = None
        if simplon is not None:
            try:
                self._control = ArmedDetector(self._halt)
                self.simplon = Simplon(simplon, self._control, _parameters(self._start, self._images, fps))
            except BaseException:
                self._outlet.close(0.0)
                raise

    @property
    def address(self) -> str:
        """The first of `addresses`."""
        return self.addresses[0]

    def start(self) -> Self:
        """Begin to send, once somebody pulls; or to listen to the REST interface."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="detector")
            self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> Truth:
        """Wait until all series are sent.

        Raises
        ------
        StreamError
            When nobody pulled, or it takes longer than `timeout` seconds.
        """
        if not self._done.wait(timeout):
            raise StreamError(f"the simulated detector still sends after {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self.truth

    def finished(self, timeout: float = 0.0) -> bool:
        """Whether all series are sent, after so many seconds at most."""
        return self._done.wait(timeout)

    def stop(self) -> None:
        """End the series that runs, with an end message, and send no more."""
        self._stopping = True
        self._halt.set()
        if self._control is not None:
            self._control.close()

    def close(self, seconds: float = _LAST_WAIT) -> None:
        """Stop, and close the sockets when what they hold is fetched, or after so many seconds."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        if self.simplon is not None:
            self.simplon.close()
        self._outlet.close(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(_LAST_WAIT if self._done.is_set() and error is None else 0.5)

    def _run(self) -> None:
        try:
            if self._control is None:
                self._outlet.wait_for_pullers(self._waited, self._halt)
                self._all_series()
            else:
                self._armed_series(self._control)
        except Exception as error:  # told by `wait`
            self._error = error
        finally:
            self._done.set()

    def _all_series(self) -> None:
        turns = seconds = 0.0
        count = self._count + (self.faults.restart_at is not None)
        for number in range(count):
            if self._halt.is_set():
                break
            series = self._new_series(number, self._images)
            plan = actions(self.faults, self._images, self._seed + number, first=not number)
            sender = SeriesSender(
                self._outlet, self._wire, self.faults, self.fps, self._halt, images_per_file=self._per_file
            )
            sender.run(series, plan)
            series.early |= series.images < self._images
            turns, seconds = turns + max(sender.turns - 1, 0), seconds + sender.seconds
        self.truth.rate = turns / seconds if seconds > 0 else None

    def _new_series(self, number: int, images: int) -> SeriesTruth:
        identity = 1 if self.faults.same_id else number + 1
        unique = _UNIQUE.format(0 if self.faults.same_unique_id else self._first_unique + number)
        if self._start.dialect == "legacy":
            unique = ""
        announced = images if self.faults.announced is None else self.faults.announced
        series = SeriesTruth(identity, unique, announced)
        self.truth.series.append(series)
        return series

    def _armed_series(self, control: ArmedDetector) -> None:
        """Series that are asked for."""
        assert self.simplon is not None
        parameters = self.simplon.parameters
        number = 0
        while control.wait_for_arm():
            per_trigger = max(parameters["detector/config/nimages"], 1)
            images = per_trigger * parameters["detector/config/ntrigger"]
            fps = 1.0 / max(parameters["detector/config/frame_time"], 1e-6)
            dialect = self._start.dialect
            if dialect != "jungfraujoch":
                dialect = "legacy" if parameters["stream/config/format"] == "legacy" else "stream2"
            start = _start_of(
                self.exposures, dialect, self._start.channels, parameters["stream/config/header_detail"], fps
            )
            series = self._new_series(number, images)
            control.begin(series, per_trigger, parameters["detector/config/trigger_mode"])
            sender = SeriesSender(
                self._outlet, Wire(self.exposures.images, start, _ways(self.faults)), self.faults, fps, self._halt,
                images_per_file=self._per_file, silent=parameters["stream/config/mode"] == "disabled",
            )  # fmt: skip
            plan = actions(self.faults, images, self._seed + number, first=not number)
            sender.run(series, plan, control.gate, per_trigger, _ARM_WAIT)
            number += 1
            if not self._stopping:
                self._halt.clear()
            control.finish()


def _ways(faults: Faults) -> list[Way]:
    """How images will be sent."""
    names: dict[str, Way] = {
        "differing": "other_bytes", "lz4": "lz4", "raw": "raw", "wrong_shape": "wrong_shape",
        "corrupt_lz4": "corrupt_lz4", "huge_total": "huge_total", "unknown_algorithm": "unknown_algorithm",
    }  # fmt: skip
    return [way for name, way in names.items() if getattr(faults, name)]


def _start_of(
    exposures: Exposures, dialect: Dialect, channels: Sequence[str], detail: HeaderDetail, fps: float | None
) -> Start:
    """What the detector tells of itself."""
    if detail not in ("all", "basic", "none"):
        raise SettingError(f"header_detail is {detail!r}, expected all, basic or none")
    start = Start(SeriesKey(0), exposures.shape, dialect, channels=tuple(channels), dtype=exposures.dtype)
    if detail == "none":
        return start
    seconds = 0.004 if fps is None else 1.0 / fps
    mask = exposures.mask if detail == "all" else None
    return replace(
        start,
        geometry=exposures.geometry,
        masks={} if mask is None else dict.fromkeys(channels, mask),
        instrument=exposures.instrument,
        frame_time=seconds,
        count_time=seconds * 0.999,
        error_value=hidden_value(exposures.dtype) if dialect == "jungfraujoch" else None,
        armed=time.time_ns(),
    )


def _parameters(start: Start, images: int, fps: float | None) -> Parameters:
    """Of the REST interface, as the detector is."""
    seconds = 0.004 if fps is None else 1.0 / fps
    values: dict[str, Any] = {
        "nimages": images,
        "frame_time": seconds,
        "count_time": seconds * 0.999,
        "frame_count_time": seconds * 0.999,
        "x_pixels_in_detector": start.shape[1],
        "y_pixels_in_detector": start.shape[0],
        "bit_depth_image": 8 * (start.dtype or np.dtype("u2")).itemsize,
    }
    geometry = start.geometry
    if geometry is not None:
        values |= {
            "beam_center_x": geometry.beam_center[1],
            "beam_center_y": geometry.beam_center[0],
            "detector_distance": geometry.distance,
            "x_pixel_size": geometry.pixel_size[1],
            "y_pixel_size": geometry.pixel_size[0],
        }
        if geometry.wavelength is not None:
            energy = energy_of(geometry.wavelength)
            values |= {"wavelength": geometry.wavelength, "photon_energy": energy, "incident_energy": energy}
    return Parameters(values)
