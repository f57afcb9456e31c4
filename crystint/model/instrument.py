"""What the files of a run tell of the instrument and the sample, beside the geometry and the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from crystint.errors import SettingError
from crystint.html import html_table

__all__ = ["Instrument"]


@dataclass(frozen=True, slots=True)
class Instrument:
    """Facts of the source files. None = they do not tell; nothing is assumed.

    Examples
    --------
    >>> import crystint
    >>> known = crystint.Instrument(material="Si", thickness=320e-6)
    >>> known, known.gain is None
    (<Instrument: Si, 320 um thick>, True)
    """

    material: str | None = None
    """of the sensor, as a chemical formula: "Si", "CdTe" """
    thickness: float | None = None
    """of the sensor, m"""
    gain: float | None = None
    """counts per photon"""
    underload: float | None = None
    """the smallest value that is a measurement"""
    saturation: float | None = None
    """the largest value that is a measurement"""
    detector: str | None = None
    """kind of the detector: "PILATUS 2M" """
    serial: str | None = None
    """serial number of the detector"""
    name: str | None = None
    """of the instrument or beamline"""
    source: str | None = None
    """of radiation"""
    sample: str | None = None
    """name of the sample"""

    def over(self, below: Instrument) -> Instrument:
        """These facts, and those of `below` where these do not tell."""
        return Instrument(**{**below.to_dict(), **self.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """What is known, as JSON-able values; `from_dict` is the inverse."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what `to_dict` gave.

        Raises
        ------
        SettingError
            When a name is unknown.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise SettingError(f"not the facts of an instrument: {error}") from error

    def facts(self) -> dict[str, str]:
        """What is known, in words."""
        sensor = [*([self.material] if self.material else [])]
        sensor += [] if self.thickness is None else [f"{1e6 * self.thickness:.6g} um thick"]
        serial = [] if self.serial is None else [f"serial number {self.serial}"]
        words = {
            "sensor": ", ".join(sensor),
            "detector": ", ".join([*([self.detector] if self.detector else []), *serial]),
            "gain": "" if self.gain is None else f"{self.gain:g} counts per photon",
            "valid counts": " ".join(
                text
                for text, value in (("from", self.underload), ("to", self.saturation))
                if value is not None
                for text in (f"{text} {value:.10g}",)
            ),
            "instrument": self.name or "",
            "source": self.source or "",
            "sample": self.sample or "",
        }
        return {name: text for name, text in words.items() if text}

    def __repr__(self) -> str:
        return f"<Instrument: {'; '.join(self.facts().values()) or 'nothing is known'}>"

    def _repr_html_(self) -> str:
        return html_table("Instrument", self.facts())
