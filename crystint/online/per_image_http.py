"""Finds the spots of an image that a program names over HTTP, and answers as DIALS's find_spots_server does.

The request is ``GET /path/to/image.cbf;spotfinder.filter.d_min=2;...``, the answer JSON with DIALS's names. Of a file
of many images ``spotfinder.scan_range=n,n`` says which, counted from 1. Facts: dials/command_line/find_spots_server.py
and dials/algorithms/spot_finding/per_image_analysis.py of 2026.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import socket
import threading
import urllib.parse
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.errors import CrystintError, CrystintWarning, RefusedError, SettingError
from crystint.model.frame_table import LOW_D, FrameTable
from crystint.model.peaks import PeakList, empty_peaks
from crystint.online.data_root import file_below
from crystint.run.frames import read_frame
from crystint.separation.frame_search import FrameSearch
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import Settings

__all__ = ["PerImageServer", "bound_socket"]

_FEWEST = 10
"""spots without ice above which a resolution is estimated, as in DIALS"""
_AT_ONCE = 32
"""requests that are taken; more wait in the socket"""
_WAITING = 128
_PATIENCE = 30.0
"""s for a request to arrive"""
_DETECTORS = 4
"""separators that are held"""
_NONE = -1.0
"""what DIALS says where there is no value"""


class PerImageServer:
    """An HTTP server for one folder of files; one image is looked at at a time.

    Parameters
    ----------
    port : int or socket
        Of 127.0.0.1; 0 = the system chooses. Or a socket that listens already, which this then closes.
    data_root : path
        Files outside this folder, also by links and within HDF5, are refused.
    settings : Settings, optional
        What is looked for, and geometry and masks where the files' own are not to be used.
    device : str, optional
        As `Engine` takes it.

    Raises
    ------
    SettingError, DeviceError
        When the port is taken, there is no such folder, or no device.
    """

    def __init__(
        self,
        port: int | socket.socket,
        data_root: str | Path,
        settings: Settings | None = None,
        device: str | None = None,
    ) -> None:
        self._root = Path(data_root).resolve()
        if not self._root.is_dir():
            raise SettingError(f"data_root is {str(data_root)!r}, which is no folder")
        self._settings = Settings() if settings is None else settings
        self._engine = Engine(device)
        self._searches: OrderedDict[str, FrameSearch] = OrderedDict()
        self._one_at_a_time = threading.Lock()
        self._server = _Server(port if isinstance(port, socket.socket) else bound_socket(port))
        self._server.spots = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="crystint per-image HTTP")
        self._thread.start()

    @property
    def url(self) -> str:
        """Of its root."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Finish the requests that have come, and end."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and answer to a request for a path with parameters."""
        name, *parameters = path.split(";")
        name = urllib.parse.unquote(name)
        try:
            with self._one_at_a_time:
                return 200, {"image": name, **self._looked_at(name, parameters)}
        except RefusedError as error:
            status = {"forbidden": 403, "not_found": 404}.get(error.reason, 400)
            return status, {"image": name, "error": str(error)}
        except CrystintError as error:
            return 500, {"image": name, "error": str(error)}

    def _looked_at(self, name: str, parameters: list[str]) -> dict[str, Any]:
        if not name.startswith("/"):
            raise RefusedError("bad_value", "expected the absolute path of an image")
        file = file_below(self._root, name)
        settings, number, unused = _read(parameters, self._settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CrystintWarning)
            with opened([file], settings, remote=True) as run:
                place = _place(run, number, name)
                frame = read_frame(run.frames, place, np.empty(run.frames.shape, run.frames.dtype))
                _, peaks, row = self._search(run).examine(frame, place, None, settings.snr or 5.0, _ratio(run, place))
        texts = dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, CrystintWarning))
        answer = _of_dials(row, empty_peaks() if peaks is None else peaks)
        return answer | ({"warnings": [*texts]} if texts else {}) | ({"unused": unused} if unused else {})

    def _search(self, run: PreparedRun) -> FrameSearch:
        """That of the detector and the settings of a run; the last ones are held."""
        images = [array for array in run.images.values() if array is not None]
        digest = hashlib.blake2b()
        for array in (run.mask, *images):
            digest.update(np.ascontiguousarray(array).data)
        about = [run.settings.model_dump_json(), repr(run.geometry), run.saturation, repr(run.valid)]
        key = f"{about} {digest.hexdigest()}"
        if key not in self._searches:
            self._searches[key] = FrameSearch(
                run.settings, run.geometry, run.mask, run.images, run.saturation, self._engine, run.valid
            )
            while len(self._searches) > _DETECTORS:
                self._searches.popitem(last=False)
        self._searches.move_to_end(key)
        return self._searches[key]


def _ratio(run: PreparedRun, place: int) -> float:
    """Wavelength of a frame over that of the geometry."""
    if run.wavelengths is None or run.geometry.wavelength is None:
        return 1.0
    return float(run.wavelengths[place]) / run.geometry.wavelength


def _place(run: PreparedRun, number: int | None, name: str) -> int:
    """Of the image in its file."""
    count = len(run.frames)
    if count == 1:
        return 0
    if number is None:
        raise RefusedError("bad_value", f"{name} has {count} images; say which, such as ;spotfinder.scan_range=1,1")
    if not 1 <= number <= count:
        raise RefusedError("not_found", f"image {number} of {name}: it has images 1 to {count}")
    return number - 1


def _read(parameters: list[str], settings: Settings) -> tuple[Settings, int | None, list[str]]:
    """Settings, the number of the image, and the parameters that change nothing."""
    changes: dict[str, Any] = {}
    number, unused = None, []
    for parameter in parameters:
        name, equals, value = (part.strip() for part in urllib.parse.unquote(parameter).partition("="))
        last = name.rpartition(".")[2]
        if not equals:
            raise RefusedError("bad_value", f"{parameter!r} is no parameter, expected name=value", parameter)
        if last in ("d_min", "d_max"):
            changes[last] = None if value in ("None", "Auto") else _number(name, value)
        elif last == "min_spot_size":
            changes["connected"] = _number(name, value)
        elif last == "scan_range":
            ends = re.findall(r"-?\d+", value)
            if len(ends) != 2 or ends[0] != ends[1]:
                raise RefusedError("bad_value", f"{name} is {value!r}, expected one image, such as 1,1", name)
            number = int(ends[0])
        else:
            unused.append(parameter)
    try:
        return Settings(**{**settings.model_dump(exclude_unset=True), **changes}), number, unused
    except ValueError as error:
        text = "; ".join(each["msg"] for each in error.errors()) if hasattr(error, "errors") else str(error)
        raise RefusedError("bad_value", text) from None


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RefusedError("bad_value", f"{name} is {value!r}, expected a number", name)
    return number


def _of_dials(row: FrameTable, peaks: PeakList) -> dict[str, Any]:
    """A row and its peaks by DIALS's names; what DIALS estimates in ways of its own is -1, none."""
    first = row[0]
    resolution = float(first["d_min"])
    seen = first["n_no_ice"] > _FEWEST and math.isfinite(resolution)
    total = float(first["total_intensity"])
    return {
        "n_spots_total": int(first["n_spots"]),
        "n_spots_no_ice": int(first["n_no_ice"]),
        "n_spots_4A": int(np.count_nonzero(peaks["d"] > LOW_D)),
        "total_intensity": total if math.isfinite(total) else 0.0,
        "estimated_d_min": resolution if seen else _NONE,
        "d_min_distl_method_1": _NONE,
        "noisiness_method_1": _NONE,
        "d_min_distl_method_2": _NONE,
        "noisiness_method_2": _NONE,
    }


