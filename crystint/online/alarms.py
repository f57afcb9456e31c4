"""Rules of alarms: which column of the results is watched, when it is wrong, and for how long."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from crystint.errors import RefusedError
from crystint.online.api_models import AlarmDocument
from crystint.online.quantities import WINDOW, check_watchable
from crystint.online.state_folder import StateFolder

__all__ = ["MOST_ALARMS", "AlarmFile", "Alarms", "Rule"]

MOST_ALARMS = 64
_MARGIN = 0.05
"""of the limit, where no margin is given"""
_FILE = "alarms.json"


@dataclass(frozen=True, slots=True)
class Rule:
    """An alarm.

    Parameters
    ----------
    name : str
    column : str
        A quantity of `crystint.online.quantities.NAMES`.
    roi : str, optional
        The region, of columns that begin with roi_.
    below, above : float, optional
        One of them: the limit of the mean.
    over : int
        Images of the mean.
    hold : float
        s that the mean is beyond the limit before the alarm trips, and back before it clears.
    margin : float, optional
        How far within the limit the mean comes back to clear it; None = a twentieth of the limit.
    """

    name: str
    column: str
    roi: str | None = None
    below: float | None = None
    above: float | None = None
    over: int = 1
    hold: float = 0.0
    margin: float | None = None

    @property
    def limit(self) -> float:
        """Of the mean."""
        return self.below if self.below is not None else self.above or 0.0

    @property
    def limits(self) -> str:
        """In words."""
        return f"below {self.below:g}" if self.below is not None else f"above {self.limit:g}"

    @property
    def back(self) -> float:
        """Where the mean is back."""
        margin = self.margin if self.margin is not None else _MARGIN * abs(self.limit)
        return self.limit + margin if self.below is not None else self.limit - margin

    @property
    def images(self) -> int:
        """That must have been looked at before there is a mean: a hit rate is one of many images already."""
        return self.over + (WINDOW - 1 if self.column == "hit_rate" else 0)

    @property
    def watched(self) -> str:
        """What is watched, in words."""
        text = self.column if self.roi is None else f"{self.column} of {self.roi}"
        return text if self.over == 1 else f"{text}, mean of {self.over} images"


@dataclass(frozen=True, slots=True)
class Alarms:
    """All rules, with the revision that a change names."""

    rules: tuple[Rule, ...] = ()
    revision: int = 0

    @classmethod
    def of(cls, document: Mapping[str, Any], revision: int = 0) -> Self:
        """Of a map with "alarms", a list of maps.

        Raises
        ------
        RefusedError
            When one of them cannot be watched; it names the field.

        Examples
        --------
        >>> from crystint.online.alarms import Alarms
        >>> alarms = Alarms.of({"alarms": [{"name": "few", "column": "hit_rate", "below": 0.1, "over": 50}]})
        >>> alarms.rules[0].watched, alarms.rules[0].limits
        ('hit_rate, mean of 50 images', 'below 0.1')
        """
        entries = document.get("alarms", [])
        if len(entries) > MOST_ALARMS:
            raise RefusedError(
                "bad_value", f"there are {len(entries)} alarms, expected at most {MOST_ALARMS}", "alarms"
            )
        rules = tuple(_rule(dict(entry), f"alarms.{number}") for number, entry in enumerate(entries))
        names = [rule.name for rule in rules]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise RefusedError("bad_value", f"two alarms are called {name!r}", f"alarms.{number}.name")
        return cls(rules, revision)

    def to_dict(self) -> dict[str, Any]:
        """What `of` takes."""
        return {"alarms": [asdict(rule) for rule in self.rules]}


def _rule(entry: dict[str, Any], place: str) -> Rule:
    rule = Rule(**{each.name: entry[each.name] for each in fields(Rule) if each.name in entry})
    try:
        check_watchable(rule.column, rule.roi)
    except RefusedError as error:
        raise RefusedError("bad_value", f"alarm {rule.name!r}: {error}", f"{place}.{error.field}") from None
    if (rule.below is None) == (rule.above is None):
        text = f"alarm {rule.name!r}: expected a limit, either below or above"
        raise RefusedError("bad_value", text, f"{place}.below")
    return rule


class AlarmFile:
    """Where the alarms are kept, for this process and others.

    Parameters
    ----------
    state : StateFolder
    """

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._stamp: tuple[int, int, int] | None = None
        self._alarms = Alarms()
        self.trouble = ""
        """why there are none although there is a file"""

    def read(self) -> Alarms:
        """As they are now."""
        stamp = self._state.stamp(_FILE)
        if stamp != self._stamp:
            self._alarms, self.trouble = self._fresh()
            self._stamp = stamp
        return self._alarms

    def _fresh(self) -> tuple[Alarms, str]:
        try:
            data = self._state.read(_FILE)
            if data is None:
                return Alarms(), ""
            held = json.loads(data)
            document = AlarmDocument.model_validate({"alarms": held["alarms"]})
            return Alarms.of(document.model_dump(), int(held["revision"])), ""
        except RefusedError as error:
            return Alarms(), str(error)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            folder = self._state.path
            return Alarms(), f"{folder}/{_FILE} is damaged, so nothing is watched; save the alarms anew"

    def write(self, document: Mapping[str, Any], revision: int | None = None) -> Alarms:
        """Replace all.

        Parameters
        ----------
        document : mapping
            As `Alarms.of` takes it.
        revision : int, optional
            That it was made of; None = any.

        Raises
        ------
        RefusedError
            bad_value; conflict when the revision is another one by now; wrong_state when nothing can be written.
        """
        checked = Alarms.of(document)
        with self._state.changing():
            before = self.read().revision
            if revision is not None and revision != before:
                text = f"somebody else changed the alarms: the revision is {before} now; get them, and change those"
                raise RefusedError("conflict", text, "If-Match")
            alarms = Alarms(checked.rules, before + 1)
            content = {**alarms.to_dict(), "revision": alarms.revision}
            self._state.write(_FILE, json.dumps(content, indent=1).encode())
            return self.read()
