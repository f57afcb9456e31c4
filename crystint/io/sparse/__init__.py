"""Sparse files, those of pyFAI too, and the whole frames made of them."""
