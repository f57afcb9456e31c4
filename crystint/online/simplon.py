"""SIMPLON 1.8.0, the REST interface of DECTRIS detectors, as far as beamlines use it to take a series.

Parameters and states as DECTRIS documents them (SIMPLON API manual) and as the clients of Diamond's fastcs-eiger and
tickit-devices expect them. It is a detector's interface for tests: it has no guard, and binds what it is told to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Protocol

from crystint.errors import SettingError
from crystint.units import energy_of, wavelength_of

__all__ = ["STATES", "DetectorControl", "Parameters", "Simplon"]

STATES = ("na", "idle", "ready", "acquire", "configure", "initialize", "error", "test")
"""Of a detector."""
_VERSION = "1.8.0"
_LONGEST_BODY = 2**20
_COMMANDS = {"initialize": 1, "arm": 2, "disarm": 3, "trigger": 4, "cancel": 5, "abort": 6, "status_update": 7,
             "hv_reset": 8, "check_connection": 9}  # fmt: skip
_TRIGGERS = ("ints", "inte", "exts", "exte", "extg", "eies")


class DetectorControl(Protocol):
    """What the commands act on. Each returns when it is done, with the sequence id where there is one."""

    def initialize(self) -> None:
        """Be idle."""

    def arm(self) -> int:
        """Start a series."""

    def trigger(self) -> None:
        """Take the images of a trigger."""

    def disarm(self) -> None:
        """End the series."""

    def cancel(self) -> None:
        """End the series after this image."""

    def abort(self) -> None:
        """End the series at once."""

    def state(self) -> str:
        """One of `STATES`."""

    def dropped(self) -> int:
        """Messages thrown away since it was armed."""

    def series_unique_id(self) -> str:
        """Of the series that runs, or ran."""


@dataclass
class Parameter:
    """A parameter."""

    value: Any
    type: str
    access: str = "rw"
    unit: str = ""
    allowed: tuple[str, ...] = ()
    least: float | None = None

    def described(self) -> dict[str, Any]:
        """The answer to GET."""
        answer: dict[str, Any] = {"value": self.value, "value_type": self.type, "access_mode": self.access}
        if self.unit:
            answer["unit"] = self.unit
        if self.allowed:
            answer["allowed_values"] = list(self.allowed)
        if self.least is not None:
            answer["min"] = self.least
        return answer

    def checked(self, value: Any) -> Any:
        """`value` in the type of the parameter; ValueError otherwise."""
        if self.type == "bool":
            if not isinstance(value, bool):
                raise ValueError(f"is {value!r}, expected true or false")
            return value
        if self.type == "string":
            if not isinstance(value, str) or (self.allowed and value not in self.allowed):
                expected = f"one of {', '.join(self.allowed)}" if self.allowed else "a text"
                raise ValueError(f"is {value!r}, expected {expected}")
            return value
        whole = self.type in ("uint", "int")
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
            raise ValueError(f"is {value!r}, expected a {'whole ' if whole else ''}number")
        if self.least is not None and value < self.least:
            raise ValueError(f"is {value!r}, expected {self.least:g} or more")
        return int(value) if whole else float(value)


class Parameters:
    """The parameters of a detector, of its stream and of its monitor.

    Parameters
    ----------
    detector : mapping of name to value
        In place of the defaults.

    Examples
    --------
    >>> from crystint.online.simplon import Parameters
    >>> parameters = Parameters({"nimages": 10})
    >>> parameters.change("detector", "photon_energy", 12000.0)[:2]
    ['element', 'flatfield']
    >>> round(parameters["detector/config/wavelength"], 4)
    1.0332
    """

    def __init__(self, detector: Mapping[str, Any] | None = None) -> None:
        self._lock = Lock()
        self._table = _table()
        for name, value in (detector or {}).items():
            self._table[f"detector/config/{name}"].value = value

    def __getitem__(self, place: str) -> Any:
        with self._lock:
            return self._table[place].value

    def names(self, part: str) -> list[str]:
        """Of the parameters of a part, such as "detector/config", in alphabetic order."""
        return sorted(name.removeprefix(part + "/") for name in self._table if name.startswith(part + "/"))

    def described(self, place: str) -> dict[str, Any] | None:
        """What GET answers; None = there is no such parameter."""
        with self._lock:
            parameter = self._table.get(place)
            return None if parameter is None else parameter.described()

    def change(self, subsystem: str, name: str, value: Any) -> list[str]:
        """Set a parameter.

        Returns
        -------
        list of str
            Those that changed, or may have.

        Raises
        ------
        KeyError
            When there is none.
        ValueError
            When it cannot be set, or not to this value.
        """
        with self._lock:
            parameter = self._table[f"{subsystem}/config/{name}"]
            if parameter.access == "r":
                raise ValueError("cannot be set")
            parameter.value = parameter.checked(value)
            return self._follow(subsystem, name, parameter.value)

    def _follow(self, subsystem: str, name: str, value: Any) -> list[str]:
        """What depends on a parameter that was set."""
        table = {key.removeprefix("detector/config/"): parameter for key, parameter in self._table.items()}
        if subsystem != "detector":
            return [name]
        if name in ("count_time", "frame_time"):
            other = "frame_time" if name == "count_time" else "count_time"
            if table["frame_time"].value < table["count_time"].value:
                table[other].value = value
            return ["bit_depth_image", "bit_depth_readout", "count_time", "countrate_correction_count_cutoff",
                    "frame_count_time", "frame_time"]  # fmt: skip
        if name in ("photon_energy", "incident_energy", "wavelength"):
            energy = energy_of(value) if name == "wavelength" else value
            table["photon_energy"].value = table["incident_energy"].value = energy
            table["wavelength"].value = wavelength_of(energy)
            table["threshold_energy"].value = table["threshold/1/energy"].value = energy / 2
            return ["element", "flatfield", "incident_energy", "photon_energy", "threshold/1/energy",
                    "threshold/1/flatfield", "threshold/2/energy", "threshold/2/flatfield", "threshold_energy",
                    "wavelength"]  # fmt: skip
        if name in ("threshold_energy", "threshold/1/energy"):
            table["threshold_energy"].value = table["threshold/1/energy"].value = value
            return ["flatfield", "threshold/1/energy", "threshold/1/flatfield", "threshold/2/flatfield",
                    "threshold_energy"]  # fmt: skip
        return [name]


def _table() -> dict[str, Parameter]:
    def positive(value: float, unit: str = "", access: str = "rw") -> Parameter:
        return Parameter(value, "float", access, unit, least=0.0)

    def count(value: int, access: str = "rw") -> Parameter:
        return Parameter(value, "uint", access, least=0)

    def text(value: str, *allowed: str, access: str = "rw") -> Parameter:
        return Parameter(value, "string", access, allowed=allowed)

    def yes(value: bool) -> Parameter:
        return Parameter(value, "bool")

    config: dict[str, Parameter] = {
        "auto_summation": yes(True),
        "beam_center_x": Parameter(0.0, "float", unit="pixel"),
        "beam_center_y": Parameter(0.0, "float", unit="pixel"),
        "bit_depth_image": count(16, "r"),
        "bit_depth_readout": count(16, "r"),
        "compression": text("bslz4", "bslz4", "lz4", "none"),
        "count_time": positive(0.004, "s"),
        "counting_mode": text("normal", "normal", "retrigger"),
        "countrate_correction_applied": yes(True),
        "countrate_correction_count_cutoff": count(65533, "r"),
        "data_collection_date": text(""),
        "description": text("crystint simulated detector", access="r"),
        "detector_distance": positive(0.2, "m"),
        "detector_number": text("SIM-0001", access="r"),
        "detector_readout_time": positive(1e-7, "s", "r"),
        "eiger_fw_version": text(f"release-{_VERSION}", access="r"),
        "element": text("", access="rw"),
        "extg_mode": text("double", "single", "double"),
        "fast_arm": yes(False),
        "flatfield_correction_applied": yes(True),
        "frame_count_time": positive(0.004, "s", "r"),
        "frame_time": positive(0.004, "s"),
        "incident_energy": positive(12398.42, "eV"),
        "incident_particle_type": text("photons", access="r"),
        "instrument_name": text(""),
        "mask_to_zero": yes(False),
        "nexpi": count(1),
        "nimages": count(1),
        "ntrigger": count(1),
        "ntriggers_skipped": count(0),
        "number_of_excluded_pixels": count(0, "r"),
        "photon_energy": positive(12398.42, "eV"),
        "pixel_mask_applied": yes(True),
        "roi_mode": text("disabled", "disabled", "4M"),
        "sample_name": text(""),
        "sensor_material": text("Si", access="r"),
        "sensor_thickness": positive(4.5e-4, "m", "r"),
        "software_version": text(_VERSION, access="r"),
        "source_name": text(""),
        "threshold_energy": positive(6199.21, "eV"),
        "total_flux": positive(0.0),
        "trigger_mode": text("ints", *_TRIGGERS),
        "trigger_start_delay": positive(0.0, "s"),
        "virtual_pixel_correction_applied": yes(True),
        "wavelength": positive(1.0, "angstrom"),
        "x_pixel_size": positive(75e-6, "m", "r"),
        "y_pixel_size": positive(75e-6, "m", "r"),
        "x_pixels_in_detector": count(0, "r"),
        "y_pixels_in_detector": count(0, "r"),
        "threshold/1/energy": positive(6199.21, "eV"),
        "threshold/1/mode": text("enabled", "enabled", "disabled"),
        "threshold/1/number_of_excluded_pixels": count(0, "r"),
        "threshold/2/energy": positive(18000.0, "eV"),
        "threshold/2/mode": text("disabled", "enabled", "disabled"),
        "threshold/2/number_of_excluded_pixels": count(0, "r"),
        "threshold/difference/lower_threshold": count(1, "r"),
        "threshold/difference/upper_threshold": count(2, "r"),
        "threshold/difference/mode": text("disabled", "enabled", "disabled"),
    }
    for axis in ("chi", "kappa", "omega", "phi", "two_theta"):
        config[f"{axis}_start"] = Parameter(0.0, "float", unit="degree")
        config[f"{axis}_increment"] = Parameter(0.0, "float", unit="degree")
    table = {f"detector/config/{name}": parameter for name, parameter in config.items()}
    table |= {
        "detector/status/humidity": positive(5.0, "percent", "r"),
        "detector/status/temperature": Parameter(22.0, "float", "r", "Celsius"),
        "detector/status/dcu_buffer_free": positive(100.0, "percent", "r"),
        "detector/status/link_0": text("up", "up", "down", access="r"),
        "detector/status/link_1": text("up", "up", "down", access="r"),
        "detector/status/series_unique_id": text("", access="r"),
        "detector/status/state": text("na", *STATES, access="r"),
        "detector/status/time": text("", access="r"),
        "detector/status/error": Parameter([], "string[]", "r"),
        "stream/config/mode": text("enabled", "enabled", "disabled"),
        "stream/config/format": text("cbor", "legacy", "cbor"),
        "stream/config/header_detail": text("basic", "none", "basic", "all"),
        "stream/config/header_appendix": text(""),
        "stream/config/image_appendix": text(""),
        "stream/status/dropped": count(0, "r"),
        "stream/status/state": text("ready", "disabled", "ready", "acquire", "error", access="r"),
        "stream/status/error": Parameter([], "string[]", "r"),
        "monitor/config/mode": text("disabled", "enabled", "disabled"),
        "monitor/config/buffer_size": count(1),
        "monitor/config/discard_new": yes(False),
        "monitor/status/buffer_free": count(1, "r"),
        "monitor/status/dropped": count(0, "r"),
        "monitor/status/error": Parameter([], "string[]", "r"),
        "monitor/status/state": text("normal", "normal", "overflow", access="r"),
    }
    return table


class Simplon:
    """The HTTP server of a detector.

    Parameters
    ----------
    address : str
        "HOST:PORT"; port 0 = one that is free.
    detector : DetectorControl
    parameters : Parameters

    Raises
    ------
    SettingError
        When the address cannot be bound.
    """

    def __init__(self, address: str, detector: DetectorControl, parameters: Parameters) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise SettingError(f"simplon is {address!r}, expected HOST:PORT, such as 127.0.0.1:8081")
        self.detector, self.parameters = detector, parameters
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(self))
        except (OSError, OverflowError) as error:
            raise SettingError(f"simplon {address} cannot be bound: {error}") from None
        self._server.daemon_threads = True  # a request that waits for a trigger ends with the detector
        self._server.block_on_close = False
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="simplon")
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def get(self, place: str) -> tuple[int, Any]:
        """Status and JSON of a GET of ``subsystem/part/name``."""
        _, _, rest = place.partition("/")
        if rest in ("config/keys", "status/keys"):
            names = self.parameters.names(place.removesuffix("/keys"))
            return 200, [name for name in names if name not in ("error", "wavelength")]
        live = {
            "detector/status/state": self.detector.state,
            "detector/status/series_unique_id": self.detector.series_unique_id,
            "detector/status/time": lambda: datetime.now(UTC).isoformat(),
            "stream/status/dropped": self.detector.dropped,
            "stream/status/state": self._stream_state,
        }
        answer = self.parameters.described(place)
        if answer is None:
            return 404, f'error during request: path error: unknown path: "{place}"'
        if place in live:
            answer["value"] = live[place]()
        if place == "detector/status/state":
            answer["value_type"] = "State"
        return 200, answer

    def put(self, place: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of a PUT."""
        subsystem, _, rest = place.partition("/")
        part, _, name = rest.partition("/")
        if part == "command":
            return self._command(subsystem, name)
        if part != "config" or self.parameters.described(place) is None:
            return 404, f'error during request: path error: unknown path: "{place}"'
        if not isinstance(body, dict) or "value" not in body:
            return 400, 'the body is no {"value": ...}'
        if subsystem == "detector" and self.detector.state() in ("ready", "acquire"):
            return 400, f"{name} cannot be set while a series runs"
        try:
            return 200, self.parameters.change(subsystem, name, body["value"])
        except ValueError as error:
            return 400, f"{name} {error}"

    def _command(self, subsystem: str, name: str) -> tuple[int, Any]:
        if subsystem in ("stream", "monitor") and name in ("initialize", "clear"):
            return 200, []
        if subsystem == "system" and name == "restart":
            return 200, []
        if subsystem != "detector" or name not in _COMMANDS:
            return 404, f'error during request: path error: unknown path: "{subsystem}/command/{name}"'
        action: Callable[[], int | None] | None = getattr(self.detector, name, None)
        state = self.detector.state()
        if state == "na" and name in ("arm", "trigger"):
            return 400, f"{name} is not possible in state na: initialize the detector first"
        if name == "arm" and state != "idle":
            return 400, f"arm is not possible in state {state}"
        if name == "trigger" and state != "ready":
            return 400, f"trigger is not possible in state {state}: arm the detector first"
        number = action() if action is not None else None
        return 200, {"sequence id": _COMMANDS[name] if number is None else number}

    def _stream_state(self) -> str:
        if self.parameters["stream/config/mode"] == "disabled":
            return "disabled"
        return "acquire" if self.detector.state() in ("ready", "acquire") else "ready"


def _handler(simplon: Simplon) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            place = self._place()
            if place == "api/version":
                self._answer(200, {"value": _VERSION, "value_type": "string"})
            else:
                self._answer(*((404, "unknown path") if place is None else simplon.get(place)))

        def do_PUT(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > _LONGEST_BODY:
                self.close_connection = True
                self._answer(413, "the body is too long")
                return
            text = self.rfile.read(int(length))
            try:
                body = json.loads(text) if text.strip() else None
            except ValueError:
                self._answer(400, "the body is no JSON")
                return
            place = self._place()
            self._answer(*((404, "unknown path") if place is None else simplon.put(place, body)))

        def _place(self) -> str | None:
            """The path without the version; None = it is no path of the interface."""
            path = self.path.partition("?")[0].strip("/")
            if path.endswith("/api/version"):
                return "api/version"
            match = re.fullmatch(rf"(\w+)/api/{re.escape(_VERSION)}/(.+)", path)
            return f"{match[1]}/{match[2]}" if match else None

        def _answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # nothing to the terminal
            pass

    return Handler
