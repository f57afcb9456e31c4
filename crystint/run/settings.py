"""Settings of a run: checked once, at the door, whether they come from TOML or from the command line."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from crystint.errors import FileError, SettingError

__all__ = ["Settings"]

_PER_METRE = {"um": 1e6, "µm": 1e6, "mm": 1e3, "cm": 1e2, "m": 1.0}


def _number(value: Any) -> Any:
    """Text to a number; whatever else stays as it is for pydantic to judge."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _length(value: Any) -> Any:
    """0.351, "0.351", "351mm" or "172 um" to metres."""
    if isinstance(value, str):
        text = value.strip()
        for unit, per_metre in _PER_METRE.items():
            if text.endswith(unit):
                try:
                    return float(text.removesuffix(unit)) / per_metre
                except ValueError:
                    continue
        if not isinstance(_number(text), float):
            raise ValueError(f"{value!r} is not a length: metres, or a number with um, mm, cm or m")
    return _number(value)


def _pair(value: Any) -> Any:
    """Text "a,b" to a list of two texts."""
    if isinstance(value, str):
        parts = value.replace(",", " ").split()
        if len(parts) != 2:
            raise ValueError(f"{value!r} is not two numbers: write SLOW,FAST")
        return parts
    return value


def _pixel_pair(value: Any) -> Any:
    """One length for square pixels, or "slow,fast"."""
    if isinstance(value, str) and "," in value:
        value = value.split(",")
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        value = [value, value]
    return value


_Length = Annotated[float, BeforeValidator(_length), Field(gt=0, allow_inf_nan=False)]
_Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
_Fraction = Annotated[float, BeforeValidator(_number), Field(ge=-1, le=1)]
_Finite = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


class Settings(BaseModel):
    """Everything that ``crystint peaks`` and ``crystint sparsify`` can be told, with the units of each.

    The names are those of the command line options, in TOML with ``-`` or ``_``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    geometry: Path | None = Field(default=None, description="geometry file; without it the frames' own geometry")
    distance: _Length | None = Field(default=None, description="sample to detector along its normal, m")
    beam: Annotated[tuple[_Finite, _Finite], BeforeValidator(_pair)] | None = Field(
        default=None, description="(slow, fast) of the point of normal incidence, px from the outer corner"
    )
    wavelength: _Positive | None = Field(default=None, description="wavelength, angstrom")
    pixel_size: Annotated[tuple[_Length, _Length], BeforeValidator(_pixel_pair)] | None = Field(
        default=None, description="(slow, fast) size of a pixel, m"
    )
    polarization: Literal["file", "none"] | _Fraction = Field(
        default="file", description="polarization factor; file = what the geometry says, none = no correction"
    )
    beam_outside: bool = Field(default=False, description="the direct beam may miss the detector")

    dataset: str | None = Field(default=None, description="path of the frames inside an HDF5 file")
    mask: tuple[Path, ...] = Field(default=(), description="mask files, combined with the mask of the frames")
    dark: Path | None = Field(default=None, description="dark frame, counts, subtracted")
    flat: Path | None = Field(default=None, description="flat field, divided out")
    normalization: tuple[Path, ...] = Field(default=(), description="further factors per pixel, divided out")
    solid_angle: bool = Field(default=True, description="divide by the solid angle of each pixel")
    saturation: Literal["file", "none"] | _Positive = Field(
        default="file",
        description="largest valid counts; pixels above it are signal, never background; file = what the file says",
    )

    rings: int = Field(default=1000, ge=1, le=65534, description="number of resolution rings")
    error_model: Literal["poisson", "azimuthal", "hybrid"] = Field(
        default="hybrid", description="where the spread of a pixel comes from"
    )
    snr_clip: Literal["auto"] | _Positive = Field(
        default="auto", description="clipping threshold in standard deviations; auto = Chauvenet"
    )
    cycles: int = Field(default=5, ge=0, le=1000, description="most clipping cycles")

    snr: _Positive | None = Field(
        default=None, description="significance of a peak (5), of a pixel to keep when sparsifying (3)"
    )
    snr_peak: _Positive = Field(default=5.0, description="significance of a peak stored with a sparse file")
    snr_pick: _Positive = Field(default=2.0, description="significance of each pixel of a peak")
    noise: _NotNegative = Field(default=0.0, description="constant noise added in quadrature, counts")
    patch: Annotated[Literal[3, 5], BeforeValidator(_number)] = Field(
        default=3, description="width of the neighbourhood of a peak, px"
    )
    connected: int = Field(default=3, ge=1, le=25, description="pixels of the neighbourhood above snr_pick")
    strict_mask: bool = Field(default=False, description="drop peaks that touch an unusable pixel")
    d_min: _Positive | None = Field(default=None, description="finest spacing of a peak, angstrom")
    d_max: _Positive | None = Field(default=None, description="coarsest spacing of a peak, angstrom")

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.d_min is not None and self.d_max is not None and self.d_min >= self.d_max:
            raise ValueError(f"d_min {self.d_min:g} is not below d_max {self.d_max:g} angstrom")
        pixels = self.patch**2
        if self.connected > pixels:
            raise ValueError(f"connected is {self.connected}, but a patch of {self.patch} has {pixels} pixels")
        return self

    @classmethod
    def of(cls, given: Mapping[str, Any] | None = None, config: str | Path | None = None) -> Self:
        """Settings of a TOML file, with those `given` in their place.

        Parameters
        ----------
        given : mapping of name to value
            Values of None and empty sequences count as not given.
        config : path of a TOML file
            The files it names are looked up relative to its own folder.

        Raises
        ------
        FileError
            If the file cannot be read.
        SettingError
            In one line: which setting, what it is, what is allowed.
        """
        values = _read(Path(config)) if config is not None else {}
        values |= {name: value for name, value in (given or {}).items() if value is not None and value != ()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            place = f"{config}: " if config is not None else ""
            raise SettingError(place + "; ".join(map(_sentence, _distinct(error)))) from None

    @property
    def clip(self) -> float | None:
        """The clipping threshold as `Separator` takes it: None = automatic."""
        return None if self.snr_clip == "auto" else float(self.snr_clip)

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-able values, for the provenance of an output. Unset ones are left out."""
        return self.model_dump(mode="json", exclude_none=True)


