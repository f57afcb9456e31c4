"""Prediction under the names of this package; it is shared with signal separation."""

from __future__ import annotations

from crystint.prediction.partiality import RockingWidth, partiality
from crystint.prediction.predict import Prediction, predict

__all__ = ["Prediction", "RockingWidth", "partiality", "predict"]
