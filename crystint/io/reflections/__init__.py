"""Experiments and reflections: DIALS, CrystFEL, MTZ, mmCIF and the file of the steps of stills."""
