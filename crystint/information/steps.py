"""The steps that look and change nothing: info, verify, devices."""

from __future__ import annotations

from crystint.information.settings import DevicesSettings, InfoSettings, VerifySettings
from crystint.run.step import Argument, Step

__all__ = ["DEVICES", "INFO", "VERIFY"]

INFO = Step(
    "info",
    InfoSettings,
    "crystint.information.info_step:info",
    (Argument("files", "FILE", many=True),),
    device="",
    json=True,
)
VERIFY = Step(
    "verify",
    VerifySettings,
    "crystint.information.verify_step:verify_files",
    (Argument("files", "FILE", many=True),),
    device="",
    json=True,
)
DEVICES = Step(
    "devices",
    DevicesSettings,
    "crystint.information.devices_step:devices",
    device="the one to mark as the default: gpu, cpu, an id such as 0:1, or a part of a name",
    json=True,
)
