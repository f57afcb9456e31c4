"""Settings of a step: checked once, at the door, whether they come from TOML, the command line or Python.

A step has one model. Its fields are the options of the command, with the same names, defaults and help; `plain` is what
an output tells of them, so that nothing can be forgotten; `files` are those that no output may replace.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from crystint.errors import FileError, SettingError, unreadable
from crystint.io.frames.selection import selection_text
from crystint.model.plausible import Quantity, implausible

__all__ = [
    "DetectorSettings",
    "Distance",
    "Finite",
    "Fraction",
    "Length",
    "NotNegative",
    "Pair",
    "PixelSettings",
    "PixelSize",
    "PixelSizes",
    "PlacedSettings",
    "Positive",
    "Selection",
    "SourceSettings",
    "StepSettings",
    "Wavelength",
    "Whole",
    "number",
    "numbers",
    "option_name",
    "setting",
]

_PER_METRE = {"um": 1e6, "µm": 1e6, "mm": 1e3, "cm": 1e2, "m": 1.0}


def number(value: Any) -> Any:
    """Text to a number; whatever else stays as it is for pydantic to judge."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _whole(value: Any) -> Any:
    """Text to a whole number, exactly."""
    if isinstance(value, str):
        try:
            return int(value)
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
        if not isinstance(number(text), float):
            raise ValueError(f"{value!r} is not a length: metres, or a number with um, mm, cm or m")
    return number(value)


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


def numbers(*counts: int) -> BeforeValidator:
    """Text "1,2,3" to as many numbers as one of `counts`, or any; a sequence of numbers stays what it is."""
    many = " or ".join(map(str, counts))

    def split(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            values = [float(part) for part in value.split(",")]
        except ValueError:
            values = []
        if not values or not all(map(math.isfinite, values)) or (counts and len(values) not in counts):
            what = f"{many} number{'s with commas between them' if many != '1' else ''}" if counts else "numbers"
            raise ValueError(f"is {value!r}, expected {what}")
        return tuple(values)

    return BeforeValidator(split)


Length = Annotated[float, BeforeValidator(_length), Field(gt=0, allow_inf_nan=False)]
"""metres; text may have um, mm, cm, m"""
Positive = Annotated[float, BeforeValidator(number), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, BeforeValidator(number), Field(ge=-1, le=1)]
Finite = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole)]
Pair = Annotated[tuple[Finite, Finite], BeforeValidator(_pair)]
"""(slow, fast); text "a,b" """
Selection = Annotated[str, BeforeValidator(selection_text)]
"""as `crystint.io.frames.selection` has it, in the one form of text that it makes of it"""


def _plausible(quantity: Quantity) -> AfterValidator:
    """A number that can be what it is called."""

    def check(value: float) -> float:
        reason = implausible(quantity, value)
        if reason:
            raise ValueError(reason)
        return value

    return AfterValidator(check)


Distance = Annotated[Length, _plausible("distance")]
"""of a detector, m"""
PixelSize = Annotated[Length, _plausible("pixel_size")]
"""m"""
PixelSizes = Annotated[tuple[PixelSize, PixelSize], BeforeValidator(_pixel_pair)]
"""(slow, fast), m; one length is for both"""
Wavelength = Annotated[Positive, _plausible("wavelength")]
"""angstrom"""


def setting(
    default: Any,
    description: str,
    *,
    flag: str = "",
    metavar: str = "",
    option: str = "",
    negative: str = "",
    kinds: tuple[str, ...] = (),
    advanced: bool = False,
    **limits: Any,
) -> Any:
    """A field of a settings model.

    Parameters
    ----------
    default
        Written once, here.
    description : str
        For help texts; with the unit. The default is added to it.
    flag : str
        Short option, such as "-g".
    metavar : str
        What stands for the value in help texts.
    option : str
        The option where it is not called like the field, such as "--b".
    negative : str
        The option that says no, where it is not ``--no-NAME``.
    kinds : tuple of str
        What a file is that it names, by the names of `crystint.io.kinds`.
    advanced : bool
        Forms show it when they are asked for all.
    limits
        As `pydantic.Field` has them: gt, ge, lt, le, ...
    """
    cli: dict[str, Any] = {"flag": flag, "metavar": metavar, "option": option, "negative": negative}
    form: dict[str, Any] = {"kinds": list(kinds), "advanced": advanced}
    return Field(default=default, description=description, json_schema_extra={"cli": cli, "form": form}, **limits)


def option_name(name: str, field: FieldInfo) -> str:
    """The option of a field: ``--d-min``."""
    extra = field.json_schema_extra
    cli = extra.get("cli") if isinstance(extra, dict) else None
    option = cli.get("option") if isinstance(cli, dict) else None
    return str(option or "--" + name.replace("_", "-"))


