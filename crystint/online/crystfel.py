"""Answers CrystFEL's requests for the next image: peaks, and pixels where they are wanted, of each hit in its turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import StreamError
from crystint.io.crystfel_message import BAD_VALUE, crystfel_message, crystfel_pixels
from crystint.io.geometry.crystfel_out import geom_text
from crystint.model.geometry import Geometry
from crystint.online.queued_sink import Tell
from crystint.online.result import Result
from crystint.online.sink import Event, Run
from crystint.online.zmq_sink import ZmqSink, zmq
from crystint.stream.messages import Image, SeriesKey

__all__ = ["CrystfelServer", "crystfel_setup"]

_REQUEST = "next"
_MOST_ASKING = 10_000
"""requests that are remembered"""
_SMALL = 2000
"""bytes of a hit beside its pixels and peaks"""


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    """A hit that may be asked for."""

    place: int
    """among all hits"""
    run: Run
    result: Result
    image: Image | None
    size: int


class CrystfelServer(ZmqSink):
    """A ROUTER socket that holds a request until there is a hit, and answers each request once, however late.

    `indexamajig --zmq-input=ADDRESS --zmq-request=next --data-format=msgpack --peaks=msgpack` asks; `crystfel_setup`
    tells how. What nobody asks for is held, the oldest is thrown away, and counted, when there is too much of it.

    Parameters
    ----------
    address : str
        Where it is bound, such as tcp://127.0.0.1:5603.
    tell : callable, optional
        Takes warnings, as events.
    share : "all" or "each"
        "all": an image goes to one of the programs that ask; "each": to every one.
    images : bool
        Send pixels, too.
    channel : str, optional
        That is sent; None = the first.
    lowest : float, optional
        The smallest measurement; None = as the start of the series tells.
    limit : int
        Bytes of what nobody has asked for yet.

    Raises
    ------
    SettingError
        When it cannot be bound there.
    """

    def __init__(
        self,
        address: str,
        tell: Tell | None = None,
        *,
        share: Literal["all", "each"] = "all",
        images: bool = True,
        channel: str | None = None,
        lowest: float | None = None,
        limit: int = 512 * 2**20,
    ) -> None:
        super().__init__("crystfel", "ROUTER", address, tell, {"ROUTER_MANDATORY": 1, "SNDHWM": 4}, limit)
        self._share, self._images, self._channel = share, images, channel
        self._lowest = lowest
        self._raw: OrderedDict[tuple[SeriesKey, int], Image] = OrderedDict()
        self._raw_bytes = 0
        self._raw_lock = threading.Lock()
        self._hits: deque[_Hit] = deque()
        self._hit_bytes = 0
        self._count = 0
        self._asking: deque[list[bytes]] = deque(maxlen=_MOST_ASKING)
        self._next_of: OrderedDict[bytes, int] = OrderedDict()
        self._answers = 0
        self._masks: dict[SeriesKey, NDArray[np.bool_] | None] = {}
        self._start()

    # threads of the receiver and of the results

    def image(self, run: Run, image: Image) -> None:
        if not self._images:
            return
        with self._raw_lock:
            self._raw[run.key, image.number] = image
            self._raw_bytes += image.size
            while self._raw_bytes > self._limit:
                _, oldest = self._raw.popitem(last=False)
                self._raw_bytes -= oldest.size

    def results(self, run: Run, results: Sequence[Result]) -> None:
        pairs, size = [], 0
        for result in results:
            with self._raw_lock:
                image = self._raw.pop((run.key, result.number), None)
                self._raw_bytes -= 0 if image is None else image.size
            if not result.hit:
                continue
            if image is None and self._images:
                with self._lock:
                    self._lost += 1
                self._warn(run.key, "images came faster than they were looked at: some hits are not sent")
                continue
            taken = _SMALL + result.peaks.nbytes + (0 if image is None else image.size)
            pairs.append((result, image, taken))
            size += taken
        if pairs:
            self._put("results", run, pairs, size)

    def event(self, event: Event) -> None: ...

    def end(self, run: Run) -> None:
        with self._raw_lock:  # what has no result yet may still get one, late; it is not waited for
            for key in [key for key in self._raw if key[0] == run.key]:
                self._raw_bytes -= self._raw.pop(key).size
        super().end(run)

    # thread of the sink

    def _results(self, run: Run, pairs: Sequence[Any]) -> None:
        for result, image, size in pairs:
            self._hits.append(_Hit(self._count, run, result, image, size))
            self._count += 1
            self._hit_bytes += size
        over = False
        while self._hit_bytes > self._limit:
            oldest = self._hits.popleft()
            self._hit_bytes -= oldest.size
            if self._share == "all" or any(place <= oldest.place for place in self._next_of.values()):
                over = True
                with self._lock:
                    self._lost += 1
        if over:
            self._warn(run.key, "fewer images are asked for than there are hits: the oldest ones are thrown away")

    def _end(self, run: Run) -> None:
        if not any(hit.run.key == run.key for hit in self._hits):
            self._masks.pop(run.key, None)

    def _tick(self) -> None:
        while True:
            try:
                request = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._asking.append(request[:-1])
        waiting: deque[list[bytes]] = deque()
        while self._asking:
            envelope = self._asking.popleft()
            if not self._answered(envelope):
                waiting.append(envelope)
        self._asking.extend(waiting)

    def _answered(self, envelope: list[bytes]) -> bool:
        """Whether this request is done with: answered, or nobody waits for the answer any more."""
        while (hit := self._hit_for(envelope[0])) is not None:
            try:
                message = self._message_of(hit)
            except StreamError as error:
                with self._lock:
                    self._lost += 1
                self._warn(hit.run.key, f"a hit is not sent: {error}")
                self._done(envelope[0], hit)
                continue
            try:
                self._socket.send_multipart([*envelope, message], zmq.NOBLOCK)
            except zmq.ZMQError:  # who asked is gone; the hit is for the next
                self._next_of.pop(envelope[0], None)
                return True
            self._done(envelope[0], hit)
            self._answers += 1
            return True
        return False

    def _hit_for(self, program: bytes) -> _Hit | None:
        if not self._hits:
            return None
        if self._share == "all":
            return self._hits[0]
        wanted = max(self._next_of.get(program, 0), self._hits[0].place)
        index = wanted - self._hits[0].place
        return self._hits[index] if index < len(self._hits) else None

    def _done(self, program: bytes, hit: _Hit) -> None:
        if self._share == "all":
            self._hits.popleft()
            self._hit_bytes -= hit.size
            return
        self._next_of[program] = hit.place + 1
        self._next_of.move_to_end(program)
        while len(self._next_of) > _MOST_ASKING:
            self._next_of.popitem(last=False)

    def _message_of(self, hit: _Hit) -> bytes:
        pixels = None
        if hit.image is not None:
            frame = hit.image.frame(self._channel)
            unusable = hit.run.start.valid_of(frame.dtype).unusable(frame)
            if self._lowest is not None:
                unusable |= frame < self._lowest
            if (mask := self._mask_of(hit.run)) is not None and mask.shape == frame.shape:
                unusable |= mask
            pixels = crystfel_pixels(frame, unusable)
        run = hit.run
        return crystfel_message(
            hit.result.peaks, pixels, number=hit.result.number, series=str(run.key), geometry=run.geometry
        )

    def _mask_of(self, run: Run) -> NDArray[np.bool_] | None:
        if run.key not in self._masks:
            masks = run.start.masks
            mask = masks.get(self._channel or "", next(iter(masks.values()), None))
            self._masks = {**dict(list(self._masks.items())[-3:]), run.key: None if mask is None else mask != 0}
        return self._masks[run.key]

    def _status(self) -> Mapping[str, Any]:
        waiting = {"hits": len(self._hits), "bytes": self._hit_bytes, "requests": len(self._asking)}
        return {"address": self.address, "answers": self._answers, "waiting": waiting}


def crystfel_setup(address: str, geometry: Geometry, saturation: float | None = None) -> dict[str, str]:
    """What a user of CrystFEL needs.

    Parameters
    ----------
    address : str
        Of a `CrystfelServer`.
    geometry : Geometry
    saturation : float, optional
        The largest measurement.

    Returns
    -------
    dict
        "geometry", the text of a .geom file; "command", a command line; "address".

    Raises
    ------
    GeometryError
        When the wavelength is not known.
    """
    text = geom_text(
        geometry,
        data="image",
        dimensions=("ss", "fs"),
        peak_list="peak_list",
        bad_value=BAD_VALUE,
        saturation=saturation,
        comment=f"for images of crystint online at {address}",
    )
    command = (
        f"indexamajig --zmq-input={address} --zmq-request={_REQUEST} --data-format=msgpack --peaks=msgpack "
        "-g crystint.geom -o crystint.stream"
    )
    return {"geometry": text, "command": command, "address": address}
