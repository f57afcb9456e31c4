"""Commands that may be asked for as jobs: what each reads, what it can be told, what is looked at of its results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crystint.compare.steps import COMPARE
from crystint.errors import CrystintError, FileError, RefusedError, SettingError
from crystint.io.monitor import monitor_file
from crystint.io.names import expand
from crystint.online.data_root import file_below
from crystint.run.forms import form_of, kinds_of
from crystint.run.settings import StepSettings
from crystint.run.step import Argument, Step
from crystint.separation.steps import PEAKS, SPARSIFY
from crystint.stills.steps import INTEGRATE, MERGE, SCALE

__all__ = ["OFFERS", "Offer", "offers_described"]

_MOST_FILES = 1000
"""that one input may name"""
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Offer:
    """A command that may be asked for."""

    step: Step[Any]
    title: str
    suffixes: tuple[str, ...]
    """of the files that it writes"""
    results: tuple[str, ...]
    """what can be looked at of them: peaks, table, report"""

    def inputs(self, root: Path | None, files: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Absolute names of the files of each argument of the step.

        Raises
        ------
        RefusedError
            When one is missing, is not below the root, or there are too many.
        """
        arguments = {argument.name: argument for argument in self.step.arguments}
        for name in files:
            if name not in arguments:
                raise RefusedError("bad_value", f"{self.step.name} has no input {name[:60]!r}, expected "
                                   f"{', '.join(arguments)}", "inputs")  # fmt: skip
        absolute = {}
        for argument in arguments.values():
            named, field = tuple(files.get(argument.name, ())), f"inputs.{argument.name}"
            if not named:
                raise RefusedError("bad_value", f"{argument.name} is missing: {argument.meaning}", field)
            if len(named) > (_MOST_FILES if argument.many else 1):
                most = f"at most {_MOST_FILES} files or patterns" if argument.many else "one file"
                raise RefusedError("bad_value", f"{argument.name} has {len(named)} files, expected {most}", field)
            absolute[argument.name] = tuple(_file(root, name, argument, field) for name in named)
        return absolute

    def settings(self, root: Path | None, values: Mapping[str, Any]) -> StepSettings:
        """The settings, with absolute names of files.

        Raises
        ------
        RefusedError
            When one is impossible, or names a file that is not below the root.
        """
        model = self.step.settings
        for name in self.step.hidden:
            if name in values:
                raise RefusedError("bad_value", f"{name} is no setting of {self.step.name}", f"settings.{name}")
        values = {name: value for name, value in values.items() if value is not None}
        try:
            model.of(values)
            placed = {name: self._placed(root, name, value) for name, value in values.items()}
            settings: StepSettings = model.of(placed)
            return settings
        except (SettingError, FileError) as error:
            field = getattr(error, "field", None)
            raise RefusedError("bad_value", str(error), f"settings.{field}" if field else "settings") from None

    def _placed(self, root: Path | None, name: str, value: Any) -> Any:
        """A value with the absolute names of the files that it names, each below the root."""
        model = self.step.settings
        if not kinds_of(model.model_fields[name]) and name not in model._path_fields():
            return value
        if isinstance(value, list | tuple):
            return [self._placed(root, name, each) for each in value]
        file, place = monitor_file(str(value))  # FILE or FILE:/data set
        return str(file_below(root, str(file), f"settings.{name}")) + (f":{place}" if place else "")


def _file(root: Path | None, name: str, argument: Argument, field: str) -> str:
    """The absolute name of a file, or of a pattern all of whose files are below the root."""
    if not argument.many or not _MAGIC.search(name):
        return str(file_below(root, name, field))
    if root is None or "\0" in name or ".." in Path(name).parts:
        raise RefusedError("forbidden", f"{name[:200]!r} lies outside of the data root", field)
    pattern = root.resolve() / name
    if not pattern.is_relative_to(root.resolve()):
        raise RefusedError("forbidden", f"{name[:200]!r} lies outside of the data root", field)
    try:
        files = expand(str(pattern))
    except CrystintError:
        raise RefusedError("not_found", f"no file below the data root matches {name[:200]!r}", field) from None
    for file in files:
        file_below(root, str(file), field)
    return str(pattern)


OFFERS: dict[str, Offer] = {
    offer.step.name: offer
    for offer in (
        Offer(PEAKS, "Find peaks", (".cxi",), ("peaks", "table")),
        Offer(SPARSIFY, "Keep the signal alone", (".h5",), ("peaks", "table")),
        Offer(COMPARE, "Compare raw and sparse frames", (".json",), ("report",)),
        Offer(INTEGRATE, "Integrate stills", (".h5",), ("table",)),
        Offer(SCALE, "Scale stills", (".h5",), ("table",)),
        Offer(MERGE, "Merge stills", (".mtz", ".txt"), ("report",)),
    )
}
"""by the name of the command"""


@cache
def offers_described() -> list[dict[str, Any]]:
    """JSON-able: all offers, with forms of their settings."""
    return [
        {
            "command": name,
            "title": offer.title,
            "inputs": [
                {
                    "name": argument.name, "meaning": argument.meaning, "many": argument.many,
                    "required": argument.required, "kinds": list(argument.kinds),
                }
                for argument in offer.step.arguments
            ],
            "outputs": list(offer.suffixes),
            "results": list(offer.results),
            "settings": form_of(offer.step.settings, offer.step.hidden),
        }
        for name, offer in OFFERS.items()
    ]  # fmt: skip
