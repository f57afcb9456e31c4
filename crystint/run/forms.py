"""A step as others see it who do not type: its settings as a form, and the command line that does the same.

Both are made of the settings model and the step alone, as the options of the command are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from crystint.run.settings import StepSettings, option_name
from crystint.run.step import Step

__all__ = ["command_words", "form_of", "kinds_of"]

_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def form_of(settings: type[StepSettings], hidden: Collection[str] = ()) -> dict[str, Any]:
    """JSON schema of a settings model, with what a form needs beside it.

    Parameters
    ----------
    settings : model
    hidden : collection of str
        Fields that are no options, and stand in no form.

    Returns
    -------
    dict
        Each property has besides the words of JSON schema ``group`` (the heading that it stands under), ``option`` (as
        on the command line), ``metavar``, ``advanced``, and ``kinds`` (of the file that it names; none = no file).

    Examples
    --------
    >>> from crystint.run.forms import form_of
    >>> from crystint.separation.settings import PeaksSettings
    >>> snr = form_of(PeaksSettings)["properties"]["snr_pick"]
    >>> snr["group"], snr["option"], snr["default"], snr["exclusiveMinimum"]
    ('Peaks', '--snr-pick', 2.0, 0)
    """
    schema = settings.model_json_schema()
    properties = {}
    for name, field in settings.model_fields.items():
        if name not in hidden:
            cli, form = _extra(field, "cli"), _extra(field, "form")
            rest = {key: value for key, value in schema["properties"][name].items() if key not in ("cli", "form")}
            properties[name] = _standard(rest) | {
                "title": name.replace("_", " "),
                "group": _heading(settings, name),
                "option": option_name(name, field),
                "metavar": cli.get("metavar", ""),
                "advanced": bool(form.get("advanced")),
                "kinds": kinds_of(field),
            }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def kinds_of(field: FieldInfo) -> list[str]:
    """Kinds of the file that a setting names; none = it names no file."""
    return list(_extra(field, "form").get("kinds", ()))


def _extra(field: FieldInfo, name: str) -> dict[str, Any]:
    extra = field.json_schema_extra
    value = extra.get(name) if isinstance(extra, dict) else None
    return dict(value) if isinstance(value, dict) else {}


def _heading(settings: type[StepSettings], name: str) -> str:
    """Of the first class that has the field, the base before what is made of it."""
    owner = next(one for one in reversed(settings.__mro__) if name in getattr(one, "__annotations__", {}))
    return str(getattr(owner, "heading", StepSettings.heading))


def _standard(schema: Any) -> Any:
    """The limits of numbers that pydantic does not translate in the words of JSON schema."""
    if isinstance(schema, dict):
        return {_LIMITS.get(key, key): _standard(value) for key, value in schema.items()}
    return [_standard(each) for each in schema] if isinstance(schema, list) else schema


def command_words(
    step: Step[Any],
    inputs: Mapping[str, Sequence[str]],
    outputs: Iterable[str],
    settings: StepSettings,
    names: Collection[str],
) -> list[str]:
    """The command line of a step, word by word: `shlex.join` makes it one to paste.

    Parameters
    ----------
    step : Step
    inputs : mapping of the names of its arguments to files
    outputs : files
    settings : model
    names : collection of str
        Settings that are told; others are defaults.

    Examples
    --------
    >>> from crystint.run.forms import command_words
    >>> from crystint.separation.steps import PEAKS
    >>> settings = PEAKS.settings.of({"snr": 6, "join": False, "beam": (51.5, 60)})
    >>> " ".join(command_words(PEAKS, {"frames": ["run.h5"]}, ["peaks.cxi"], settings, ("snr", "join", "beam")))
    'crystint peaks run.h5 -o peaks.cxi --beam 51.5,60.0 --snr 6.0 --no-join'
    """
    words = ["crystint", *step.name.split()]
    words += [source for argument in step.arguments for source in inputs[argument.name]]
    for output in outputs:
        words += ["-o", output]
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name in names and value is not None:
            words += _option_words(name, field, value)
    return words


def _option_words(name: str, field: FieldInfo, value: Any) -> list[str]:
    option = option_name(name, field)
    if isinstance(value, bool):
        return [option if value else str(_extra(field, "cli").get("negative") or "--no-" + option[2:])]
    many = isinstance(field.default, tuple) and get_args(field.annotation)[-1:] == (Ellipsis,)
    texts = [_text(each) for each in value] if many else [_text(value)]
    return [word for text in texts for word in (option, text)]


def _text(value: Any) -> str:
    """As the option takes it."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return repr(value) if isinstance(value, float) else str(value)