class StepSettings(BaseModel):
    """Base of the settings of all steps.

    The names are those of the command line options; in TOML with ``-`` or ``_``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    heading: ClassVar[str] = "Settings"
    """over the fields that a class adds, where they stand in a form"""

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None, config: str | Path | None = None) -> Self:
        """Settings of a TOML file, with `values` in their place.

        Parameters
        ----------
        values : mapping of name to value
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
        table = cls._read(Path(config)) if config is not None else {}
        table |= {name: value for name, value in (values or {}).items() if value is not None and value != ()}
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            place = f"{config}: " if config is not None else ""
            complaints = _distinct(error)
            first = complaints[0][0]["loc"]
            text = place + "; ".join(map(cls._sentence, complaints))
            raise SettingError(text, str(first[0]) if first else None) from None

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-able values, for the provenance of an output. Unset ones are left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def files(self) -> tuple[Path, ...]:
        """Every file that the settings name."""
        return tuple(path for name in self._path_fields() for path in _paths_in(getattr(self, name)))

    def absolute(self, folder: str | Path = "") -> Self:
        """Settings whose files are found from any folder; `folder` is where their names are relative to."""

        def whole(value: Any) -> Any:
            if isinstance(value, Path):
                return (folder / value).resolve()
            return tuple(map(whole, value)) if isinstance(value, tuple) else value

        return self.model_copy(update={name: whole(getattr(self, name)) for name in type(self).model_fields})

    @classmethod
    def _path_fields(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if _holds_path(field.annotation)]

    @classmethod
    def _read(cls, path: Path) -> dict[str, Any]:
        """The table of a TOML file, names with ``_``, file names relative to it made absolute."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FileError(f"{path} is not TOML: {error}") from None
        except OSError as error:
            raise unreadable(path, error) from None
        fields = {option_name(name, field)[2:].replace("-", "_"): name for name, field in cls.model_fields.items()}
        values = {}
        for key, value in table.items():
            name = key.replace("-", "_")
            values[fields.get(name, name)] = value
        for name in cls._path_fields():
            value = values.get(name)
            if isinstance(value, str):
                values[name] = path.parent / value
            elif isinstance(value, list):
                values[name] = [path.parent / part if isinstance(part, str) else part for part in value]
        for name, field in cls.model_fields.items():
            if isinstance(field.default, tuple) and isinstance(values.get(name), str | Path):
                values[name] = [values[name]]  # one of several may stand by itself
        return values

    @classmethod
    def _sentence(cls, complaints: list[Any]) -> str:
        """A setting's complaints in one clause."""
        first = complaints[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            like = get_close_matches(name, cls.model_fields, 1)
            hint = f" (did you mean {like[0]}?)" if like else ""
            return f"{name}: no such setting{hint}; there are {', '.join(sorted(cls.model_fields))}"
        if first["type"] == "missing" and len(first["loc"]) == 1:
            return f"{name} is not given: --{name.replace('_', '-')}, or {name} in a file of settings"
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


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _paths_in(part)


def _holds_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_holds_path, get_args(annotation)))


def _distinct(error: ValidationError) -> list[Any]:
    """One complaint per setting: of a choice between words and a number, pydantic reports each branch."""
    complaints: dict[Any, list[Any]] = {}
    for complaint in error.errors(include_url=False):
        complaints.setdefault(complaint["loc"][:1], []).append(complaint)
    return list(complaints.values())


def _clause(message: str, among_words: bool) -> str:
    """What pydantic expected, without its opening words."""
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if "valid number" in text:
        return "a number"
    return f"a number {text}" if among_words else text


class PixelSettings(StepSettings):
    """Which pixels of the frames hold measurements."""

    heading = "Mask"

    mask: tuple[Path, ...] = setting(
        (), "mask files, combined with the mask of the frames: 0 = good", flag="-m", metavar="FILE",
        kinds=("mask", "frames"),
    )  # fmt: skip
    mask_valid: bool = setting(
        False, "in the files of -m it is 0 that is masked, and all else is good", advanced=True
    )  # fmt: skip
    min_valid: Literal["file"] | Finite = setting(
        "file", "smallest valid counts; file = what the file, its format, or what is below zero in it says",
        metavar="NUMBER|file", advanced=True,
    )  # fmt: skip

    @property
    def lowest(self) -> float | None:
        """The smallest valid counts; None = as the frames have it."""
        return None if self.min_valid == "file" else float(self.min_valid)


class SourceSettings(StepSettings):
    """Which frames are read."""

    heading = "Frames"

    dataset: str | None = setting(
        None, "path of the frames inside an HDF5 file, or a pattern such as /tag-*/data", metavar="PATH", advanced=True
    )
    frames: Selection | None = setting(
        None, "work on these frames alone: numbers and ranges from 0, such as 3,7,100:200:10; -1 is the last",
        metavar="FRAMES",
    )  # fmt: skip


class PlacedSettings(PixelSettings):
    """Where a detector is, and which of its pixels are good."""

    heading = "Geometry"

    geometry: Path | None = setting(
        None, "geometry file; without it the frames' own geometry", flag="-g", metavar="FILE", kinds=("geometry",)
    )
    distance: Distance | None = setting(None, "sample to detector along its normal, m", metavar="LENGTH")
    beam: Pair | None = setting(
        None, "(slow, fast) of the point of normal incidence, px from the outer corner", metavar="SLOW,FAST"
    )
    wavelength: Wavelength | None = setting(None, "wavelength, angstrom")
    pixel_size: PixelSizes | None = setting(None, "(slow, fast) size of a pixel, m", metavar="LENGTH[,LENGTH]")
    polarization: Literal["file", "none"] | Fraction = setting(
        "file", "polarization factor; file = what the geometry says, none = no correction", metavar="NUMBER|file|none",
        advanced=True,
    )  # fmt: skip
    beam_outside: bool = setting(False, "the direct beam may miss the detector", advanced=True)


class DetectorSettings(PlacedSettings, SourceSettings):
    """Which frames are read, where their detector is, and which of its pixels are good."""
