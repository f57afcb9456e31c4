"""The tables of `crystint.model` that stills works with, under its roof."""

from __future__ import annotations

from crystint.model.experiment import Detector, Experiment
from crystint.model.observations import Flag, Observations
from crystint.model.reference import Reference

__all__ = ["Detector", "Experiment", "Flag", "Observations", "Reference"]
