"""Prediction: which reflections, where, and which pixels they occupy."""
