"""Signal separation from frames to files: peaks, sparsify, densify."""
