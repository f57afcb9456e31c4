"""Names, units and meaning of the columns of a CBC table, here and in cbclib's files."""

from __future__ import annotations

__all__ = ["CBCLIB", "MEANING", "OPTIONAL", "REQUIRED"]

REQUIRED = ("frame", "streak", "x", "y", "counts", "background", "profile")
OPTIONAL = ("h", "k", "l", "p", "u_x", "u_y", "q2", "chi")
CBCLIB = {
    "frame": "frames",
    "streak": "index",
    "counts": "I_raw",
    "background": "bgd",
    "profile": "rp",
    "q2": "sfac",
    "chi": "xtal",
}
"""Names that differ in cbclib; x, y, h, k, l and p are called the same."""
MEANING: dict[str, tuple[str, str]] = {
    "frame": ("", "number of the frame, ascending"),
    "streak": ("", "number of the streak in the whole table, ascending"),
    "x": ("pixel", "number of the pixel along the fast axis"),
    "y": ("pixel", "number of the pixel along the slow axis"),
    "counts": ("count", "as recorded: negative and fractional ones too"),
    "background": ("count", "expected without the streaks"),
    "profile": ("", "standard profile f^2 of the streak in the pixel"),
    "h": ("", "Miller index"),
    "k": ("", "Miller index"),
    "l": ("", "Miller index"),
    "p": ("", "normalised pattern, 0 to 1"),
    "u_x": ("", "x of the incident unit wavevector"),
    "u_y": ("", "y of the incident unit wavevector"),
    "q2": ("count", "|q|^2 of the reflection"),
    "chi": ("", "projection map of the crystal at u"),
}
"""Unit and meaning of each column."""