_PATHS = ("geometry", "mask", "dark", "flat", "normalization")


def _read(path: Path) -> dict[str, Any]:
    """The table of a TOML file, names with ``_``, file names relative to it made absolute."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    values = {name.replace("-", "_"): value for name, value in table.items()}
    for name in _PATHS:
        value = values.get(name)
        if isinstance(value, str):
            values[name] = path.parent / value
        elif isinstance(value, list):
            values[name] = [path.parent / part if isinstance(part, str) else part for part in value]
    for name in ("mask", "normalization"):
        if isinstance(values.get(name), Path):
            values[name] = [values[name]]
    return values


def _distinct(error: ValidationError) -> list[Any]:
    """One complaint per setting: of a choice between words and a number, pydantic reports each branch."""
    found: dict[Any, list[Any]] = {}
    for complaint in error.errors(include_url=False):
        found.setdefault(complaint["loc"][:1], []).append(complaint)
    return list(found.values())


def _sentence(complaints: list[Any]) -> str:
    """A setting's complaints in one clause."""
    first = complaints[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"{name}: no such setting; known are {', '.join(sorted(Settings.model_fields))}"
    value = first["input"]
    words = [part["ctx"]["expected"] for part in complaints if part["type"] == "literal_error"]
    others = [_clause(part["msg"], bool(words)) for part in complaints if part["type"] != "literal_error"]
    if not name:
        return "; ".join(others)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name}: is {value}, expected a finite number"
    expected = " or ".join(dict.fromkeys(words + others))
    if first["type"] == "value_error":
        return f"{name}: {expected}"
    return f"{name}: is {value!r}, expected {expected}"


def _clause(message: str, among_words: bool) -> str:
    """What pydantic expected, without its opening words."""
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if "valid number" in text:
        return "a number"
    return f"a number {text}" if among_words else text
