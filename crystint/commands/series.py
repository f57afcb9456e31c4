"""frames, sum, merge-parts: series of frames as a whole."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.series import steps

__all__ = ["frames", "merge_parts", "sum_frames"]

frames = command_of(
    steps.FRAMES,
    """Show the results of each frame: spots, resolution, background, ice, hits.

    FILE is a table of frames (.csv, .h5), or a peak list or a sparse file, which have one; several make one series. A
    raster of --grid FASTxSLOW is scanned along its fast direction first. Its cells are drawn with the first one at the
    top left, and --zigzag turns every second row round.
    """,
    """
    crystint frames peaks.cxi
    crystint frames sparse.h5 -o frames.csv -o frames.png --x angle
    crystint frames frames.csv --grid 40x25 --zigzag --show n_no_ice,score -o map.png""",
)

sum_frames = command_of(
    steps.SUM,
    """Add up frames pixel by pixel: mean, sum, maximum and variance image; or peaks, to a virtual powder.

    Only measurements count, and .h5 has how many frames they are of. FILE are frames, or peak lists.
    """,
    """
    crystint sum run_master.h5 -o sum.h5
    crystint sum 'frame_*.cbf' -o maximum.tif --what maximum
    crystint sum peaks.cxi -o powder.png""",
)

merge_parts = command_of(
    steps.MERGE_PARTS,
    """Make the result of a whole run from its parts, which --part made on any number of machines.

    PART are all files of the parts, in any order. None may be missing or there twice, and all must be of one run: the
    same inputs, settings and version. The output is what one run would have written, in any of its formats.
    """,
    """
    crystint peaks run_master.h5 -o peaks.cxi --part 3/100
    crystint merge-parts peaks.part-*-of-100.h5 -o peaks.cxi -o peaks.refl
    crystint merge-parts sparse.part-*-of-100.h5 -o sparse.h5 --virtual""",
)
