"""Tables as lines of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["text_table"]


def text_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows with their cells below one another, two spaces apart.

    Parameters
    ----------
    rows : sequence of rows of cells
        The first may be the head. All have the same number of cells.
    right : collection of int
        Columns that end below one another; the others begin so.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
