"""Convergent-beam tables of known truth."""
