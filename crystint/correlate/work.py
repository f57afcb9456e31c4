"""What the correlate commands do, without the command line: frames in, HDF5 files and centres out."""
