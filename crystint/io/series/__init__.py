"""Files of a series of images that come from a detector: raw frames in parts, a master over them, results."""
