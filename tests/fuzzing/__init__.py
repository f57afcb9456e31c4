"""Damaged files of every format, read as crystint reads any: what ``scripts/fuzz`` is made of.

`seeds` makes small valid files, `mutations` damages them, `readings` reads them, `workers` does that in processes that
may crash, hang or run out of memory, and `campaign` counts what comes of it.
"""
