"""How the service is, as JSON-able values from a snapshot."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from crystint.online.configuration import Configuration
from crystint.online.emitter import Emitter
from crystint.online.events import EventLog
from crystint.online.intake import Intake
from crystint.online.meter import Meter
from crystint.online.series import Series
from crystint.online.sink import Sink
from crystint.online.work_queue import WorkQueue

__all__ = ["ServiceStatus", "described_series"]

_MOST_RANGES = 100


def described_series(series: Series) -> dict[str, Any]:
    """A series with its books and files."""
    return {
        "series": str(series.key),
        "id": series.key.id,
        "unique_id": series.key.unique_id,
        "name": series.name,
        "phase": series.phase,
        "reason": series.reason,
        "started": series.start.armed,
        "expected": series.expected,
        "frame_time": series.start.frame_time,
        "shape": list(series.start.shape),
        "geometry": None if series.geometry is None else series.geometry.to_dict(),
        "books": series.books.to_dict(),
        "missing": [list(each) for each in series.missing()[:_MOST_RANGES]] if series.final else [],
        "error": series.context.error if series.context is not None else "",
        "files": list(series.context.files) if series.context is not None else [],
        "gridded": "n_fast" in (series.user.get("grid") or ()),
        "resumed": series.resumed,
        "assumed": series.assumed,
    }


@dataclass(frozen=True, eq=False)
class ServiceStatus:
    """The parts of a service that its status is made of."""

    intake: Intake
    queue: WorkQueue
    emitter: Emitter
    configuration: Configuration
    log: EventLog
    received: Meter
    sinks: Sequence[Sink]
    streams: Sequence[str]
    threads: int
    began: int
    """ns since 1970-01-01 UTC"""
    receiving: Callable[[], bool]

    def now(self) -> dict[str, Any]:
        """The whole status."""
        from crystint import __version__

        intake, queue, emitter, state = self.intake, self.queue, self.emitter, self.intake.state.now
        current = intake.current
        last = current if current is not None else next(iter(reversed(list(intake.closed))), None)
        p50, p99 = emitter.latencies.quantiles(0.5, 0.99)
        counts, configuration = intake.counts, self.configuration
        device = configuration.analyses.engine.device
        return {
            "state": state.name,
            "stalled": state.stalled,
            "reason": state.reason,
            "receiving": self.receiving(),
            "revision": state.revision,
            "since": state.time,
            "series": None if last is None else described_series(last),
            "open_series": len(intake.live),
            "rates": {
                "in": {"1s": self.received.rate(1), "10s": self.received.rate(10)},
                "out": {"1s": emitter.out.rate(1), "10s": emitter.out.rate(10)},
                "analysed": {"1s": emitter.analysed.rate(1), "10s": emitter.analysed.rate(10)},
            },
            "latency": {"p50": p50, "p99": p99},
            "queue": {
                "images": queue.images,
                "bytes": queue.bytes,
                "budget": queue.budget,
                "skipping": queue.skipping,
                "waiting_for_order": emitter.order.waiting,
                "waiting_for_start_bytes": intake.held,
            },
            "messages": {
                "received": counts.messages,
                "bytes": counts.bytes,
                "damaged": counts.damaged,
                "orphans": counts.orphans,
                "stray_ends": counts.stray_ends,
                "others": counts.others,
                "last": counts.last or None,
                "silent": None if not counts.last else max(0.0, 1e-9 * (time.time_ns() - counts.last)),
            },
            "streams": list(self.streams),
            "devices": [{"name": device.name, "id": device.id, "kind": device.kind, "threads": self.threads}],
            "sinks": {sink.name or type(sink).__name__: dict(sink.status()) for sink in self.sinks},
            "settings": {"version": configuration.settings_version, "revision": configuration.revisions["settings"]},
            "rois": {"version": configuration.roi_version, "revision": configuration.revisions["rois"]},
            "mask": {"revision": configuration.revisions["mask"]},
            "events": self.log.last,
            "version": __version__,
            "began": self.began,
            "process": os.getpid(),
        }
