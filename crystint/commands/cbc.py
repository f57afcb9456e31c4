"""cbc: simulate, scale, merge, plot convergent-beam data."""

from __future__ import annotations

import click

from crystint.cbc import steps
from crystint.commands.step_command import command_of

__all__ = ["cbc"]


@click.group(invoke_without_command=True)
@click.pass_context
def cbc(context: click.Context) -> None:
    """Convergent-beam data: from pixels of streaks to |q|^2 and maps of the crystal.

    TABLE has a row per pixel of a streak: frame, streak, x, y, counts, background, profile, h, k, l (or cbclib's names
    of these), and u_x, u_y or a geometry that they follow from. Each step writes what the next one reads:

    \b
      crystint cbc simulate -o table.h5
      crystint cbc scale table.h5 -o scaled.h5 --symmetry mmm
      crystint cbc merge scaled.h5 -o merged.mtz
      crystint cbc plot scaled.h5 -o scaled.png
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


cbc.add_command(
    command_of(
        steps.SIMULATE,
        """Simulate a table of known truth, which is stored in the file.

        Later steps compare their results with it.
        """,
        """
        crystint cbc simulate -o table.h5
        crystint cbc simulate -o table.h5 --symmetry 4mm --frames 20 --crowding 3 --seed 1
        crystint cbc simulate -o large.h5 --rows 10000000 --frames 200 --overlap 0.2""",
    )
)

cbc.add_command(
    command_of(
        steps.SCALE,
        """Refine |q|^2 of the reflections of TABLE and a map chi of the crystal for each frame.

        The output is TABLE with u, |q|^2 and chi of each row, the maps, sigma, half sets and the settings.
        """,
        """
        crystint cbc scale table.h5 -o scaled.h5 --symmetry mmm
        crystint cbc scale table.csv --setup geometry.h5 -o scaled.h5 --symmetry P43212 --bandwidth 1e-3
        crystint cbc scale table.h5 -o scaled.h5 --symmetry mmm --device gpu""",
    )
)

cbc.add_command(
    command_of(
        steps.MERGE,
        """Write |q|^2 and sigma of a scaled FILE for other programs.

        The suffix is the format: .mtz, .hkl for SHELX (HKLF 4), .txt with a header.
        """,
        """
        crystint cbc merge scaled.h5 -o merged.mtz -o merged.hkl
        crystint cbc merge scaled.h5 -o merged.txt --symmetry mmm --no-friedel""",
    )
)

cbc.add_command(
    command_of(
        steps.PLOT,
        "Draw a scaled FILE: maps chi, |q|^2 against the truth or a reference, convergence.",
        """
        crystint cbc plot scaled.h5 -o scaled.png
        crystint cbc plot scaled.h5 -o scaled.pdf -r model.mtz --title 'Run 7'""",
    )
)
