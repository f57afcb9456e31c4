"""The text of a CBF header: lines of the mini header, and the tables of a full imgCIF header."""

from __future__ import annotations

import math
import re

from gemmi import cif

from crystint.errors import GeometryError

__all__ = ["NUMBER", "cif_block", "cif_value", "mini_lines"]

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def mini_lines(text: str) -> list[str]:
    """The lines of the mini header without their marks."""
    return [line.strip() for line in re.findall(r"^#[ \t]*(\S[^\r\n]*)", text, re.MULTILINE)]


def cif_block(text: str) -> cif.Block:
    """The header as CIF, without the item whose value is the binary section.

    Raises
    ------
    GeometryError
        When it is not valid CIF.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"\n_array_data\.data[^\n]*\n;?\s*$", "\n", text)
    text = re.sub(r"\nloop_\s*(?:\n_array_data\.\w+[ \t]*)*\s*$", "\n", text)
    try:
        return cif.read_string(text).sole_block()
    except (ValueError, RuntimeError) as error:
        raise GeometryError(f"the header is not valid CIF: {error}") from error


def cif_value(text: str) -> float:
    """A CIF number; 0 for "." and "?"."""
    number = cif.as_number(text)
    return 0.0 if math.isnan(number) else float(number)
