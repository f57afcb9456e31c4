"""Numbers that settings and searches share."""

__all__ = ["ACCEPTED", "STRAIN"]

ACCEPTED = 5.0
"""evidence from which on a lattice is taken: patterns with azimuths thrown at random reached 3.6"""
STRAIN = 3e-3
"""by which the cell of an image may differ from the one that is known: prior of each strain, relative"""
