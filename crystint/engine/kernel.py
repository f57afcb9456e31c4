"""A kernel that was built, and its arguments by name.

The names and types of the parameters are read from the source text, so that they are known on every platform.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter, index
from typing import Any

import numpy as np

from crystint.engine.buffer import Buffer
from crystint.errors import DeviceError, KernelArgumentError

__all__ = ["Kernel", "Parameter", "parameters_of"]

_TYPES = {
    "char": np.int8,
    "uchar": np.uint8,
    "short": np.int16,
    "ushort": np.uint16,
    "int": np.int32,
    "uint": np.uint32,
    "long": np.int64,
    "ulong": np.uint64,
    "float": np.float32,
    "double": np.float64,
}
"""OpenCL type -> type of the same bits in NumPy"""
_VECTOR = re.compile(r"([a-z]+?)(2|3|4|8|16)?$")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_QUALIFIERS = {"__global", "global", "const", "volatile", "restrict", "__restrict"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a kernel."""

    name: str
    type: str
    """as OpenCL knows it, such as "uint" or "float4 *" """
    dtype: np.dtype[Any]
    """of the value, or of the elements of the buffer; those of a vector, such as float4, one by one"""
    is_buffer: bool

    @property
    def is_integer(self) -> bool:
        """Whether it is a whole number."""
        return not self.is_buffer and self.dtype.kind in "iu"

    def complaint(self, argument: Any) -> str | None:
        """What was expected and what came, unless `argument` fits."""
        if self.is_buffer:
            if not isinstance(argument, Buffer):
                return f"expected a buffer of {self.dtype} ({self.type}), got {argument!r}"
            if argument.dtype != self.dtype:
                return f"expected a buffer of {self.dtype} ({self.type}), got one of {argument.dtype}"
            return None
        if isinstance(argument, Buffer):
            return f"expected a value ({self.type}), got a buffer of {argument.dtype}"
        try:
            if not self.is_integer:
                float(argument)
                return None
            limits = np.iinfo(self.dtype)
            if limits.min <= index(argument) <= limits.max:
                return None
            return f"expected a whole number from {limits.min} to {limits.max} ({self.type}), got {argument!r}"
        except (TypeError, ValueError):
            kind = "whole number" if self.is_integer else "number"
            return f"expected a {kind} ({self.type}), got {argument!r}"


def parameters_of(source: str, name: str, defines: Mapping[str, object]) -> tuple[Parameter, ...]:
    """The parameters of a kernel, in their order.

    Parameters
    ----------
    source : str
        Text with includes pasted.
    name : str
    defines : mapping
        What the compiler is told with -D: a type may be one of these.

    Raises
    ------
    DeviceError
        If there is no such kernel, or if a parameter has a type that this module does not know.
    """
    head = rf"\b(?:__)?kernel\b[^;{{}}]*?\bvoid\s+{re.escape(name)}\s*\(([^()]*)\)"
    match = re.search(head, _COMMENT.sub(" ", source))
    if match is None:
        raise DeviceError(f"the source of kernel {name} has no '__kernel void {name}(...)'")
    declarations = [" ".join(part.split()) for part in match[1].split(",")]
    if declarations in ([""], ["void"]):
        return ()
    return tuple(_parameter(name, declaration, defines) for declaration in declarations)


def _parameter(kernel: str, declaration: str, defines: Mapping[str, object]) -> Parameter:
    words = [word for word in declaration.replace("*", " * ").split() if word not in _QUALIFIERS]
    is_buffer = words[1:-1] == ["*"]
    if len(words) == (3 if is_buffer else 2):
        text = str(defines.get(words[0], words[0]))
        scalar = _VECTOR.match(text)
        if scalar is not None and scalar[1] in _TYPES and (is_buffer or scalar[2] is None):
            return Parameter(words[-1], text + " *" * is_buffer, np.dtype(_TYPES[scalar[1]]), is_buffer)
    raise DeviceError(
        f"kernel {kernel}: parameter '{declaration}' is neither a number nor a __global pointer to numbers of a type "
        "that OpenCL has or that is defined when the kernel is built"
    )


