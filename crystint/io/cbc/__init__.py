"""Convergent-beam tables, geometries and scalings in files; nothing here knows how they are made or used."""
