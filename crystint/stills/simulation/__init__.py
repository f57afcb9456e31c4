"""Stills of known truth."""
