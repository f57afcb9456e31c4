"""The service: from messages to results, in threads of one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.engine import Engine
from crystint.errors import RefusedError, SettingError
from crystint.model.geometry import Geometry
from crystint.online.analysis import Analysis
from crystint.online.callbacks import Callbacks
from crystint.online.configuration import Configuration
from crystint.online.emitter import Emitter
from crystint.online.events import EventLog
from crystint.online.intake import Intake
from crystint.online.outputs import Outputs
from crystint.online.reception import Reception
from crystint.online.result import Result
from crystint.online.service_control import ServiceControl
from crystint.online.service_status import ServiceStatus
from crystint.online.settings import AnalysisSettings, ServeSettings
from crystint.online.sink import Event, Sink
from crystint.online.sparse_images import SparseImages
from crystint.online.timeline import Timeline
from crystint.online.work_queue import WorkQueue
from crystint.online.workers import Workers
from crystint.stream.read import read_message

if TYPE_CHECKING:
    from crystint.online.receiver import ReceiverThread

__all__ = ["Service"]

_STUCK = 70.0
"""s that the receiver may be away from its sockets: it looks at them each minute when nothing comes"""
_AUTO = 4 * 10**9
"""bytes"""
_OF_AN_IMAGE = 4096
"""bytes of the objects of an image that waits, as measured with images of 64 pixels"""


class Service(ServiceControl):
    """Takes the stream of a detector and finds the peaks of each image.

    It is a `crystint.online.control.Control`, and works in one process without HTTP. What is written and published is
    done by its sinks.

    Parameters
    ----------
    streams : sequence of str
        Addresses of ZeroMQ that the detector binds; empty = messages come by `take`.
    geometry : Geometry, optional
        In place of that of the start messages.
    mask : integer or bool [slow, fast], optional
        The user's mask: nonzero = masked.
    settings : AnalysisSettings or ServeSettings, optional
    out : path, optional
        Folder of the outputs.
    engine : Engine, optional
        None = the device of the settings, or the default one.

    Raises
    ------
    CrystintError
        When something does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> from crystint.online import AnalysisSettings, Service
    >>> from crystint.stream import End, Image, SeriesKey, Start, encode_end, encode_frame, encode_image, encode_start
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> series = SeriesKey(1, "a")
    >>> start = Start(series, data.shape, "stream2", images=1, channels=("one",), geometry=data.geometry)
    >>> image = Image(series, 0, {"one": encode_frame(data[0], "bslz4")})
    >>> results = []
    >>> with Service(settings=AnalysisSettings(rings=30)) as service:
    ...     service.on_result(results.append)
    ...     for message in (encode_start(start), encode_image(image), encode_end(End(series))):
    ...         service.take(message)
    ...     service.wait("idle")
    True
    >>> len(results[0].peaks) > 4, service.series()[0]["books"]["analysed"]
    (True, 1)
    """

    def __init__(
        self,
        streams: Sequence[str] = (),
        geometry: Geometry | None = None,
        mask: NDArray[Any] | None = None,
        settings: AnalysisSettings | None = None,
        out: FileName | None = None,
        engine: Engine | None = None,
    ) -> None:
        use = settings if settings is not None else AnalysisSettings()
        values = {name: getattr(use, name) for name in type(use).model_fields}
        self.serving = use if isinstance(use, ServeSettings) else ServeSettings(**values)
        self.streams = tuple(streams) or self.serving.stream
        self.out = Path(out) if out is not None else self.serving.out
        self.engine = engine if engine is not None else Engine(self.serving.device)
        self.sinks: list[Sink] = []
        self._functions: list[Callable[[Result], object]] = []
        self._callbacks: Callbacks | None = None
        self.began = time.time_ns()
        memory = self.serving.memory
        budget = _share_of_memory() if memory == "auto" else memory
        self.queue = WorkQueue(budget, self.serving.when_full, overhead=_OF_AN_IMAGE)
        self.queue.blocked = lambda: any(sink.full for sink in self.sinks)
        self.emitter = Emitter(self.sinks, self._alarm, self._turn, lambda series: self.reception.settled(series))
        self.log = EventLog(self.emitter.event)
        analysing = AnalysisSettings(**{name: getattr(use, name) for name in AnalysisSettings.model_fields})
        self.configuration = Configuration(
            self.engine,
            analysing,
            self.serving.channel,
            lambda: list(self.intake.live.values()),
            self.log.warn,
            self._fail,
        )
        outputs = Outputs(self.out, self.serving.overwrite, self._alarm)
        self.reception = Reception(self.serving, geometry, outputs, self.emitter, self.configuration, self.log)
        dialect = None if self.serving.dialect == "auto" else self.serving.dialect
        self.intake = Intake(
            partial(read_message, dialect=dialect),
            self.queue,
            self.reception,
            grace=self.serving.grace,
            resume=self.reception.cut_off(),
            dropped=self.reception.dropped,
        )
        threads = self.serving.threads or max(1, (os.cpu_count() or 1) - 2)
        sparse = None
        if self.serving.sparse and self.out is not None:
            sparse = SparseImages(self.serving.snr_sparse, self.queue.budget // 4)
        self.workers = Workers(self.queue, threads, self.emitter.result, self._renew, sparse)
        self._status = ServiceStatus(
            self.intake, self.queue, self.emitter, self.configuration, self.log, self.reception.received, self.sinks,
            self.streams, threads, self.began, self._receiving,
        )  # fmt: skip
        self._tried: list[Engine] = []
        self._state = self.intake.state.now
        self._turned = threading.Condition()
        self._taking = threading.RLock()
        self._receiver: ReceiverThread | None = None
        self._running = self._closed = False
        if mask is not None:
            self.configuration.change_mask(mask)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def open(self) -> None:
        """Begin."""
        if self._running or self._closed:
            raise RefusedError("wrong_state", "the service runs already, or is closed")
        if self.streams:
            from crystint.online.inlet import Inlet  # needs pyzmq
            from crystint.online.receiver import ReceiverThread

            self._receiver = ReceiverThread(Inlet(self.streams), self.intake)
        self._running = True
        if self.out is not None:
            self.add(_writer(self.serving, self.queue.budget // 4, self.tell))
        self._callbacks = Callbacks(self.tell)
        for function in self._functions:
            self._callbacks.add(function)
        self.add(self._callbacks)
        self.configuration.start()
        self.emitter.start()
        self.workers.start()
        if self._receiver is not None:
            self._receiver.start()

    def close(self, *, finish: bool = True) -> None:
        """End.

        Parameters
        ----------
        finish : bool
            What has come is looked at first.
        """
        if self._closed or not self._running:
            for sink in [] if self._closed else self.sinks:
                sink.close()
            self._closed = True
            return
        self._closed = True
        with suppress(RefusedError):  # it has stopped
            self._call(lambda: self._abort("the service ends", cancel=not finish))
        if self._receiver is not None:
            self._receiver.close()
        self.queue.close()
        self.configuration.close()
        self.workers.join()
        self.reception.close()
        self.emitter.close()

    def add(self, sink: Sink) -> None:
        """Give results, images and events to a sink, too; before `open`.

        Parameters
        ----------
        sink : Sink
        """
        self.sinks.append(sink)
        self.emitter.sinks.append(sink)

    def tell(self, event: Event) -> None:
        """Take an event of a sink. Of a "file" the data have `path` and, as text, the `series`.

        Parameters
        ----------
        event : Event
        """
        if event.name == "file":
            for series in [*list(self.intake.closed), *list(self.intake.live.values())]:
                if str(series.key) == event.data.get("series") and series.context is not None:
                    series.context.files.append(str(event.data.get("path")))
        self.log.tell(event)
        if event.name == "alarm" and event.data.get("state") == "error" and not self._closed:
            self._fail(str(event.data.get("text", "an output failed")))

    def take(self, parts: Any, received: int | None = None) -> None:
        """Take a message that came in another way than by a stream.

        Parameters
        ----------
        parts : buffer, or sequence of buffers
        received : int, optional
            ns since 1970-01-01 UTC; None = now.
        """
        message = list(parts) if isinstance(parts, list | tuple) else [parts]
        self._call(lambda: self.intake.message(message, time.time_ns() if received is None else received))

    def wait(self, state: str, timeout: float = 30.0) -> bool:
        """Wait until it is in a state: idle, arming, measuring, finishing or error; whether it is.

        Parameters
        ----------
        state : str
        timeout : float
            s
        """
        with self._turned:
            return self._turned.wait_for(lambda: self.intake.state.now.name == state, timeout)

    def on_result(self, function: Callable[[Result], object]) -> None:
        """Call a function with every result in order, in a thread for that. What it is too slow for is left out, and
        counted in `status`.

        Parameters
        ----------
        function : callable
        """
        self._functions.append(function)
        if self._callbacks is not None:
            self._callbacks.add(function)

    def _sources(self) -> list[dict[str, Any]]:
        return [] if self._receiver is None else [asdict(source) for source in self._receiver.inlet.sources]

    def _call(self, function: Callable[[], Any]) -> None:
        """Do something in the place of the receiver."""
        if self._receiver is not None:
            self._receiver.ask(function)
            return
        with self._taking:
            function()

    def _receiving(self) -> bool:
        """Whether messages are taken."""
        receiver = self._receiver
        if receiver is None:
            return self._running and not self._closed
        return not self._closed and time.monotonic() - receiver.turned < _STUCK

    def _turn(self) -> None:
        """From the thread of the results, now and then."""
        if self._receiver is None and self._taking.acquire(blocking=False):
            try:
                self.intake.tick()
            finally:
                self._taking.release()
        now = self.intake.state.now
        if now is not self._state:
            for state in self.intake.state.transitions:
                if state.revision > self._state.revision:
                    data = {"state": state.name, "stalled": state.stalled, "reason": state.reason}
                    self.log.add("state", data | {"revision": state.revision})
            self._state = now
            with self._turned:
                self._turned.notify_all()

    def _alarm(self, text: str) -> None:
        self.log.add("alarm", {"text": text})

    def _renew(self, timeline: Timeline, analysis: Analysis, error: Exception) -> bool:
        """Another queue of the same device, then the CPU where no device was asked for."""
        failed = analysis.search.engine

        def engine() -> Engine:
            if failed in self._tried:
                if self.serving.device is not None or failed is None or failed.on_cpu:
                    raise error
                started = Engine("cpu")
            else:
                started = Engine(None if failed is None else failed.device)
            self._tried = [*self._tried[-8:], started]
            self.engine = started
            self._alarm(f"the device failed ({error}); going on with {started.device.name}")
            return started

        if self.configuration.renew(timeline, analysis, engine):
            return True
        self._fail(f"the device failed: {error}")
        return False

    def _fail(self, text: str) -> None:
        """Come to the state of error, from any thread but that of the receiver."""
        with suppress(RefusedError):  # the receiver has stopped
            self._call(lambda: self.intake.fail(text))


def _writer(settings: ServeSettings, memory: int, tell: Callable[[Event], None]) -> Sink:
    """The sink of files."""
    from crystint.online.writer import Writer

    return Writer(
        raw=settings.raw,
        images_per_file=settings.images_per_file,
        formats=settings.peak_formats,
        sparse=settings.sparse,
        memory=memory,
        when_full=settings.when_full,
        tell=tell,
    )


def _share_of_memory() -> int:
    """bytes: a quarter of the machine's, at most 4 GB."""
    try:
        return min(_AUTO, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
    except (ValueError, OSError):
        raise SettingError("memory is auto, but the machine does not tell how much it has: give --memory") from None
