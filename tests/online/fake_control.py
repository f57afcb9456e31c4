"""A control that keeps what it is told, in memory: the honest little sister of the service."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from crystint.errors import RefusedError
from crystint.online.books import Books
from crystint.online.control import Applied


class FakeControl:
    """State, settings, regions and a mask, without a detector."""

    def __init__(self, shape=(40, 50)):
        self.shape = shape
        self.state, self.revision = "idle", 1
        self.values: dict[str, Any] = {"snr": 5.0, "snr_pick": 2.0, "hit_peaks": 10, "d_min": None, "sampling": 1}
        self.settings_version = self.settings_revision = 1
        self.document: dict[str, Any] = {"rois": []}
        self.roi_version = self.roi_revision = 1
        self.user = np.zeros(shape, np.uint32)
        self.next_image = 0
        self.armed: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []
        self.delay = 0.0
        self.books = Books()

    def _wait(self):
        if self.delay:
            time.sleep(self.delay)

    def _series(self):
        return {
            "series": "7-abc", "id": 7, "unique_id": "abc", "name": "run", "phase": "open", "reason": "", "started": 1,
            "expected": self.books.expected, "frame_time": 0.01, "shape": list(self.shape), "geometry": None,
            "books": self.books.to_dict(), "missing": [], "error": "", "files": [],
        }  # fmt: skip

    def status(self):
        self._wait()
        return {
            "state": self.state,
            "stalled": False,
            "reason": "",
            "revision": self.revision,
            "since": 0,
            "series": self._series(),
            "rates": {"in": {"1s": 0.0, "10s": float("nan")}, "out": {"1s": 0.0, "10s": 0.0}},
            "latency": {"p50": None, "p99": None},
            "queue": {"images": 0, "bytes": 0, "budget": 1000, "skipping": 1},
            "messages": {"received": 3, "silent": None},
            "devices": [],
            "sinks": {"results": {"sent": 3, "error": "", "address": "tcp://127.0.0.1:5602"}},
            "version": "0",
        }

    def series(self):
        self._wait()
        return [self._series()]

    def _to(self, state):
        self._wait()
        if state != self.state:
            self.state, self.revision = state, self.revision + 1
        return self.status()

    def start(self, options):
        self.armed = dict(options)
        return self._to("arming")

    def stop(self):
        return self._to("idle")

    def abort(self):
        return self._to("idle")

    def clear_error(self):
        if self.state not in ("error", "idle"):
            raise RefusedError("wrong_state", f"there is no error; the state is {self.state}")
        return self._to("idle")

    def settings(self):
        self._wait()
        return {"values": dict(self.values), "version": self.settings_version, "revision": self.settings_revision}

    def change_settings(self, changes, revision=None, dry_run=False):
        if revision is not None and revision != self.settings_revision:
            raise RefusedError("conflict", f"the revision is {self.settings_revision}", "If-Match")
        for name, value in changes.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in self.values or not ((number and 0 < value < 1e6) or (value is None and name == "d_min")):
                raise RefusedError("bad_value", f"{name}: is {str(value)[:40]!r}, expected a number above 0", name)
        if not dry_run:
            self.values |= changes
            self.settings_version, self.settings_revision = self.settings_version + 1, self.settings_revision + 1
        return Applied(self.next_image, self.settings_version, self.settings_revision)

    def rois(self):
        self._wait()
        return {"document": self.document, "version": self.roi_version, "revision": self.roi_revision, "details": {}}

    def change_rois(self, document, revision=None):
        if revision is not None and revision != self.roi_revision:
            raise RefusedError("conflict", f"the revision is {self.roi_revision}", "If-Match")
        for each in document["rois"]:
            if not isinstance(each.get("name"), str) or not each["name"] or each.get("type") != "box":
                raise RefusedError("bad_value", "this control knows boxes with a name", "rois")
        self.document = dict(document)
        self.roi_version, self.roi_revision = self.roi_version + 1, self.roi_revision + 1
        details = {each["name"]: {"pixels": 1, "clipped": False} for each in document["rois"]}
        return Applied(self.next_image, self.roi_version, self.roi_revision, details)

    def roi_map(self):
        bits = np.zeros(self.shape, np.uint8)
        for number in range(min(len(self.document["rois"]), 8)):
            bits[number::8] |= np.uint8(1 << number)
        return bits, tuple(each["name"] for each in self.document["rois"])

    def mask(self, layer="total"):
        detector = np.zeros(self.shape, np.uint32)
        detector[0, 0] = 1
        return {"user": self.user, "detector": detector, "total": self.user | detector}[layer]

    def change_mask(self, mask):
        self.user = np.zeros(self.shape, np.uint32) if mask is None else np.where(mask, 0x100, 0).astype(np.uint32)
        return Applied(self.next_image, 2, 2)

    def start_message(self, series=None):
        return b"\xd9\xd9\xf7\xa1dtypeestart"

    def record(self, name, data):
        number = len(self.told) + 1
        self.told.append({"name": name, "data": dict(data), "time": 1000 + number, "number": number})
        return {"number": number, "time": 1000 + number, "series": data.get("series"), "filed": False}

    def events(self, after=0):
        return [each for each in self.told if each["number"] > after]
