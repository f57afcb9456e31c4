"""Builds the page for browsers into the package, where Node.js is there and it was not built before."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Sources and wheels get what `make web` made, or makes now; without Node.js they have no page, which is told."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files are collected; an editable installation builds nothing."""
        root = Path(self.root)
        page = root / "crystint" / "online" / "static" / "index.html"
        if version == "editable" or page.is_file():
            return
        try:
            subprocess.run([str(root / "scripts" / "build-web"), "--if-possible"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the page for browsers could not be built, so this build has none: {error}")
