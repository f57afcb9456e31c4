"""A program that writes what an `ImageTcp` sends: the reference for others, and ``crystint online write``."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystint.errors import CrystintError, FileError, StreamError
from crystint.io.outputs import refused
from crystint.online.output_names import checked_prefix, place_outputs, series_name
from crystint.online.raw_files import RawFiles
from crystint.online.tcp_hub import host_and_port
from crystint.run.journal import header_of
from crystint.stream.cbor import decode, decode_map, encode
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.read import read_message
from crystint.stream.tcp import BEAT, Header, Incoming, Kind

__all__ = ["TcpWriter"]

_FROM_SENDER = frozenset({Kind.START, Kind.IMAGE, Kind.END, Kind.KEEPALIVE, Kind.REFUSE})
_RETRY = 1.0
"""s between two attempts to connect"""

Tell = Callable[[str, Mapping[str, Any]], None]


class _Refused(StreamError):  # noqa: N818
    """The sender does not want this writer."""


class TcpWriter:
    """Connects to a sender of images and writes those that it gets into files, one set of them for each series.

    An image is acknowledged when its file has it: a process that is killed loses none that it acknowledged, and goes on
    with its files when it is started again. While the disk is slow it says that it is busy.

    Parameters
    ----------
    address : str
        Of the sender, "tcp://127.0.0.1:5604".
    folder : path
        Of the files.
    name : str, optional
        Of this writer; no two may have the same. None = of the machine and process.
    index, of : int
        Which part of the images it would like; more than one part gives the files names with ``_w00``, ``_w01``...
    images_per_file : int, optional
    overwrite : bool
    liveness : float
        s of silence after which the sender is taken for dead, and connected anew.
    series : int, optional
        Ends after so many.
    tell : callable, optional
        Takes the name of an event and what it tells: ``file``, ``warning``, ``state``.

    Raises
    ------
    SettingError
        When the address is none.
    FileError
        When the folder cannot be made.
    """

    def __init__(
        self,
        address: str,
        folder: str | Path,
        *,
        name: str | None = None,
        index: int = 0,
        of: int = 1,
        images_per_file: int | None = None,
        overwrite: bool = False,
        liveness: float = 5.0,
        series: int | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._address, self._folder = host_and_port(address), Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(self._folder, error) from error
        self._suffix = f"_w{index:02d}" if of > 1 else ""
        self._hello = {"name": name or f"{socket.gethostname()}-{os.getpid()}", "want": {"index": index, "of": of}}
        self._per_file, self._overwrite, self._liveness = images_per_file, overwrite, liveness
        self._tell: Tell = (lambda name, data: None) if tell is None else tell
        self._files: dict[SeriesKey, RawFiles] = {}
        self._streams: dict[int, SeriesKey] = {}
        self._most = series
        self._stop = threading.Event()
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._working = 0.0
        self.written = self.left_out = self.series = 0
        """images that are in files; that do not fit these, which `tell` was told; series whose files are closed"""

    def run(self) -> None:
        """Write until `stop` is called.

        Raises
        ------
        StreamError
            When the sender refuses this writer.
        FileError
            When the disk takes no more. What is there can be gone on with.
        """
        heart = threading.Thread(target=self._beat, name="crystint heart-beat")
        heart.start()
        try:
            while not self._stop.is_set():
                try:
                    self._talk()
                except _Refused:
                    raise
                except (OSError, EOFError, StreamError) as error:
                    if isinstance(error, FileError):
                        raise
                    if not self._stop.is_set():
                        text = getattr(error, "strerror", None) or str(error) or "it closed the connection"
                        self._tell("state", {"text": f"no connection to the sender: {text}"})
                    self._stop.wait(_RETRY)
        finally:
            self._stop.set()
            heart.join()
            self._close_files()

    def stop(self) -> None:
        """End `run`; from any thread."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _talk(self) -> None:
        """One connection, from hello to its end."""
        with socket.create_connection(self._address, timeout=self._liveness) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._streams = {}
            payload = encode(self._hello)
            connection.sendall(Header(Kind.HELLO, length=len(payload)).pack() + payload)
            self._connection = connection
            self._tell("state", {"text": "connected to {}:{}".format(*self._address)})
            incoming = Incoming(_FROM_SENDER)
            try:
                while not self._stop.is_set():
                    message = incoming.read(connection)
                    if message is not None:
                        self._take(*message)
            finally:
                with self._sending:
                    self._connection = None

    def _say(self, kind: Kind, stream: int = 0, sequence: int = 0) -> None:
        with self._sending:
            if self._connection is not None:
                self._connection.sendall(Header(kind, stream, sequence).pack())

    def _beat(self) -> None:
        """Signs of life, while the disk is waited for as well."""
        while not self._stop.wait(BEAT):
            since = self._working
            with suppress(OSError):
                self._say(Kind.BUSY if since and time.monotonic() - since > BEAT else Kind.KEEPALIVE)

    def _take(self, header: Header, payload: memoryview) -> None:
        if header.kind == Kind.REFUSE:
            reason = decode(payload).get("reason")
            raise _Refused(f"the sender refuses this writer: {reason}")
        if header.kind == Kind.KEEPALIVE:
            return
        self._working = time.monotonic()
        try:
            if header.kind == Kind.START:
                self._begin(header.stream, payload)
            elif header.kind == Kind.IMAGE:
                self._write(header.stream, payload)
            else:
                self._end(header.stream)
        finally:
            self._working = 0.0
        self._say(Kind.ACK, header.stream, header.sequence)

    def _begin(self, stream: int, payload: memoryview) -> None:
        start = read_message(payload)
        if not isinstance(start, Start):
            raise StreamError("the start of a series is none")
        self._streams[stream] = start.series
        if start.series in self._files:
            return
        about = decode_map(payload, {"crystint"}).get("crystint") or {}
        name = about.get("name") if isinstance(about, dict) else None
        try:
            folder, name = self._place(start.series, f"{name or series_name(start.series)}{self._suffix}")
        except CrystintError as error:
            if isinstance(error, FileError):
                raise
            folder, name = self._place(start.series, f"{series_name(start.series)}{self._suffix}")
            self._tell("warning", {"text": f"{error}; the files are called {name}"})
        self._files[start.series] = RawFiles(folder, name, start, images_per_file=self._per_file, tell=self._tell)
        for text in start.warnings:
            self._tell("warning", {"text": text})

    def _place(self, key: SeriesKey, prefix: str) -> tuple[Path, str]:
        """Folder and name of the files; of those that a killed writer left of the series, if there are any."""
        top = Path(os.path.realpath(self._folder))
        place = Path(os.path.realpath((top / checked_prefix(prefix)).parent))
        for journal in sorted(place.glob("*_data_*.h5.partial") if place.is_relative_to(top) else ()):
            header = None
            with suppress(FileError, OSError, ValueError):
                header = header_of(journal.with_name(journal.name.removesuffix(".partial")))
            same = {} if header is None else header.get("same", {})
            name = journal.name.partition("_data_")[0]
            mine = re.fullmatch(rf"{re.escape(prefix.rpartition('/')[2])}(_\d+)?", name)
            if mine and (same.get("series_id"), same.get("series_unique_id")) == (key.id, key.unique_id):
                return journal.parent, name
        return place_outputs(self._folder, prefix, overwrite=self._overwrite)

    def _write(self, stream: int, payload: memoryview) -> None:
        files = self._files[self._streams[stream]] if stream in self._streams else None
        if files is None:
            raise StreamError(f"an image came of stream {stream}, which did not start")
        image = read_message(payload)
        if not isinstance(image, Image):
            raise StreamError("an image is none")
        if files.write(image):
            self.written += 1
        else:
            self.left_out += 1

    def _end(self, stream: int) -> None:
        files = self._files.pop(self._streams.pop(stream), None) if stream in self._streams else None
        if files is not None:
            files.finish()
            self.series += 1
            if self._most is not None and self.series >= self._most:
                self._stop.set()

    def _close_files(self) -> None:
        for files in self._files.values():
            files.finish()
            self.series += 1
        self._files = {}
