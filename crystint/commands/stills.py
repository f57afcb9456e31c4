"""stills: predict, integrate, refine, scale, merge, simulate."""

from __future__ import annotations

import click

from crystint.commands.step_command import command_of
from crystint.stills import steps

__all__ = ["stills"]


@click.group(invoke_without_command=True)
@click.pass_context
def stills(context: click.Context) -> None:
    """Still images: from orientations and frames to merged intensities.

    EXPERIMENT is what indexing gave: a DIALS .expt, a CrystFEL .stream, or an .h5 of an earlier step. Each step
    writes an .h5 that the next one reads:

    \b
      crystint stills integrate indexed.expt 'frames_*.cbf' -o integrated.h5
      crystint stills scale integrated.h5 -o scaled.h5
      crystint stills merge scaled.h5 -o merged.mtz
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    command_of(
        steps.PREDICT,
        """Where the reflections of EXPERIMENT are, and how much of each is excited.

        The suffix is the format: .refl for DIALS, .csv for spreadsheets and scripts, .h5 for the other steps.
        """,
        "crystint stills predict indexed.expt -o predicted.refl --d-min 2",
    ),
    command_of(
        steps.INTEGRATE,
        "Integrate the reflections that EXPERIMENT predicts on FRAMES.",
        """
        crystint stills integrate indexed.expt 'l-cyst_01_*.cbf' -o integrated.h5
        crystint stills integrate run.stream run_0001.h5 run_0002.h5 -o integrated.h5 -o integrated.mtz -r model.mtz""",
    ),
    command_of(
        steps.REFINE,
        """Turn the crystals of INTEGRATED to where their strong spots are seen, and write images to integrate again.

        INTEGRATED is an .h5 of integration, with the centroids of its strong spots. The refinement is judged by spots
        left out of it; where it does not help, the images are written as they were.
        """,
        """
        crystint stills refine integrated.h5 -o refined.h5
        crystint stills integrate refined.h5 'frames_*.cbf' -o again.h5""",
    ),
    command_of(
        steps.SCALE,
        """Give each image of FILE... a scale and a temperature factor.

        FILE is an .h5 of integration, a DIALS .refl, a CrystFEL .stream or an unmerged .mtz; several are scaled
        together. Without a reference the images are scaled to one another. An .mtz output is unmerged, for CCP4.
        """,
        """
        crystint stills scale integrated.h5 -o scaled.h5
        crystint stills scale scan_1.refl scan_2.refl --batch 5 -o scaled.h5
        crystint stills scale run.stream -r model.mtz -o scaled.h5 -o for_careless.mtz""",
    ),
    command_of(
        steps.MERGE,
        """Merge the scaled observations of FILE into unique reflections, with statistics.

        The suffix is the format: .mtz, .h5 with everything, .txt the report, .png .pdf .svg the plots.
        """,
        """
        crystint stills merge scaled.h5 -o merged.mtz -o report.txt -o merged.png
        crystint stills merge scaled.h5 -o merged.mtz --anomalous --d-min 1.9 -r model.mtz""",
    ),
    command_of(
        steps.SIMULATE,
        """Simulate stills of known truth.

        FOLDER gets frames.h5 and frames.expt (what an experiment and its indexing would give), truth.h5 (observations
        with noise, the true scales and intensities) and reference.mtz (the true intensities).
        """,
        """
        crystint stills simulate -o simulated --frames 10
        crystint stills simulate -o serial --frames 2000 --no-images --cell 79,79,38,90,90,90 --space-group P43212""",
    ),
):
    stills.add_command(command)