def bound_socket(port: int) -> socket.socket:
    """A socket at a port of 127.0.0.1.

    Raises
    ------
    SettingError
        When it is taken.
    """
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(_WAITING)
    except OSError as error:
        made.close()
        raise SettingError(
            f"per_image_http is {port}, where nothing can be bound: {error.strerror}; expected a port that no other "
            "program uses"
        ) from None
    return made


class _Server(ThreadingHTTPServer):
    """With as many threads at a time as are good."""

    daemon_threads = False
    block_on_close = True
    spots: PerImageServer

    def __init__(self, bound: socket.socket) -> None:
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's business."""


class _Handler(BaseHTTPRequestHandler):
    """A request."""

    server: _Server
    server_version, sys_version = "crystint", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer it."""
        if not _is_this_machine(self.headers.get("Host", "")):
            self._send(403, {"error": "the request is for another host"})
        elif self.path == "/":
            self._send(200, {"server": "crystint"})
        elif self.path == "/Ctrl-C":
            self._send(403, {"error": "this server is not stopped over HTTP"})
        else:
            try:
                status, answer = self.server.spots.answer(self.path)
            except Exception as error:  # whatever it is, the client gets JSON
                status, answer = 500, {"image": self.path.split(";")[0], "error": f"{type(error).__name__}: {error}"}
            self._send(status, answer)

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None: ...


def _is_this_machine(host: str) -> bool:
    """Whether a browser that was led here by another name sent the request: then the name is none of ours."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    try:
        ip_address(name.strip("[]"))
        return True
    except ValueError:
        return name.lower() in ("", "localhost", socket.gethostname().lower())
