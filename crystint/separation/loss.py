"""What a threshold costs in integrated intensity, and the threshold for a stated loss.

Above I/sigma `COMPLETE` reflections are found whatever their noise, and what they lose is summed. Weaker ones are found
where noise is on their side: a sum over them would say too little. What they lose is taken from strong ones, thinned to
their intensity (a binomial share of Poisson counts are Poisson counts), and their number from the stronger ones at the
same resolution, whose excess over a limit tells the mean of an exponential law (Wilson's), whatever the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.facts import counted
from crystint.separation.loss_sample import GROW, Sample, grown, take_sample
from crystint.separation.prepared import PreparedRun

__all__ = ["COMPLETE", "Choice", "Loss", "choose", "cost", "loss_between", "sampled"]

COMPLETE = 8.0
"""I/sigma above which reflections are found whatever their noise"""
LEAST = 30
"""reflections that a loss is told from"""
_STRONG = 1.5 * COMPLETE
"""I/sigma of those that are thinned"""
_THINNED = 120
"""most of these, for a point of the curve"""
_SHELLS = 6
_POINTS = 4
_SNR = (0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)
_WANTED = 800
"""reflections above `COMPLETE` that are enough"""
_WINDOWS = {False: 30, True: 12}
"""most places that frames are taken from; True = in windows of several"""
_REACH = 3
_STEP = 0.06
"""of thresholds"""


class Loss(NamedTuple):
    """Of integrated intensity, as a share of it."""

    value: float
    error: float
    reflections: int
    """that it was summed over"""


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold for a stated loss, and what it is expected to cost."""

    snr: float
    grow: int
    loss: float
    """expected, as a share of the intensity"""
    error: float
    """of that"""
    above: float
    """I/sigma of the reflections that it is of"""
    reflections: int
    frames: int
    """in which these were looked for"""
    pixels: float
    """share of the pixels that are kept"""

    def __str__(self) -> str:
        around = f" and {self.grow} px around" if self.grow else ""
        return (
            f"snr {self.snr:g}{around} for a loss of {100 * self.loss:.2g} +- {100 * self.error:.1g} % above I/sigma "
            f"{self.above:g} ({self.reflections} reflections of {self.frames} frames)"
        )

    @classmethod
    def made(cls, output: Path) -> Self | None:
        """The one that an output was made with; None = it was made with a threshold that was given."""
        chosen = read_provenance(output).get("settings", {}).get("chosen")
        return cls(**chosen) if isinstance(chosen, Mapping) and set(chosen) == set(cls.__annotations__) else None

    def plain(self) -> dict[str, Any]:
        """For provenances."""
        return asdict(self)


def loss_between(sample: Sample, snr: float, grow: Sequence[int], low: float, high: float = np.inf) -> list[Loss]:
    """What reflections with I/sigma from `low` to `high` lose, for each number of px around picked ones.

    Raises
    ------
    SettingError
        When too few were found to tell.
    """
    intensity, background, lost = sample.sums(snr, grow)
    x = intensity / np.sqrt(np.maximum(intensity, 1.0) + background)
    whole = (x >= max(low, COMPLETE)) & (x < high)
    total, gone = float(intensity[whole].sum()), lost[whole].sum(axis=0)
    count = int(np.count_nonzero(x >= max(low, COMPLETE)))
    if count < LEAST:
        raise SettingError(
            f"{count} reflections with I/sigma above {max(low, COMPLETE):g} in {len(sample.frames)} frames are too few "
            f"to tell a loss from, expected {LEAST}: give --snr a number, or --keep a model of the reflections"
        )
    spread = ((lost[whole] - np.outer(intensity[whole], gone / total if total else gone)) ** 2).sum(axis=0)
    if low < COMPLETE:
        more, more_gone = _weaker(sample, snr, grow, low, min(high, COMPLETE), x, intensity, background)
        total, gone, count = total + more, gone + more_gone, int(np.count_nonzero(x >= COMPLETE))
        spread = spread + (0.1 * more_gone) ** 2  # the law of the numbers
    return [Loss(float(g / total), float(np.sqrt(s) / total), count) for g, s in zip(gone, spread, strict=True)]


