"""correlate: center, polar, correlate, plot."""

from __future__ import annotations

import click

from crystint.commands.step_command import command_of
from crystint.correlate import steps

__all__ = ["correlate"]


@click.group(invoke_without_command=True)
@click.pass_context
def correlate(context: click.Context) -> None:
    """Angular correlation: from frames of powder or solution rings to correlations around the rings.

    \b
      crystint correlate center 'run_*.h5' --beam 1200,1190 -o run.poni
      crystint correlate polar 'run_*.h5' -g run.poni -o polar.h5
      crystint correlate correlate 'run_*.h5' -g run.poni -o correlation.h5 --difference optimal
      crystint correlate plot correlation.h5 -o correlation.png
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


center = command_of(
    steps.CENTER,
    """Find the centre of the powder rings of FRAMES, which are added up.

    It starts from --beam, or from the geometry, or in the middle of the frame: a geometry can be written with just
    --distance and --pixel-size.
    """,
    """
    crystint correlate center frame.cbf
    crystint correlate center 'run_*.h5' -m mask.h5 --beam 1200,1190 --distance 100mm --pixel-size 75um -o run.poni
    crystint correlate center lab6.cbf -g lab6.poni --shape tilt --ring-q 1.511,2.137,2.618 -o refined.poni""",
)

polar = command_of(
    steps.POLAR,
    "Write polar images of FRAMES: rings along one axis, azimuths along the other, NaN where there are no data.",
    """
    crystint correlate polar 'run_*.h5' -g run.poni -o polar.h5
    crystint correlate polar frame.cbf --beam 1200.3,1190.8 --radii 100,1000 --method nearest -o polar.h5""",
)

correlation = command_of(
    steps.CORRELATE,
    """Correlate the rings of FRAMES around the beam, and average over exposures.

    Any number of frames take the same memory. Results of runs add up (--add), without frames as well.
    """,
    """
    crystint correlate correlate 'run_*.h5' -g run.poni -o correlation.h5
    crystint correlate correlate 'run_*.h5' -g run.poni --q 2.6,2.75 --difference optimal --peaks 3 -o difference.h5
    crystint correlate correlate --add night_1.h5 --add night_2.h5 -o both.h5""",
)

plot = command_of(
    steps.PLOT,
    "Draw polar images with ring profiles, or correlations: as a map, and of single rings.",
    """
    crystint correlate plot polar.h5 --frame 3 -o polar.png
    crystint correlate plot correlation.h5 --ring 765 -o correlation.png""",
)

for command in (center, polar, correlation, plot):
    correlate.add_command(command)
