"""Series of frames: the results of each, and sums over all of them."""
