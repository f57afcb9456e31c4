"""``crystint devices``: the OpenCL devices there are."""

from __future__ import annotations

from crystint import engine
from crystint.errors import warn
from crystint.information.settings import DevicesSettings
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.text_table import text_table

__all__ = ["devices"]

_COLUMNS = ("id", "kind", "name", "platform", "driver")


def devices(job: Job[DevicesSettings]) -> Outcome:
    """List the OpenCL devices, and mark the one that is used by default."""
    if job.settings.add_intel:
        warn(f"Intel's CPU runtime stands in {engine.add_intel()}")
    chosen = engine.find_device(job.execution.device)  # raises when there is none
    for text in engine.left_out():
        warn(text)
    rows = [
        {
            "id": one.id,
            "kind": one.kind,
            "name": one.name,
            "platform": one.platform,
            "driver": one.driver,
            "version": one.version,
            "memory": one.memory,
            "compute_units": one.compute_units,
            "default": one.id == chosen.id,
        }
        for one in engine.devices()
    ]
    lines: list[tuple[str, ...]] = [("", *_COLUMNS, "memory")]
    lines += [
        (
            "*" if row["default"] else "",
            *(str(row[name]) for name in _COLUMNS),
            f"{int(str(row['memory'])) / 2**30:.1f} GiB",
        )
        for row in rows
    ]
    return Outcome("\n".join(text_table(lines)), rows, data=rows)
