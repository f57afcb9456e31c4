"""What compression did to reflections: sums that add, by class of I/sigma and by resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import ShapeError
from crystint.model.rings import RingMap, interpolate
from crystint.summation.footprints import Footprints

__all__ = [
    "CLASSES",
    "CLASS_DTYPE",
    "PART_DTYPE",
    "SHELLS",
    "ReflectionAudit",
    "joined",
    "parts_of",
    "places_of",
    "reflection_shells",
]

CLASSES = (1.0, 3.0, 10.0)
"""I/sigma between the classes."""
SHELLS = 10
"""Resolution shells of reflections."""

PART_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("reflection", np.int64),  # which one, among all of the run
        ("place", np.float64),  # q in 1/angstrom, or radius in m
        ("pixels", np.int32),  # of it on this frame
        ("kept", np.int32),  # of these, in the sparse frame
        ("raw", np.float64),  # intensity in the raw frame, counts; NaN = cut off by an edge or an unusable pixel
        ("raw_variance", np.float64),
        ("dense", np.float64),  # in the frame densified with noise
        ("dense_variance", np.float64),
        ("clean", np.float64),  # in the frame densified without noise; NaN = it was not
    ]
)
"""Dtype of a reflection on one frame; the sums of all its frames are the reflection."""

CLASS_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("reflections", np.int64),
        ("missed", np.int64),  # reflections of which no pixel was kept
        ("raw", np.float64),  # sum of I in the raw frames, counts
        ("dense", np.float64),  # in the frames densified with noise
        ("clean", np.float64),  # in the frames densified without noise; NaN = they were not
        ("raw_square", np.float64),  # sum of I^2
        ("dense_square", np.float64),
        ("product", np.float64),  # sum of I raw * I dense
        ("raw_variance", np.float64),  # sum of sigma^2
        ("dense_variance", np.float64),
        ("raw_ratio", np.float64),  # sum of I / sigma
        ("dense_ratio", np.float64),
    ]
)
"""Dtype of the sums over the reflections of a class and a shell."""


def places_of(rings: RingMap, slow: ArrayLike, fast: ArrayLike) -> NDArray[np.float64]:
    """float64 [n]: q in 1/angstrom at places on the detector (px); radius in m where q is unknown."""
    at = [np.clip(np.asarray(x, np.float64).astype(np.int64), 0, n - 1) for x, n in zip((slow, fast), rings.shape)]
    scale = rings.q if np.isfinite(rings.q).all() else rings.radius
    return interpolate(np.asarray(scale, np.float64), rings.position[at[0], at[1]])


def reflection_shells(rings: RingMap, shells: int = SHELLS) -> tuple[NDArray[np.float64], str]:
    """Edges of shells that hold equally many reflections of a crystal (equally wide in q^3), and their unit.

    Returns
    -------
    edges : float64 [shells + 1]
        q in 1/angstrom from 0; radius in m where q is unknown.
    unit : str
        "q" or "radius".
    """
    unit, scale = ("q", rings.q) if np.isfinite(rings.q).all() else ("radius", rings.radius)
    last = float(scale[-1]) if len(scale) else 1.0
    return last * np.linspace(0.0, 1.0, shells + 1) ** (1 / 3), unit


def parts_of(
    spots: Footprints,
    reflection: NDArray[np.integer[Any]],
    place: NDArray[np.float64],
    index: NDArray[np.integer[Any]],
    raw: NDArray[Any],
    dense: NDArray[Any],
    clean: NDArray[Any] | None,
) -> NDArray[np.void]:
    """The reflections of one frame, raw and densified.

    Parameters
    ----------
    spots : Footprints
        Of `raw`.
    reflection : int [n]
        Their numbers.
    place : float64 [n]
        As `places_of`.
    index : integer [m]
        Pixels that the sparse frame keeps, ascending.
    raw, dense, clean : [slow, fast]
        The raw frame, and the frame densified with and without noise; None = it was not.

    Returns
    -------
    `PART_DTYPE` [n]
    """
    parts = np.zeros(len(spots), PART_DTYPE)
    parts["reflection"], parts["place"] = reflection, place
    parts["pixels"], parts["kept"] = np.bincount(spots.row, minlength=len(spots)), spots.count(index)
    parts["clean"] = np.nan
    for name, image in (("raw", raw), ("dense", dense), *([] if clean is None else [("clean", clean)])):
        sums = spots.sums(image)
        parts[name] = sums["intensity"]
        if name != "clean":
            parts[f"{name}_variance"] = sums["variance"]
    return parts


def joined(parts: NDArray[np.void]) -> NDArray[np.void]:
    """`PART_DTYPE` [reflections]: the parts of each reflection together, in the order of their numbers."""
    numbers, row = np.unique(parts["reflection"], return_inverse=True)
    whole = np.zeros(len(numbers), PART_DTYPE)
    for name in PART_DTYPE.names or ():
        whole[name] = np.bincount(row, parts[name].astype(np.float64), len(numbers)).astype(PART_DTYPE[name])
    whole["reflection"], whole["place"] = numbers, -np.inf
    np.fmax.at(whole["place"], row, parts["place"])
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class ReflectionAudit:
    """Reflections of the raw frames against those of the densified frames; ``a + b`` is what one pass would give.

    A reflection belongs to a class by its I/sigma in the raw frames, unless expected ones are given.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.summation.audit import PART_DTYPE, ReflectionAudit
    >>> parts = np.zeros(2, PART_DTYPE)
    >>> parts["place"], parts["raw"], parts["dense"], parts["clean"] = 0.5, [400.0, 8.0], [390.0, 2.0], [390.0, 1.0]
    >>> parts["raw_variance"] = parts["dense_variance"] = [400.0, 16.0]
    >>> audit = ReflectionAudit(np.array([0.0, 1.0]), "q").with_parts(parts)
    >>> audit.by_class["reflections"].tolist(), audit.kept(audit.total).round(3).tolist()
    ([0, 1, 0, 1], [0.961])
    """

    edges: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """float64 [shells + 1]: q in 1/angstrom, or radius in m"""
    unit: str = "q"
    """what `edges` are: "q" or "radius" """
    sums: NDArray[np.void] = field(default_factory=lambda: np.zeros((len(CLASSES) + 1, 0), CLASS_DTYPE))
    """[classes, shells] of `CLASS_DTYPE`"""
    cut: int = 0
    """reflections left out: cut off by an edge, unusable or saturated pixels, or without pixels around them"""
    source: str = ""
    """what the reflections are, in words"""
    selected: bool = False
    """whether they were chosen by their intensity, as peaks are"""
    expected: bool = False
    """whether classes are those of expected I/sigma, not of what the raw frames hold"""
    spots: int = 0
    """peaks found in the raw frames"""
    again: int = 0
    """of these, found in the densified frames as well"""
    invented: int = 0
    """peaks of the densified frames that are none of the raw frames"""

    def __post_init__(self) -> None:
        shells = max(len(self.edges) - 1, 0)
        if self.sums.shape != (len(CLASSES) + 1, shells):
            object.__setattr__(self, "sums", np.zeros((len(CLASSES) + 1, shells), CLASS_DTYPE))

    def with_parts(self, whole: NDArray[np.void], expected: ArrayLike | None = None) -> Self:
        """With more reflections.

        Parameters
        ----------
        whole : `PART_DTYPE` [n]
            Whole reflections, as `joined` gives them.
        expected : float [n], optional
            I/sigma that says their class; None = that of the raw frames.
        """
        usable = np.isfinite(whole["raw"]) & np.isfinite(whole["dense"]) & np.isfinite(whole["place"])
        if expected is not None:
            usable &= np.isfinite(np.asarray(expected))
        some, classes, shells = whole[usable], len(CLASSES) + 1, len(self.edges) - 1
        ratio = {name: _ratio(some[name], np.sqrt(some[f"{name}_variance"])) for name in ("raw", "dense")}
        snr = ratio["raw"] if expected is None else np.asarray(expected, np.float64)[usable]
        shell = np.clip(np.searchsorted(self.edges, some["place"], side="right") - 1, 0, shells - 1)
        cell = np.searchsorted(CLASSES, np.nan_to_num(snr), side="right") * shells + shell
        values = {
            "reflections": None,
            "missed": some["kept"] == 0,
            **{name: some[name] for name in ("raw", "dense", "clean", "raw_variance", "dense_variance")},
            "raw_square": some["raw"] ** 2,
            "dense_square": some["dense"] ** 2,
            "product": some["raw"] * some["dense"],
            "raw_ratio": np.nan_to_num(ratio["raw"]),
            "dense_ratio": np.nan_to_num(ratio["dense"]),
        }
        sums = self.sums.copy()
        for name, value in values.items():
            weights = None if value is None else np.asarray(value, np.float64)
            added = np.bincount(cell, weights, classes * shells).reshape(classes, shells)
            sums[name] += added.astype(CLASS_DTYPE[name])
        return replace(self, sums=sums, cut=self.cut + int((~usable).sum()))

    def __add__(self, other: Self) -> Self:
        if not len(other.edges):
            return self
        if not len(self.edges):
            return other
        if self.unit != other.unit or not np.array_equal(self.edges, other.edges):
            raise ShapeError("the reflections are in different resolution shells: compare them with the same geometry")
        counts = {name: getattr(self, name) + getattr(other, name) for name in ("cut", "spots", "again", "invented")}
        return replace(self, sums=_added(np.stack([self.sums, other.sums]), 0), **counts)

    @property
    def d(self) -> NDArray[np.float64]:
        """float64 [shells + 1]: spacing at the edges, angstrom, descending from infinity; NaN when q is unknown."""
        if self.unit != "q":
            return np.full(len(self.edges), np.nan)
        with np.errstate(divide="ignore"):
            return np.asarray(2 * np.pi / self.edges)

    @property
    def by_class(self) -> NDArray[np.void]:
        """`CLASS_DTYPE` [classes]: of all shells, from the weakest class to the strongest."""
        return _added(self.sums, 1)

    @property
    def by_shell(self) -> NDArray[np.void]:
        """`CLASS_DTYPE` [shells]: of all classes."""
        return _added(self.sums, 0)

    @property
    def total(self) -> NDArray[np.void]:
        """`CLASS_DTYPE` [1]: of all reflections."""
        return _added(self.sums.reshape(1, -1), 1)

    @staticmethod
    def kept(sums: NDArray[np.void], dense: str = "dense") -> NDArray[np.float64]:
        """float64: sum of I densified over sum of I raw; with `dense` = "clean", densified without noise."""
        return _ratio(sums[dense], sums["raw"])

    @staticmethod
    def kept_error(sums: NDArray[np.void]) -> NDArray[np.float64]:
        """float64: standard error of `kept`, from how the reflections scatter about it; NaN for fewer than 3."""
        share = ReflectionAudit.kept(sums)
        square = sums["dense_square"] - 2 * share * sums["product"] + share**2 * sums["raw_square"]
        return np.where(sums["reflections"] > 2, _ratio(np.sqrt(np.maximum(square, 0.0)), np.abs(sums["raw"])), np.nan)

    @staticmethod
    def cc(sums: NDArray[np.void]) -> NDArray[np.float64]:
        """float64: correlation of the intensities, raw and densified; NaN for fewer than 3 reflections."""
        n = np.where(sums["reflections"] > 2, sums["reflections"], np.nan)
        spread = [sums[f"{name}_square"] / n - (sums[name] / n) ** 2 for name in ("raw", "dense")]
        common = sums["product"] / n - sums["raw"] * sums["dense"] / n**2
        return _ratio(common, np.sqrt(np.maximum(spread[0] * spread[1], 0.0)))

    @staticmethod
    def mean(sums: NDArray[np.void], name: str) -> NDArray[np.float64]:
        """float64: a sum per reflection: raw, dense or clean (counts), raw_ratio or dense_ratio (I/sigma)."""
        return _ratio(sums[name], sums["reflections"])


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole, NaN where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.divide(part, whole), np.nan)


def _added(sums: NDArray[np.void], axis: int) -> NDArray[np.void]:
    """Sums along an axis."""
    added = np.zeros(sums["raw"].sum(axis=axis).shape, CLASS_DTYPE)
    for name in CLASS_DTYPE.names or ():
        added[name] = sums[name].sum(axis=axis)
    return added