class _Plan:
    """Where the arguments of one place of call are found."""

    __slots__ = ("attributes", "order")

    def __init__(self, attributes: list[Callable[[Any], Any]], order: list[int]) -> None:
        self.attributes, self.order = attributes, order

    def values(self, sources: tuple[object, ...], arguments: dict[str, Any]) -> list[Any]:
        """The arguments in the order of the parameters."""
        values = list(arguments.values())
        for source, attributes in zip(sources, self.attributes):
            values += attributes(source)
        return [values[position] for position in self.order]


class Kernel:
    """A kernel and the order of its arguments.

    Parameters
    ----------
    handle : pyopencl.Kernel
    parameters : tuple of Parameter

    Raises
    ------
    DeviceError
        If OpenCL counts other parameters than were read from the source.
    """

    def __init__(self, handle: Any, parameters: tuple[Parameter, ...]) -> None:
        self.handle, self.parameters = handle, parameters
        self.name: str = handle.function_name
        self.names = tuple(one.name for one in parameters)
        if handle.num_args != len(parameters):
            raise DeviceError(f"kernel {self.name} has {handle.num_args} parameters, {len(parameters)} were read")
        handle.set_scalar_arg_dtypes([None if one.is_buffer else one.dtype for one in parameters])
        self._buffers = [(i, one.dtype) for i, one in enumerate(parameters) if one.is_buffer]
        limits = [(i, np.iinfo(one.dtype)) for i, one in enumerate(parameters) if one.is_integer]
        self._integers = [(i, int(limit.min), int(limit.max)) for i, limit in limits]
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    def set_arguments(self, sources: tuple[object, ...], arguments: dict[str, Any]) -> None:
        """Set all arguments for the launches to come.

        Parameters
        ----------
        sources : objects
            Parameters that are not among the arguments are attributes of the first of these that has them.
        arguments : dict

        Raises
        ------
        KernelArgumentError
            If an argument is missing, unknown, or not of the type of its parameter.
        """
        key = (*arguments, *map(type, sources))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(sources, arguments)
        try:
            values = plan.values(sources, arguments)
        except AttributeError:  # a source of a type that was here before, with other attributes
            plan = self._plans[key] = self._plan(sources, arguments)
            values = plan.values(sources, arguments)
        handles = values.copy()
        try:
            for i, dtype in self._buffers:
                buffer = values[i]
                if buffer.dtype is not dtype and buffer.dtype != dtype:
                    raise TypeError
                handles[i] = buffer.handle
            for i, low, high in self._integers:
                if not low <= values[i] <= high:
                    raise TypeError
            self.handle.set_args(*handles)
        except (AttributeError, TypeError, RuntimeError):
            complaint = self._complaint(values)
            if complaint is None:
                raise
            raise KernelArgumentError(complaint) from None

    def _plan(self, sources: tuple[object, ...], arguments: dict[str, Any]) -> _Plan:
        """Where to find each parameter, for any call with arguments of these names and sources of these types."""
        names = [one.name for one in self.parameters]
        unknown = [name for name in arguments if name not in names]
        owners = {name: [i for i, source in enumerate(sources) if hasattr(source, name)] for name in names}
        missing = [name for name in names if name not in arguments and not owners[name]]
        if unknown or missing:
            wrong = [f"{what} {', '.join(some)}" for what, some in (("missing", missing), ("unknown", unknown)) if some]
            raise KernelArgumentError(f"kernel {self.name}, arguments: {'; '.join(wrong)}; expected {', '.join(names)}")
        of_source: list[list[str]] = [[] for _ in sources]
        for name in names:
            if name not in arguments:
                of_source[owners[name][0]].append(name)
        gathered = [*arguments, *(name for some in of_source for name in some)]
        return _Plan([_attributes(some) for some in of_source], [gathered.index(name) for name in names])

    def _complaint(self, values: list[Any]) -> str | None:
        """What is wrong with the arguments, if anything is."""
        for parameter, value in zip(self.parameters, values):
            complaint = parameter.complaint(value)
            if complaint is not None:
                return f"kernel {self.name}, argument {parameter.name}: {complaint}"
        return None


def _attributes(names: list[str]) -> Callable[[Any], Any]:
    """What takes the attributes of these names from an object, as a sequence."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda source: [getattr(source, name) for name in names]
