"""Pairs of exposures that are alike."""
