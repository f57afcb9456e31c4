"""What things are: frozen dataclasses over NumPy arrays. No OpenCL, no files."""
