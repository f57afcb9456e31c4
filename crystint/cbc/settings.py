"""What the steps of convergent-beam scaling can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crystint.cbc.defaults import FRAMES, GRID, ITERATIONS, KIND, LENGTH, LOSS, METHOD, OVERLAP, REFLECTIONS, STEPS
from crystint.run.settings import (
    Distance,
    Finite,
    NotNegative,
    PixelSize,
    Positive,
    StepSettings,
    Wavelength,
    Whole,
    numbers,
    setting,
)

__all__ = ["MergeSettings", "PlotSettings", "ScaleSettings", "SimulateSettings", "SimulationSettings"]

_COUNT: dict[str, Any] = {"metavar": "N", "ge": 1}
_CELL: dict[str, Any] = {"metavar": "A,B,C,AL,BE,GA"}
_LARGEST = 2**63 - 1


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Cell = Annotated[tuple[Finite, Finite, Finite, Finite, Finite, Finite], numbers(6)]
"""angstrom and degrees; text "a,b,c,al,be,ga" """
Nodes = Annotated[tuple[int, int], numbers(2)]
"""(y, x); text "y,x" """
Shape = Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], numbers(2)]
"""px, (slow, fast); text "slow,fast" """


class SimulationSettings(StepSettings):
    """Everything that a simulated set of convergent-beam frames depends on.

    The beam goes along z to a focus, the crystal is `defocus` behind it, the detector `distance` behind the focus and
    across the beam. Directions are unit vectors (their x, y are about angles in rad). |q|^2 are drawn as
    intensity * (weakest + (1 - weakest) w), with w of Wilson's laws.
    """

    frames: Whole = setting(FRAMES, "how many", **_COUNT)
    symmetry: str = setting("mmm", "space group, or point group (then without absences)", metavar="NAME")
    friedel: bool = setting(True, "hkl and -h-k-l have one |q|^2, otherwise independent ones")
    cell: Cell | None = setting(
        None, "angstrom, degrees; without it about 20 000 cubic angstrom that fit the symmetry", **_CELL
    )
    numerical_aperture: Positive = setting(
        0.03, "half the side of the square pupil: |u_x|, |u_y| of incident rays", metavar="NA", lt=0.5
    )
    wavelength: Wavelength = setting(0.73, "angstrom", metavar="A")
    distance: Distance = setting(0.1, "focus to detector, m", metavar="LENGTH")
    defocus: NotNegative = setting(0.002, "focus to crystal, m", metavar="M")
    pixel_size: PixelSize = setting(200e-6, "m; pixel (x, y) is at (x, y) times this", metavar="LENGTH")
    shape: Shape = setting((512, 512), "pixels; the focus is opposite the middle", metavar="SLOW,FAST")
    rotation: Finite = setting(2.0, "of the crystal per frame, degrees, about the slow axis", metavar="DEG")
    d_min: Positive = setting(3.1, "highest resolution, angstrom", metavar="A")
    crowding: Positive = setting(
        1.0, "about so many times more streaks, and more overlap: the volume of the cell is multiplied by it"
    )
    width: Positive = setting(4.0, "full width of streaks, px", metavar="PX")
    profile: Literal["tophat", "linear", "quad", "gauss"] = setting("gauss", "profile across streaks")
    min_pixels: Whole = setting(9, "shorter streaks are left out", **_COUNT)
    intensity: Positive = setting(60.0, "mean |q|^2, counts on the middle of a streak where chi is 1", metavar="COUNTS")
    b_factor: NotNegative = setting(0.0, "B of |q|^2, angstrom^2: it falls as exp(-B / 2 d^2)")
    weakest: NotNegative = setting(0.02, "share of the mean that every |q|^2 has at least", le=1)
    contrast: NotNegative = setting(0.6, "standard deviation of log chi within a frame", metavar="SD")
    map_scale: Positive = setting(0.4, "length on which chi changes, in numerical apertures", metavar="NA")
    frame_spread: NotNegative = setting(0.1, "standard deviation of the log of the mean of chi from frame to frame")
    nodes: Whole = setting(40, "of the grid that the true maps are stored on, per side", ge=2)
    background: NotNegative = setting(10.0, "about; more in the middle than in corners", metavar="COUNTS")
    intercept: NotNegative = setting(0.0, "mean of the constant counts that streaks add", metavar="COUNTS")
    noise: bool = setting(True, "Poisson counts, otherwise what is expected")
    seed: Whole = setting(0, "seed of all that is random", ge=0, le=_LARGEST)


class SimulateSettings(SimulationSettings):
    """What ``crystint cbc simulate`` can be told."""

    rows: Whole | None = setting(None, "about so many, of random streaks instead of a crystal's", **_COUNT)
    overlap: NotNegative = setting(OVERLAP, "with --rows: share of rows on overlaps", lt=1)
    reflections: Whole = setting(REFLECTIONS, "with --rows: how many", **_COUNT)
    length: Whole = setting(LENGTH, "with --rows: of a streak, px", ge=2)


RANDOM = frozenset({"overlap", "reflections", "length"})
"""settings of random streaks"""
CRYSTAL = frozenset({"cell", "shape", "symmetry", "crowding", "d_min"})
"""settings of a crystal on a detector, which random streaks do not have"""


class ScaleSettings(StepSettings):
    """What ``crystint cbc scale`` can be told."""

    setup: Path | None = setting(
        None, "HDF5 with the geometry (default: u_x, u_y of TABLE, else its geometry)", metavar="FILE"
    )
    key: str | None = setting(None, "group of the table in an HDF5 file", metavar="GROUP")
    symmetry: str | None = setting(
        None, "space group or point group of equal |q|^2 (default: equal indices only)", metavar="NAME"
    )
    friedel: bool = setting(True, "merge hkl and -h-k-l")
    bandwidth: Literal["auto"] | Positive = setting(
        "auto",
        "bandwidth of chi, in units of u; auto = cross-validation, which takes some times longer",
        metavar="VALUE|auto",
    )
    grid: Nodes = setting(GRID, "nodes of chi", metavar="Y,X")
    iterations: Whole = setting(ITERATIONS, "most iterations, each of chi and |q|^2", **_COUNT)
    steps: Whole = setting(STEPS, "steps of |q|^2 in each iteration", **_COUNT)
    kind: Literal["poisson", "least_squares"] = setting(KIND, "criterion that is minimised")
    loss: Annotated[Literal["l2", "l1", "huber"], BeforeValidator(_lower)] = setting(
        LOSS, "loss function of least squares"
    )
    intercept: bool = setting(False, "fit a constant to each streak")
    method: Literal["auto", "em", "l-bfgs-b"] = setting(METHOD, "optimiser")
    errors: bool = setting(True, "also sigma and half sets")


class MergeSettings(StepSettings):
    """What ``crystint cbc merge`` can be told."""

    symmetry: str | None = setting(
        None, "space group or point group to merge in (default: that of the scaling)", metavar="NAME"
    )
    friedel: bool | None = setting(None, "merge hkl and -h-k-l (default: as in the scaling)")
    cell: Cell | None = setting(None, "angstrom, degrees (default: of the geometry in FILE)", **_CELL)


class PlotSettings(StepSettings):
    """What ``crystint cbc plot`` can be told."""

    reference: Path | None = setting(
        None, "intensities to compare with: merged MTZ or mmCIF (.cif, .ent, .mmcif)", flag="-r", metavar="FILE"
    )
    frames: Whole = setting(8, "maps that are shown, at most", ge=1, le=8, metavar="N")
    title: str | None = setting(None, "title of the picture", metavar="TEXT")
