"""The convergent-beam case with known truth, and small tables made by hand, for tests of crystint.cbc."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import h5py
import numpy as np

from crystint.cbc.table.table import CBCTable
from tests.conftest import shared_data


@cache
def case() -> SimpleNamespace:
    """Table, u and truth of cbc_case.h5; skips where it is absent."""
    with h5py.File(shared_data("cbc/cbc_case.h5")) as file:
        table = CBCTable.from_columns({name: column[()] for name, column in file["table"].items()})
        truth = {name: column[()] for name, column in file["truth"].items()}
        u = file["scaler/kins"][:, :2]
        axes = file["scaler/xtal_y"][()], file["scaler/xtal_x"][()]
        theirs = {
            f"{group}/{run}": {key: file[f"{group}/{run}/{key}"][()] for key in ("cc", "R", "time")}
            for group in ("v072_fixed", "v072_stock_8threads")
            for run in file[group]
        }
    true = {tuple(hkl): value for hkl, value in zip(truth["fam"].tolist(), truth["I_true"])}
    return SimpleNamespace(table=table, u=u, truth=truth, axes=axes, theirs=theirs, true=true)


def agreement(hkl, q2):
    """CC, CC of logarithms and R of |q|^2 against the truth of the case, one scale by least squares."""
    true = np.array([case().true[tuple(np.abs(row))] for row in np.asarray(hkl).tolist()])
    scale = (q2 @ true) / (q2 @ q2)
    log = np.corrcoef(np.log(q2), np.log(true))[0, 1]
    return np.corrcoef(q2, true)[0, 1], log, np.abs(scale * q2 - true).sum() / true.sum()


def small(rng, frames=2, streaks=4, length=9, width=3, *, shift=2, reflections=3, background=0.7, strength=40.0):
    """Streaks that overlap on few pixels: (table, u, rows as the oracle has them)."""
    rows, where = [], []
    measured = {}
    for streak in range(frames * streaks):
        frame, place = divmod(streak, streaks)
        for step in range(length):
            for across in range(width):
                x, y = step + place, place * shift + across
                f2 = float(np.exp(-0.5 * (across - 1.0) ** 2) * rng.uniform(0.8, 1.0))
                rows.append([100 + 2 * frame, streak, x, y, 0.0, 0.0, f2, streak % reflections])
                where.append((0.02 * step / length + 0.001 * across - 0.01, 0.01 * place + 0.0005 * across))
                key = (frame, x, y)
                measured[key] = measured.get(key, 0.0) + strength * (1 + streak % reflections) * f2
    for row in rows:
        key = ((row[0] - 100) // 2, row[2], row[3])
        if not isinstance(measured[key], tuple):
            bgd = float(background * rng.uniform(0.5, 1.5))
            measured[key] = (float(rng.poisson(measured[key] + bgd)), bgd)
        row[4], row[5] = measured[key]
    columns = [np.array(column) for column in zip(*rows)]
    names = ("frame", "streak", "x", "y", "counts", "background", "profile")
    hkl = np.stack([columns[7] + 1, columns[7] * 0 + 2, columns[7] * 0], axis=1).astype(int)
    table = CBCTable(**dict(zip(names, columns)), hkl=hkl, u=np.array(where))
    return table, np.array(where), [tuple(row) for row in rows]
