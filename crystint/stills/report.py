"""A run on stills as text: warnings first, then what was read, scaled, merged and found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.facts import cell_text, counts_text, resolution_text
from crystint.model.observations import Flag
from crystint.stills.scaling.image_scatter import scattering_images

if TYPE_CHECKING:
    from crystint.model.experiment import Experiment
    from crystint.model.observations import Observations
    from crystint.stills.files import StillsRun
    from crystint.stills.integration.profile import ProfileWidths
    from crystint.stills.scaling.error_model import ErrorModel
    from crystint.stills.scaling.scales import Scales

__all__ = ["stills_report"]

_LABEL = 34
_NAMED = 10
"""Images that are named one by one."""


def stills_report(run: StillsRun, *, inputs: Sequence[Any] = (), warnings: Iterable[str] = ()) -> str:
    """What a reader should know of a run, as plain text of lines up to about 130 characters.

    Parameters
    ----------
    run : StillsRun
        The more parts it has, the more is told.
    inputs : sequence
        Names of the files that were read; those of the provenance when empty.
    warnings : iterable of str
        Said first, with those that the parts of the run hold themselves.

    Returns
    -------
    str
        Sections, each with a heading; without a date, so that equal runs give equal reports.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> run = stills.StillsRun(experiment=data.experiment, observations=data.observations())
    >>> "images                            6 on 6 frames" in stills.stills_report(run)
    True
    """
    sections = [_warnings(run, warnings), _input(run, inputs or run.provenance.get("inputs", ()))]
    if run.scales is not None:
        sections.append(_scales(run.scales, run.experiment))
    model = run.error_model or (run.merged.error_model if run.merged is not None else None)
    if model is not None:
        sections.append(_error_model(model))
    if run.profile is not None or run.width is not None:
        sections.append(_widths(run))
    if run.merged is not None:
        sections.append(_merged(run))
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _line(label: str, value: Any) -> str:
    return f"{label:<{_LABEL}s}{value}"


def _warnings(run: StillsRun, warnings: Iterable[str]) -> list[str]:
    messages = [str(text) for text in warnings]
    if run.scales is not None:
        scales = run.scales
        if not scales.converged:
            messages.append(f"scaling did not converge in {scales.iterations} iterations")
        if scales.note:
            messages.append(f"scaling: {scales.note}")
        if not scales.error_model.converged:
            messages.append(f"error model of scaling: {scales.error_model.note or 'not converged'}")
    if run.error_model is not None and run.error_model.doubtful:
        messages.append(f"error model: {run.error_model.note or 'not converged: do not trust a, b and ISa'}")
    if run.merged is not None:
        messages += run.merged.notes
    once = list(dict.fromkeys(messages))
    return ["WARNINGS", *(f"- {text}" for text in once)] if once else []


def _input(run: StillsRun, inputs: Sequence[Any]) -> list[str]:
    lines = ["INPUT"]
    names = [str(name) for name in inputs]
    if names:
        lines.append(
            _line("files", ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" * (len(names) > _NAMED)))
        )
    experiment, table = run.experiment, run.observations
    if experiment is not None:
        wave = experiment.wavelength[np.isfinite(experiment.wavelength)]
        spread = "" if not len(wave) or np.ptp(wave) < 1e-6 else f", {wave.min():.5f} to {wave.max():.5f}"
        lines += [
            _line("images", f"{len(experiment)} on {len(np.unique(experiment.frame))} frames"),
            _line("cell", f"{cell_text(experiment.cell)} (angstrom, degrees)"),
            _line("space group", experiment.space_group.xhm()),
            _line("wavelength", f"{wave.mean():.5f}{spread} angstrom" if len(wave) else "not known"),
        ]
    if table is not None:
        lines += _observations(table)
    failed = {**run.notes}
    if failed:
        lines += ["", f"images with a note: {len(failed)}", *_named(failed, experiment)]
    return lines if len(lines) > 1 else []


def _observations(table: Observations) -> list[str]:
    n, usable = len(table), int(table.usable.sum())
    share = f" = {100 * usable / n:.1f} %" if n else ""
    lines = [_line("observations", f"{n}, of which {usable}{share} can be used")]
    if unused := counts_text(table.left_out):
        lines.append(_line("not used", unused))
    resolution = resolution_text(table.d)
    if resolution:
        lines.append(_line("resolution", resolution))
    counts = {flag: int(np.count_nonzero(table.flags & np.uint32(flag))) for flag in Flag}
    told = [f"{count} {str(flag.name).lower().replace('_', ' ')}" for flag, count in counts.items() if count]
    if told:
        lines.append(_line("flags", ", ".join(told)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = table.intensity / table.sigma
    if np.isfinite(ratio).any():
        lines.append(_line("mean I / sigma as recorded", f"{np.mean(ratio[np.isfinite(ratio)]):.2f}"))
    return lines


def _spread(values: NDArray[np.float64], unit: str = "") -> str:
    good = values[np.isfinite(values)]
    if not good.size:
        return "none"
    low, quarter, middle, three, high = np.percentile(good, (0, 25, 50, 75, 100))
    return f"median {middle:.4g}, quartiles {quarter:.4g} to {three:.4g}, from {low:.4g} to {high:.4g}{unit}"


def _scales(scales: Scales, experiment: Experiment | None) -> list[str]:
    good = np.isfinite(scales.ln_g)
    sigma = np.sqrt(scales.covariance[:, (0, 1), (0, 1)])
    lines = [
        "SCALES",
        _line("images scaled", f"{int(good.sum())} of {len(scales)}"),
        _line("observations per image", _spread(scales.used[good].astype(np.float64))),
        _line("scale G", _spread(np.exp(scales.ln_g))),
        _line("its relative error", _spread(sigma[:, 0])),
        _line("temperature factor B", _spread(scales.b, " angstrom^2")),
        _line("its error", _spread(sigma[:, 1], " angstrom^2")),
        _line("chi^2 per observation", _spread(scales.chi2)),
        _line("images that scatter more", _scattering(scales, experiment)),
        _line("iterations", f"{scales.iterations}, {'converged' if scales.converged else 'NOT CONVERGED'}"),
    ]
    model = scales.error_model
    if (model.a, model.b) != (1.0, 0.0):
        lines.append(_line("residuals about the model", f"a = {model.a:.4g}, b = {model.b:.4g}"))
    if scales.gain != 1.0:
        lines.append(_line("variance per count of signal", f"{scales.gain:.3f}"))
    if scales.failed:
        lines += ["", f"images without a scale: {len(scales.failed)}", *_named(scales.failed, experiment)]
    return lines


def _scattering(scales: Scales, experiment: Experiment | None) -> str:
    above = scattering_images(scales)
    names = [experiment.name[i] if experiment is not None else f"image {i}" for i in above[:_NAMED]]
    worst = ", ".join(f"{name} ({scales.chi2[i]:.2f})" for name, i in zip(names, above, strict=False))
    return f"{len(above)}: {worst}" if len(above) else "none"


def _named(failed: Mapping[int, str], experiment: Experiment | None) -> list[str]:
    lines = []
    for image, reason in sorted(failed.items())[:_NAMED]:
        name = experiment.name[image] if experiment is not None and image < len(experiment) else f"image {image}"
        lines.append(f"- {reason}" if name in reason else f"- {name}: {reason}")
    if len(failed) > _NAMED:
        lines.append(f"- and {len(failed) - _NAMED} more")
    return lines


def _error_model(model: ErrorModel) -> list[str]:
    xds, dials, evans = model.to_xds(), model.to_dials(), model.to_evans()

    def isa(value: float) -> str:
        return f"{value:.1f}" if isfinite(value) else "infinite"

    lines = [
        "ERROR MODEL" + ("" if model.converged else " (NOT CONVERGED)"),
        f"{'':<12s}{'variance of an observation':<40s}{'constants':<44s}ISa",
    ]
    for program, variance, constants, value in (
        ("crystint", "a s^2 + (b <I>)^2", {"a": model.a, "b": model.b}, model.isa),
        ("XDS", "a (s^2 + b I^2)", {"a": xds.a, "b": xds.b}, xds.isa),
        ("DIALS", "a^2 (s^2 + (b I)^2)", {"a": dials.a, "b": dials.b}, dials.isa),
        (
            "Evans 2011",
            "sdfac^2 (s^2 + sdb^2 I + (sdadd I)^2)",
            {"sdfac": evans.sdfac, "sdb": evans.sdb, "sdadd": evans.sdadd},
            evans.isa,
        ),
    ):
        told = ", ".join(f"{name} = {number:.4g}" for name, number in constants.items())
        lines.append(f"{program:<12s}{variance:<40s}{told:<44s}{isa(value)}")
    if model.note and not model.doubtful:
        lines.append(model.note)
    if model.used:
        lines.append(_line("deviates", f"{model.used} used, {model.rejected} left out as outliers"))
    return lines


def _widths(run: StillsRun) -> list[str]:
    lines = ["WIDTHS"]
    width = run.width
    if width is not None:
        lines.append(
            _line(
                "rocking curve",
                f"R0^2 = ({width.domain:.3g} / angstrom)^2 + ({width.mosaicity:.3g} / d)^2"
                + (f" + bandwidth {width.bandwidth:.3g}" if width.bandwidth else ""),
            )
        )
        wavelength = (run.experiment.mean_wavelength if run.experiment is not None else 0.0) or 1.0
        places = np.array([10.0, 4.0, 3.0, 2.0, 1.5])
        told = ", ".join(
            f"{value:.2e} at {d:g} A" for d, value in zip(places, width.at(places, wavelength), strict=True)
        )
        lines.append(_line("R0, 1/angstrom", told))
    if run.image_widths is not None:
        own = run.image_widths
        lines.append(_line("R0 of images over that", f"{_spread(own.ratio)}; spread {own.spread:.1%}"))
    if run.profile is not None:
        lines += _profile(run.profile)
    if run.fit is not None and np.isfinite(run.fit.chi2).any():
        lines.append(_line("chi^2 per pixel of strong spots", _spread(run.fit.chi2[np.isfinite(run.fit.chi2)])))
        names = run.experiment.name if run.experiment is not None else [f"image {i}" for i in range(len(run.fit.chi2))]
        if len(run.fit.worst):
            lines.append(_line("not like their profiles", ", ".join(run.fit.named(names))))
    return lines


def _profile(profile: ProfileWidths) -> list[str]:
    seen = bool(np.isfinite(profile.offset).any())
    more = "  spots off px  off profiles  profile/sum" if seen else ""
    lines = [f"{'profile R1':>18s}  {'radial':>9s}  {'tangential':>10s}  {'spots':>7s}{more}"]
    lines.append(f"{'d, angstrom':>18s}  {'1/angstrom':>9s}  {'1/angstrom':>10s}")
    with np.errstate(divide="ignore"):
        d = 1.0 / np.sqrt(profile.edges)
    for number in range(len(profile.radial)):
        ends = "all" if not np.isfinite(d[number]) and d[number + 1] == 0 else f"{d[number]:8.2f} -{d[number + 1]:8.2f}"
        widths = f"{profile.radial[number]:9.3e}  {profile.tangential[number]:10.3e}"
        before, after = profile.offset[number]
        told = f"  {before:12.2f}  {after:12.2f}  {profile.fitted[number]:11.3f}" if seen else ""
        lines.append(f"{ends:>18s}  {widths}  {profile.spots[number]:7d}{told}")
    if seen:
        lines.append(
            "spots off: median distance of strong spots from predicted places, and from those of their profiles"
        )
    return lines


def _merged(run: StillsRun) -> list[str]:
    merged = run.merged
    assert merged is not None
    lines = [
        "MERGED",
        _line("unique reflections", str(len(merged))),
        _line("observations merged", str(int(merged.multiplicity.sum()))),
        _line("rejected as outliers", str(len(merged.rejected))),
        _line("Friedel mates", "kept apart" if merged.plus is not None else "merged"),
    ]
    if len(merged):
        lines += ["", merged.statistics.table(), "", *_LEGEND]
    if merged.failed:
        lines += [
            "",
            f"images of which nothing was merged: {len(merged.failed)}",
            *_named(merged.failed, run.experiment),
        ]
    return lines


_LEGEND = (
    "CC1/2, R_split: halves are halves of the images; by obs: halves of the observations of each reflection;",
    "CC*: sqrt(2 CC1/2 / (1 + CC1/2)); CC ref, R ref: against the reference, of intensities;",
    "the line below the shells is all of them, one after it the data up to the suggested limit;",
    "- = no number, or one of noise",
)
