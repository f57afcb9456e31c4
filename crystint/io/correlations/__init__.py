"""Polar images and correlations in HDF5 files, and back."""
