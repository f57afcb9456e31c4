"""The criteria that a scaling can minimise, by name, and their constants."""

from __future__ import annotations

from typing import Literal

from crystint.errors import SettingError

__all__ = ["FLOOR", "HUBER", "Kind", "Loss", "criterion", "trained"]

Kind = Literal["poisson", "least_squares", "robust"]
"""of which the last is what a training minimises for least squares with the losses l1 and huber (`robust`)"""
Loss = Literal["l2", "l1", "huber"]

FLOOR = 1e-4
"""counts: where fewer than that are expected, logarithm and variance are continued otherwise"""
HUBER = 1.345
"""standard deviations: where Huber's loss goes over from a parabola to a line"""


def criterion(kind: str, loss: str) -> tuple[Kind, Loss]:
    """The names of a criterion and a loss as this package spells them; any capitalisation is accepted.

    Raises
    ------
    SettingError
        When there is no such criterion or loss.
    """
    kinds: dict[str, Kind] = {"poisson": "poisson", "least_squares": "least_squares"}
    losses: dict[str, Loss] = {"l2": "l2", "l1": "l1", "huber": "huber"}
    of_counts = kinds.get(str(kind).lower().replace("-", "_").replace(" ", "_"))
    of_residuals = losses.get(str(loss).lower())
    if of_counts is None:
        raise SettingError(f"kind is {kind!r}, expected 'poisson' or 'least_squares'")
    if of_residuals is None:
        raise SettingError(f"loss is {loss!r}, expected 'l2', 'l1' or 'huber'")
    return of_counts, of_residuals


def trained(kind: Kind, loss: Loss) -> Kind:
    """What a training minimises for a criterion: for least squares the form without bias, see `robust`."""
    if kind != "least_squares":
        return kind
    return "poisson" if loss == "l2" else "robust"
