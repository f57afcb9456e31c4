"""Jungfraujoch's names for what the service knows, as far as its REST interface is public (client 1.0.0rc179)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crystint.model.frame_table import LOW_D, FrameStatus
from crystint.online.grid import Grid
from crystint.online.history import SeriesHistory
from crystint.online.plots import plot
from crystint.online.quantities import NAMES
from crystint.units import wavelength_of

__all__ = [
    "PLOTS", "SPOT_FINDING", "broker_status", "measurement", "plots_of", "scan_result", "settings_of", "spot_finding",
    "start_options",
]  # fmt: skip

STATES = {"idle": "Idle", "arming": "Busy", "measuring": "Measuring", "finishing": "Measuring", "error": "Error"}
PLOTS = {
    "spot_count": "n_spots",
    "spot_count_low_res": "n_low",
    "spot_count_ice": "n_ice",
    "bkg_estimate": "background",
    "resolution_estimate": "d_min",
    "ice_ring_score": "ice_score",
    "saturated_pixels": "saturated",
    "error_pixels": "bad",
    "max_pixel_value": "maximum",
    "pixel_sum": "frame_sum",
    "roi_sum": "roi_sum",
    "roi_mean": "roi_mean",
    "roi_max_count": "roi_max",
    "roi_pixels": "roi_npixel",
    "roi_weighted_x": "roi_x",
    "roi_weighted_y": "roi_y",
    "receiver_delay": "latency",
}
"""Its names of plots, and the quantities of `crystint.online.quantities`; these are taken as well."""
SPOT_FINDING: dict[str, Any] = {
    "enable": True,
    "indexing": False,
    "signal_to_noise_threshold": 5.0,
    "photon_count_threshold": 0,
    "min_pix_per_spot": 3,
    "max_pix_per_spot": 10_000,
    "high_resolution_limit_for_spot_count_low_res": LOW_D,
    "quick_integration": False,
    "ice_ring_width_q_recipA": 0.0,
    "high_res_gap_Q_recipA": 1.5,
    "adaptive_threshold": True,
    "false_pixels_per_frame": 100.0,
}
"""What stands for settings that the service has not."""
_OURS = {
    "signal_to_noise_threshold": "snr",
    "min_pix_per_spot": "connected",
    "high_resolution_limit": "d_min",
    "low_resolution_limit": "d_max",
}
_START = (
    "images_per_trigger", "ntrigger", "beam_x_pxl", "beam_y_pxl", "detector_distance_mm", "incident_energy_keV",
    "file_prefix", "grid_scan", "header_appendix", "image_appendix", "poni_rot1_rad", "poni_rot2_rad", "poni_rot3_rad",
    "tokens", "run_name", "run_number", "sample_name", "experiment_group", "async_start",
)  # fmt: skip
_SHORTEST_TOKEN = 22


def broker_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """Of /status. Its progress is a number always."""
    from crystint import __version__

    series = status.get("series") or {}
    books, expected = series.get("books") or {}, series.get("expected")
    done = min(float(books.get("received", 0)) / expected, 1.0) if expected else 0.0
    state, reason = status["state"], str(status.get("reason") or "")
    return {
        "state": STATES.get(state, "Inactive"),
        "progress": done if state in ("measuring", "finishing") else 0.0,
        "message": reason or None,
        "message_severity": "error" if state == "error" else "info",
        "gpu_count": sum(device.get("kind") == "gpu" for device in status.get("devices", ())),
        "broker_version": f"crystint {__version__}",
    }


def measurement(status: Mapping[str, Any], history: SeriesHistory | None) -> dict[str, Any] | None:
    """Of /statistics/data_collection: the series that runs, or the last; None = there was none."""
    series = status.get("series")
    if series is None:
        return None
    books, shape = series["books"], series.get("shape") or [None, None]
    received, expected = books["received"], series.get("expected")
    values: dict[str, Any] = {
        "file_prefix": series["name"],
        "run_number": series["id"],
        "images_expected": expected,
        "images_collected": received,
        "images_sent": received,
        "collection_efficiency": min(received / expected, 1.0) if expected else None,
        "cancelled": series.get("phase") == "aborted" or "abort" in str(series.get("reason", "")),
        "detector_width": shape[1],
        "detector_height": shape[0],
    }
    if history is not None:
        last = history.arrived.table[-1000:]
        for name, column in (
            ("bkg_estimate", "background"),
            ("error_pixels", "bad"),
            ("saturated_pixels", "saturated"),
        ):
            numbers = last[column].astype(float)
            numbers = numbers[np.isfinite(numbers) & (numbers >= 0)]
            values[name] = float(numbers.mean()) if len(numbers) else None
        beam = history.ordered().region("beam")
        if beam is not None and len(beam):
            values["roi_beam_pixels"] = float(beam["npixel"][-1000:].mean())
            values["roi_beam_sum"] = float(beam["sum"][-1000:].mean())
        if len(last):
            values["max_image_number_sent"] = int(last["frame"].max())
    return {name: value for name, value in values.items() if value is not None}


def spot_finding(values: Mapping[str, Any], unused: Mapping[str, Any]) -> dict[str, Any]:
    """Of /config/spot_finding, from the settings of the service and what was sent for those that it has not."""
    told = SPOT_FINDING | dict(unused)
    for theirs, ours in _OURS.items():
        value = values.get(ours)
        if value is None:
            told.pop(theirs, None)
        else:
            told[theirs] = value
    return told


def settings_of(sent: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Changes of the settings of the service, and what of the request has no effect here."""
    changes = {ours: sent.get(theirs) for theirs, ours in _OURS.items()}
    for name in ("d_min", "d_max"):
        if not changes[name]:  # 0 is none there
            changes[name] = None
    changes = {name: value for name, value in changes.items() if value is not None or name in ("d_min", "d_max")}
    unused = {name: value for name, value in sent.items() if name not in _OURS}
    return changes, unused