def _weaker(
    sample: Sample, snr: float, grow: Sequence[int], low: float, high: float, x: Floats, intensity: Floats,
    background: Floats,
) -> tuple[float, Floats]:  # fmt: skip
    """Intensity of the reflections with I/sigma from `low` to `high`, and what is lost of it."""
    grid = np.geomspace(low, high, _POINTS)
    strong = x >= _STRONG
    losses = []
    for number, point in enumerate(grid):
        share = np.where(strong, _intensity(point, background) / np.maximum(intensity, 1.0), np.nan)
        usable = np.flatnonzero(share < 0.9)
        part = np.zeros(len(share), bool)
        part[usable[:: max(1, -(-len(usable) // _THINNED))]] = True
        _, _, lost = sample.select(part).sums(snr, grow, share[part], seed=number)
        losses.append(lost.sum(axis=0) / max(float((share * intensity)[part].sum()), 1e-300))
    fine = np.geomspace(low, high, 40)
    curve = np.stack([np.interp(np.log(fine), np.log(grid), column) for column in np.array(losses).T], axis=1)
    total, gone = 0.0, np.zeros(len(grow))
    for rows in _shells(sample.d):
        above = rows[x[rows] >= COMPLETE]
        if not len(above):
            continue
        typical = np.median(background[above])
        limit, at = _intensity(COMPLETE, typical), _intensity(fine, typical)
        mean = float(np.maximum(intensity[above] - _intensity(COMPLETE, background[above]), 0.0).mean())
        density = len(above) / mean * np.exp((limit - at) / mean)
        total += float(np.trapezoid(density * at, at))
        gone += np.trapezoid((density * at)[:, None] * curve, at, axis=0)
    return total, gone


def _shells(d: Floats) -> Iterator[NDArray[np.intp]]:
    """Reflections by resolution; all in one where it is not known."""
    order = np.argsort(d, kind="stable")
    return iter(np.array_split(order, _SHELLS if np.isfinite(d).all() and len(d) >= 20 * _SHELLS else 1))


def _intensity(x: Any, background: Any) -> Any:
    """Intensity that is x sigma over a background, both in counts."""
    return 0.5 * (x**2 + np.sqrt(x**4 + 4.0 * x**2 * background))


def sampled(
    run: PreparedRun, windows: int | None = None, most: int | None = None, without: Collection[int] = ()
) -> Sample:
    """Reflections of frames spread over a run; where the crystal turns, with the frames before and after.

    Parameters
    ----------
    run : PreparedRun
        With a device.
    windows : int, optional
        Most places to take frames from; None = as many as give enough reflections, or 12 (30 of stills).
    most : int, optional
        Most frames; where a window is more than that, frames are looked at one by one.
    without : collection of int
        Frames in which no reflection is to have its maximum.
    """
    total, scan = len(run.frames), run.frames.scan
    reach = min(_REACH, (total - 1) // 2)
    several = reach > 0 and (scan is None or scan.rotates) and (most is None or most >= 2 * reach + 1)
    if several and scan is None:
        first = take_sample(run, _spread(total, several, reach)[:2], reach, plain=True)
        several = len(first) > 0 and bool(0.05 < first.beside < 0.8)
    reach = reach if several else 0
    places = windows or _WINDOWS[several]
    if most is not None:
        places = max(1, min(places, most // (2 * reach + 1)))
    usable = [number for number in range(reach, total - reach) if number not in without]
    order = [usable[place] for place in _spread(len(usable), several, 0)[:places]]
    return take_sample(run, order, reach, enough=_WANTED if windows is None else None, plain=most is not None)


def cost(run: PreparedRun, snr: float, grow: int = 0, vetoed: Collection[int] | None = None) -> str:
    """What a threshold costs, in a line; from as few frames as a twentieth of the run, one, or one window.

    Parameters
    ----------
    run : PreparedRun
        With a device, and without boxes of predicted reflections.
    snr, grow
        The threshold, and the px around picked pixels.
    vetoed : collection of int, optional
        Frames whose signal was left out, which are not looked at; None = no frame could be.
    """
    total = len(run.frames)
    if vetoed and len(vetoed) >= total:
        return ""
    most = max(2 * _REACH + 1 if total >= 20 else 1, total // 20)
    sample = sampled(run, windows=3, most=most, without=frozenset(vetoed or ()))
    try:
        strong, weak = (loss_between(sample, snr, (grow,), *limits)[0] for limits in ((10.0,), (3.0, 10.0)))
    except SettingError:
        return f"loss of weak intensities not told: {len(sample)} isolated peaks in {_few(sample)} are too few"
    where = f"{strong.reflections} reflections of {_few(sample)}"
    advice = [] if vetoed is not None else ["--keep MODEL keeps predicted reflections whole"]
    advice += ["--grow 2 loses less"] if grow < 2 else []
    apart = f", apart from {counted(len(vetoed), 'vetoed frame')}, whose signal is left out" if vetoed else ""
    return (
        f"lost of integrated intensity about {max(100 * strong.value, 0.0):.2g} % above I/sigma 10, "
        f"{max(100 * weak.value, 0.0):.2g} % at 3 to 10{apart} ({'; '.join([f'from {where}', *advice])})"
    )


def _few(sample: Sample) -> str:
    return counted(len(sample.frames), "frame")


def _spread(total: int, several: bool, margin: int) -> list[int]:
    """Frames spread over a run, so that the first few of them are, too."""
    count = min(total - 2 * margin, _WINDOWS[several])
    even = np.unique(np.round(np.linspace(margin, total - 1 - margin, count)).astype(int))
    bits = max(1, int(len(even) - 1).bit_length())
    order = sorted(range(2**bits), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [int(even[i]) for i in order if i < len(even)]


def choose(run: PreparedRun, loss: float, above: float, grow: int | None = None) -> Choice:
    """The threshold, and the px around picked pixels, that keep least of all that lose no more than is stated.

    Parameters
    ----------
    run : PreparedRun
        With a device.
    loss : float
        Of integrated intensity, as a share.
    above : float
        I/sigma of the reflections that it is of.
    grow : int, optional
        Pixels around picked ones; None = 0 to 4, whichever keeps least.

    Raises
    ------
    SettingError
        When there are too few reflections, or no threshold loses so little.
    """
    sample = sampled(run)
    if len(sample):
        intensity, background, _ = sample.sums(_SNR[-1], ())
        sample = sample.select(intensity >= _intensity(min(above, COMPLETE), background))
    wide = tuple(range(GROW + 1)) if grow is None else (grow,)
    table = {snr: loss_between(sample, snr, wide, above) for snr in _SNR}
    started = []
    for column, one in enumerate(wide):
        good = [snr for snr in _SNR if table[snr][column].value <= loss]
        if good:
            started.append((_pixel_share(run, sample.frames[:2], max(good), one), max(good), one))
    best: tuple[float, float, int] | None = None
    for _, low, one in sorted(started)[:2]:
        high = min((snr for snr in _SNR if snr > low), default=low)
        while high - low > _STEP:
            middle = round(0.5 * (low + high), 2)
            if loss_between(sample, middle, (one,), above)[0].value <= loss:
                low = middle
            else:
                high = middle
        pixels = _pixel_share(run, sample.frames[:2], low, one)
        if best is None or pixels < best[0]:
            best = pixels, low, one
    if best is None:
        least = min((table[snr][column].value, snr, one) for snr in _SNR for column, one in enumerate(wide))
        raise SettingError(
            f"no threshold from {_SNR[0]:g} to {_SNR[-1]:g} loses {100 * loss:g} % or less above I/sigma {above:g}: "
            f"the least is {100 * least[0]:.2g} %, at {least[1]:g} with {least[2]} px around; state a larger --loss, "
            "or --keep a model of the reflections"
        )
    pixels, snr, one = best
    (expected,) = loss_between(sample, snr, (one,), above)
    return Choice(snr, one, expected.value, expected.error, above, expected.reflections, len(sample.frames), pixels)


def _pixel_share(run: PreparedRun, frames: Sequence[int], snr: float, grow: int) -> float:
    """Share of the usable pixels that are kept."""
    shares = []
    for number in frames:
        sparse = run.separator.sparsify(run.read(number), snr, run.settings.noise, number=number)
        picked = np.zeros(run.frames.shape, bool)
        picked.ravel()[sparse.index] = True
        shares.append(grown(picked, grow).sum() / max(1, int(np.isfinite(run.rings.position).sum())))
    return float(np.mean(shares))
