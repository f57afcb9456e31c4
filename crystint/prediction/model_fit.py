"""Whether a model of the experiment and frames belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames
from crystint.io.geometry.lab_frame import lab_axes, pseudovector
from crystint.io.reflections.dials_sweeps import Sweep
from crystint.model.experiment import UNPLACED, Detector, Experiment
from crystint.model.geometry import Geometry
from crystint.model.scan import STILL, Scan
from crystint.prediction.pair_frames import Pairing
from crystint.prediction.rays import project_on

__all__ = ["check_angles", "check_detector", "tell_stills", "tell_uncovered"]

_RELATIVE = 0.02
"""by which a wavelength or the size of a pixel may differ"""
_DISTANCE = 0.05
_BEAM = 20.0
"""px by which a refined beam centre may differ from that of the frames"""
_ANGLE = 0.1
"""of the width of an image, by which its angle may differ"""
_SAME_AXIS = 0.999
"""cosine: refinement turns an axis by less"""
_NAMED = 5


def check_detector(path: Path, images: Experiment, frames: Frames, geometry: Geometry | None) -> None:
    """Compare a model with the frames and what they say of their geometry.

    A distance or a beam centre that differs is warned of: refinement moves them, and headers can be wrong.

    Raises
    ------
    FileError
        When the detector of the model has another shape, pixels of another size, or another wavelength.
    """
    for detector in images.detectors:
        if detector is not UNPLACED and detector.shape != frames.shape:
            raise FileError(
                f"{path} is of a detector of {detector.shape[0]} x {detector.shape[1]} px, the frames are "
                f"{frames.shape[0]} x {frames.shape[1]}: give the model that was made from these frames"
            )
    if geometry is None:
        return
    wavelength = images.mean_wavelength
    if geometry.wavelength and wavelength and abs(wavelength / geometry.wavelength - 1.0) > _RELATIVE:
        raise FileError(
            f"{path} has the wavelength {wavelength:.5g} angstrom, the frames {geometry.wavelength:.5g}: give the "
            "model that was made from these frames, or the right wavelength"
        )
    for number, detector in enumerate(images.detectors):
        beams = images.incident[images.detector == number]
        if geometry.panels is None and len(detector.panels) == 1 and len(beams):
            _check_place(path, detector, beams.mean(axis=0), geometry)


def _check_place(path: Path, detector: Detector, beam: NDArray[np.float64], geometry: Geometry) -> None:
    panel = detector.panels[0]
    for name, vector, size in (
        ("slow", panel.slow_vector, geometry.pixel_size[0]),
        ("fast", panel.fast_vector, geometry.pixel_size[1]),
    ):
        length = float(np.linalg.norm(vector))
        if abs(length / size - 1.0) > _RELATIVE:
            raise FileError(
                f"{path} has pixels of {1e6 * length:.4g} um along {name}, the frames of {1e6 * size:.4g}: it is of "
                "another detector"
            )
    distance = abs(float(np.dot(panel.origin, np.cross(panel.fast_vector, panel.slow_vector))))
    distance /= float(np.linalg.norm(np.cross(panel.fast_vector, panel.slow_vector)))
    theirs = geometry.distance
    if abs(distance / theirs - 1.0) > _DISTANCE:
        warn(
            f"{path} has the detector at {1e3 * distance:.5g} mm, the frames say {1e3 * theirs:.5g} mm: boxes are "
            "where the model has them; is it of these frames?"
        )
    slow, fast = project_on(detector, np.zeros(1, np.intp), (beam / np.linalg.norm(beam))[None])
    if geometry.beam_outside or not np.isfinite([slow[0], fast[0]]).all():
        return
    off = float(np.hypot(slow[0] - geometry.direct_beam[0], fast[0] - geometry.direct_beam[1]))
    if off > _BEAM:
        warn(
            f"{path} has the beam at (slow, fast) = ({slow[0]:.1f}, {fast[0]:.1f}) px, the frames say "
            f"({geometry.direct_beam[0]:.1f}, {geometry.direct_beam[1]:.1f}): boxes are where the model has them; is "
            "it of these frames?"
        )


def check_angles(path: Path, sweep: Sweep, place: NDArray[np.int64], frames: Frames) -> None:
    """Compare the angles of a scan, and its axis, with those that the frames have.

    An axis that differs is warned of: headers often have another, which dials.import is told to invert or replace.

    Parameters
    ----------
    place : int64 [images]
        Frame of each image, -1 = it is not there.

    Raises
    ------
    FileError
        When they differ.
    """
    scan = frames.scan
    here = np.flatnonzero(place >= 0)
    if scan is None or not scan.rotates or not len(here):
        return
    axis = _axis_in_lab(sweep)
    cosine = float(axis @ scan.axis)
    width = float(np.degrees(sweep.rotation.step))
    mine = np.degrees(sweep.rotation.start) + width * here
    if cosine < -_SAME_AXIS and (width * scan.width[place[here]] < 0.0).any():
        width, mine, cosine = -width, -mine, -cosine  # the same turn, told about the opposite axis
    theirs = scan.angles[scan.scan_axis][place[here]]
    off = np.abs((mine - theirs + 180.0) % 360.0 - 180.0)
    widths = scan.width[place[here]]
    if (off > _ANGLE * abs(width)).any() or (np.abs(widths - width) > _ANGLE * abs(width)).any():
        worst = int(np.argmax(off))
        raise FileError(
            f"{path} has image {here[worst]} of experiment {sweep.group} at {mine[worst]:.3f} degrees, {width:g} wide, "
            f"frame {place[here[worst]]} is at {theirs[worst]:.3f}, {widths[worst]:g} wide: give the model that was "
            "made from these frames"
        )
    if cosine < _SAME_AXIS:
        warn(
            f"{path} turns the crystal of experiment {sweep.group} about {_vector(axis)} (x, y, z of the "
            f"geometry), the frames say {_vector(scan.axis)}: boxes are where the model has them, and "
            "miss the reflections if its axis is wrong; check it, or give the model that was made from these frames"
        )


def _axis_in_lab(sweep: Sweep) -> NDArray[np.float64]:
    """Direction of the axis at the start of a scan, in the laboratory of `Geometry`."""
    outer = sweep.rotation.outer
    axis = (outer if outer.ndim == 2 else outer[0]) @ sweep.rotation.axis
    turned = pseudovector(lab_axes(sweep.detector.panels[0], sweep.incident[0]), axis)
    return np.asarray(turned / np.linalg.norm(turned))


def _vector(vector: NDArray[np.float64]) -> str:
    return "({})".format(", ".join(f"{value + 0.0:.3f}" for value in vector.tolist()))


def tell_stills(path: Path, place: NDArray[np.int64], scan: Scan | None) -> None:
    """Warn of images that the model has as stills, on frames that turn.

    Parameters
    ----------
    place : int64 [images]
        Frame of each of these images.
    scan : Scan or None
        Of the frames.
    """
    if scan is None or not len(place):
        return
    turning = place[np.abs(scan.width[place]) > STILL]
    if len(turning):
        warn(
            f"{path} has stills (no goniometer, or no scan that turns) where {len(turning)} frames turn, frame "
            f"{turning[0]} by {abs(scan.width[turning[0]]):.4g} degrees: reflections that cross during a frame are "
            "missed; give the model with its scan and goniometer"
        )


def tell_uncovered(path: Path, pairing: Pairing, frames: Frames) -> tuple[int, ...]:
    """Numbers of the frames that the model has no image for, which a warning names.

    Raises
    ------
    FileError
        When it has none for any frame.
    """
    covered = np.zeros(len(frames), np.bool_)
    covered[pairing.frame[pairing.frame >= 0]] = True
    bare = np.flatnonzero(~covered)
    if len(bare) == len(frames):
        first = next(iter(pairing.missing.values()), "it has no image")
        raise FileError(f"{path} is of none of the {len(frames)} frames: {first}")
    if len(bare):
        names = ", ".join(map(str, bare[:_NAMED].tolist())) + (f" .. {bare[-1]}" if len(bare) > _NAMED else "")
        warn(
            f"{path} has no image for {len(bare)} of the {len(frames)} frames ({names}): they have no boxes, and keep "
            "significant pixels only"
        )
    return tuple(bare.tolist())
