"""verify: whether a file still is what was written."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.information.steps import VERIFY

__all__ = ["verify"]

verify = command_of(
    VERIFY,
    """Check that every data set and attribute of each FILE still is what was written, by the checksums in it.

    Sparse files, dense NXmx files and peak lists in HDF5 (.h5, .cxi) have them; maps that a sparse file shares with
    others are checked too. Of CBF files (.cbf, .cbf.gz, .cbf.bz2) the MD5 sum of the image is compared, which commands
    that read frames leave out. Exit status 4 when a byte is not as it was written, each place a line on stderr; 1 when
    a file cannot be opened or has no checksums.
    """,
    "crystint verify sparse.h5 && echo as it was written",
)
