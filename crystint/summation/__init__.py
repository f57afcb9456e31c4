"""Sums of reflections on frames, and what compression did to them, by class of I/sigma and by resolution."""
