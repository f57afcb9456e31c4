"""The step of the demonstration: demo."""

from __future__ import annotations

from crystint.demo.settings import DemoSettings
from crystint.run.step import Outputs, Step

__all__ = ["DEMO"]

DEMO = Step(
    "demo",
    DemoSettings,
    "crystint.demo.demo_step:demo",
    outputs=Outputs("folder to write into, made if need be", required=False, folder="demo"),
    hidden=("shape",),
)
