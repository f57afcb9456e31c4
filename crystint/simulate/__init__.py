"""Diffraction frames whose truth is known, for tests, demonstrations and documentation."""

from __future__ import annotations

from crystint.packages import name_functions
from crystint.simulate.sample import Lattice, PowderRing, ice_rings
from crystint.simulate.scene import TRUTH_DTYPE, Scene
from crystint.simulate.simulation import Simulation, simulate

__all__ = ["TRUTH_DTYPE", "Lattice", "PowderRing", "Scene", "Simulation", "ice_rings", "simulate"]

name_functions(__name__, "crystint.simulate.simulate((slow, fast)) makes frames")
