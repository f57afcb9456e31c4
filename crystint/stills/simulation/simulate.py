"""Stills whose truth is known: the forward model of the factored likelihood, written from its formulas alone.

    J = G exp(-B / 4 d^2) polarization efficiency partiality I(hkl)

spread over the pixels as a Gaussian about the predicted ray, on a background, Poisson distributed. Nothing here uses
the prediction, integration or scaling that it is there to test. Equal settings give equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.observations import Observations
from crystint.model.reference import Reference
from crystint.stills.simulation.crystal import Crystal
from crystint.stills.simulation.forward import Truth, forward
from crystint.stills.simulation.noise import observe, reference_of
from crystint.stills.simulation.pixels import Shoeboxes, make_frame, make_shoeboxes
from crystint.stills.simulation.scene import Scene
from crystint.stills.simulation.settings import StillsSettings

__all__ = ["Crystal", "SimulatedStills", "StillsSettings", "Truth", "simulate_stills"]


@dataclass(frozen=True)
class SimulatedStills(Scene):
    """Images, what is so in them, and (made when asked for) frames, shoeboxes and observations.

    Made by `simulate_stills`.
    """

    def __repr__(self) -> str:
        return f"<SimulatedStills: {repr(self.settings).removeprefix('<StillsSettings: ')}"

    def _repr_html_(self) -> str:
        settings = self.settings
        facts = {
            "frames": settings.frames,
            "images": len(self.frame),
            "shape (slow, fast)": "{} x {} px".format(*settings.shape),
            "crystal": repr(settings.crystal),
            "resolution": f"to {settings.d_min:g} angstrom",
            "seed": settings.seed,
        }
        return html_table("SimulatedStills", facts)

    @cached_property
    def truth(self) -> Truth:
        """Every reflection on the detector."""
        parts = [forward(self, *block) for block in self.excited()]
        names = [entry.name for entry in fields(Truth)]
        return Truth(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @cached_property
    def listed(self) -> Truth:
        """Rows of `truth` that are observations; `observations()` and `shoeboxes()` are of these, in this order."""
        return self.truth.select(self.truth.listed)

    def observations(self, noise: str = "gaussian", **settings: Any) -> Observations:
        """The listed reflections as a table, without pixels; see `crystint.stills.simulation.noise.observe`."""
        return observe(self, self.listed, noise, **settings)

    def reference(self, error: float = 0.0, *, permuted: bool = False) -> Reference:
        """The unique intensities as a `Reference`; see `crystint.stills.simulation.noise.reference_of`."""
        return reference_of(self, error, permuted)

    def shoeboxes(self, dtype: Any = np.uint16, *, neighbours: bool = True) -> Shoeboxes:
        """13 x 13 pixels about each listed reflection; see `crystint.stills.simulation.pixels.Shoeboxes`."""
        return make_shoeboxes(self, self.truth, dtype, neighbours)

    def image(self, frame: int, dtype: Any = np.int32) -> NDArray[Any]:
        """Frame number `frame`, dtype [slow, fast]; depends on the settings and the number only."""
        return make_frame(self, self.truth, frame, dtype)

    def images(self, dtype: Any = np.int32) -> NDArray[Any]:
        """All frames, dtype [frames, slow, fast]."""
        return np.stack([self.image(number, dtype) for number in range(self.settings.frames)])


def simulate_stills(frames: int = 20, *, crystal: Crystal | None = None, **settings: Any) -> SimulatedStills:
    """Stills of known truth.

    Parameters
    ----------
    frames : int
    crystal : Crystal, optional
        None = orthorhombic, P 21 21 21, 60 x 70 x 80 angstrom.
    **settings
        Any field of `StillsSettings`: d_min, background, domain, spot, orientation_error, seed...

    Returns
    -------
    SimulatedStills
        ``images()`` makes the frames, ``observations()`` what a perfect integration would give, ``reference()`` the
        true intensities.

    Raises
    ------
    SettingError
        For an unknown setting or an impossible value.

    Examples
    --------
    >>> from crystint.stills import simulate_stills
    >>> data = simulate_stills(3, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> len(data.experiment), len(data.observations()) == len(data.listed)
    (3, True)
    """
    names = {entry.name for entry in fields(StillsSettings)} - {"frames", "crystal"}
    for name in settings:
        if name not in names:
            raise SettingError(f"simulate_stills has no setting {name!r}; it has {', '.join(sorted(names))}")
    if frames < 1:
        raise SettingError(f"frames is {frames}, expected 1 or more")
    return SimulatedStills(StillsSettings(int(frames), Crystal() if crystal is None else crystal, **settings))
