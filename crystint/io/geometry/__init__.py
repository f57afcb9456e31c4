"""Geometries of every format that has one."""
