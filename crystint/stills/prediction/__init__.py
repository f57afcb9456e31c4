"""Files of predicted reflections."""
