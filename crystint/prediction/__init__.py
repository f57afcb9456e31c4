"""Which reflections frames show, where, and which pixels they occupy."""
