"""Frames of rings with known correlations."""