def start_options(sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Options of `Control.start` from DatasetSettings, and the names that have no effect here."""
    value = sent.get
    geometry: dict[str, Any] = {}
    if value("beam_x_pxl") is not None and value("beam_y_pxl") is not None:
        geometry["beam_center"] = (float(sent["beam_y_pxl"]), float(sent["beam_x_pxl"]))
    if value("detector_distance_mm"):
        geometry["distance"] = 1e-3 * float(sent["detector_distance_mm"])
    if value("incident_energy_keV"):
        geometry["wavelength"] = float(wavelength_of(1e3 * float(sent["incident_energy_keV"])))
    angles = tuple(float(value(f"poni_rot{axis}_rad") or 0.0) for axis in (1, 2, 3))
    if any(angles):
        geometry["rotation"] = angles
    options: dict[str, Any] = {"geometry": geometry} if geometry else {}
    options["images"] = int(value("images_per_trigger") or 1) * int(value("ntrigger") or 1)
    if value("file_prefix"):
        options["prefix"] = str(sent["file_prefix"])
    grid = value("grid_scan")
    if grid:
        options["grid"] = {name: grid[name] for name in Grid.__dataclass_fields__ if grid.get(name) is not None}
    user_names = ("header_appendix", "image_appendix", "run_name", "run_number", "sample_name", "experiment_group")
    user = {name: sent[name] for name in user_names if value(name) not in (None, "")}
    if user:
        options["user"] = user
    tokens = [token for token in value("tokens") or () if len(token) >= _SHORTEST_TOKEN]
    if tokens:
        options["tokens"] = tokens
    unused = [name for name in sent if name not in _START]
    unused += [f"tokens shorter than {_SHORTEST_TOKEN} characters"] if len(tokens) < len(value("tokens") or ()) else []
    unused += ["file_prefix (empty: files are written as the service was started)"] if not value("file_prefix") else []
    return options, unused


def plots_of(
    series: SeriesHistory | None, kind: str, bin: int = 0, roi: str | None = None, fill: float | None = None,
    along: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Of /preview/plot.

    Raises
    ------
    KeyError
        When there is no such plot.
    RefusedError
        When there is no such region.
    """
    quantity = PLOTS.get(kind, kind)
    if quantity not in NAMES:
        raise KeyError(kind)
    info = {} if series is None else series.info
    grid = info.get("grid") if along else None
    axis = (
        "angle"
        if along and not grid and series is not None and np.isfinite(series.arrived.table["angle"]).any()
        else "image"
    )
    curves = plot(series, quantity, axis, 1 if grid else bin, roi)  # type: ignore[arg-type]
    answer: dict[str, Any] = {"title": curves["title"], "unit_x": "angle_deg" if axis == "angle" else "image_number"}
    lines = []
    for curve in curves["series"]:
        x, y = np.asarray(curve["x"], float), np.asarray(curve["y"], float)
        usable = np.isfinite(x)
        x, y = x[usable], y[usable]
        if fill is not None:
            y = np.where(np.isfinite(y), y, fill)
        line: dict[str, Any] = {"title": curve["name"], "x": x, "y": y}
        if grid:
            cells = Grid.of(grid)
            row, column = cells.cells(x.astype(np.int64))
            line |= {"x": column * abs(cells.step_x_um), "y": row * abs(cells.step_y_um), "z": y}
        lines.append(line)
    if grid:
        answer["unit_x"] = "grid_um"
        answer["size_x"] = float(max((line["x"].max(initial=0.0) for line in lines), default=0.0))
        answer["size_y"] = float(max((line["y"].max(initial=0.0) for line in lines), default=0.0))
    return answer | {"plot": lines}


def scan_result(series: SeriesHistory, name: str | None) -> dict[str, Any]:
    """Of /result/scan: what is known of every image that is remembered."""
    table = series.ordered().table
    grid = series.info.get("grid")
    row, column = Grid.of(grid).cells(table["frame"]) if grid else (None, None)
    columns: dict[str, tuple[Any, type]] = {
        "number": (table["frame"], int),
        "angle": (table["angle"], float),
        "bkg": (table["background"], float),
        "spots": (table["n_spots"], int),
        "spots_low_res": (table["n_low"], int),
        "spots_ice": (table["n_ice"], int),
        "ice": (table["ice_score"], float),
        "pixel_sum": (table["frame_sum"], int),
        "max": (table["maximum"], int),
        "sat": (table["saturated"], int),
        "err": (table["bad"], int),
        "res": (table["d_min"], float),
    }
    if row is not None and column is not None:
        columns |= {"nx": (column, int), "ny": (row, int)}
    came = (table["status"] != FrameStatus.MISSING).astype(float)
    images: list[dict[str, Any]] = [{"efficiency": float(each)} for each in came]
    for key, (values, kind) in columns.items():
        _put(images, key, np.asarray(values), kind)
    return {"file_prefix": name or "", "images": images}


def _put(images: Sequence[dict[str, Any]], key: str, values: Any, kind: type) -> None:
    """Numbers that are known."""
    good = np.isfinite(values) if values.dtype.kind == "f" else values >= 0
    for image, value, is_good in zip(images, values.tolist(), good.tolist(), strict=True):
        if is_good:
            image[key] = kind(value)
