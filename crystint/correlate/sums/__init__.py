"""Correlations around rings, which add over exposures."""
