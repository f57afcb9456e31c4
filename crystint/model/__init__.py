"""The data model: frozen dataclasses over NumPy arrays. No OpenCL, no files."""
