"""peaks, sparsify, densify, mask, roi, convert: frames to files."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.separation import steps

__all__ = ["convert", "densify", "mask", "peaks", "roi", "sparsify"]

peaks = command_of(
    steps.PEAKS,
    """Find the Bragg peaks of frames.

    FILE is a CBF, EDF, TIFF, NumPy or HDF5 (NXmx, Eiger) file or a pattern in quotes; several make one
    sequence.
    """,
    """
    crystint peaks thau_3_2_0003.cbf -o peaks.cxi
    crystint peaks run_master.h5 -m bad_pixels.tif -o peaks.cxi -o peaks.refl --snr 6
    crystint peaks 'frame_*.tif' -g detector.poni -o SPOT.XDS""",
)

sparsify = command_of(
    steps.SPARSIFY,
    """Keep the pixels above the background, and the background as rings.

    --snr is the significance of a pixel to keep. The options about peaks matter with --peaks only.
    """,
    """
    crystint sparsify run_master.h5 -o sparse.h5
    crystint sparsify 'frame_*.cbf' -o sparse.h5 --snr 2.5 --peaks --compact""",
)

densify = command_of(
    steps.DENSIFY,
    "Make whole frames again from the sparse file SPARSE.",
    "crystint densify sparse.h5 -o dense.h5 --seed 1",
)

mask = command_of(
    steps.MASK,
    """Find the bad pixels of a detector from the frames that it took, and its beam stop.

    Hot, flickering, dead and under-responding pixels and clusters are told by the statistics of all frames against
    their rings. What can be a reflection of a crystal that does not move is named and not masked.
    """,
    """
    crystint mask run_master.h5 -o mask.h5 -o mask.png
    crystint mask 'blank_*.cbf' -m known.tif --motion yes -o mask.tif
    crystint peaks run_master.h5 -m mask.h5 -o peaks.cxi""",
)

roi = command_of(
    steps.ROI,
    """Sum up regions of interest of frames: exact sums, signal over the background of the rings, spots.

    --rois names a JSON document of boxes, circles, azimuthal sectors, polygons and bitmaps, one of Jungfraujoch, or the
    output of an earlier run. .h5 has the regions and a map of their pixels as well.
    """,
    """
    crystint roi run_master.h5 --rois rois.json -o roi.h5
    crystint roi 'frame_*.cbf' -g detector.poni --rois rois.json -o roi.csv""",
)

convert = command_of(
    steps.CONVERT,
    "Turn a plain sparse file, which FabIO reads, into a compact one, or back. Nothing is lost.",
    "crystint convert sparse.h5 -o compact.h5 --compact",
)
