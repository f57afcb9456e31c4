"""devices: where OpenCL can run."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.information.steps import DEVICES

__all__ = ["devices"]

devices = command_of(
    DEVICES,
    "List the OpenCL devices. The one marked * is the default, which CRYSTINT_DEVICE can change.",
    """
    crystint devices
    crystint peaks frame.cbf -o peaks.cxi --device cpu""",
)
