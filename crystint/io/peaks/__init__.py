"""Peak lists in every format."""
