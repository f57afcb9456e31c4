"""Backgrounds of single rings: the samples written out once per copy, and NumPy's least squares."""

import numpy as np


def chebyshev_curve(values, good, degree, overlap):
    """The polynomial through a ring with both ends repeated, at its samples; by QR on powers of the scaled axis."""
    n = len(values)
    wrap = int(overlap * n)
    column = np.arange(-wrap, n + wrap)
    y, use = np.asarray(values, float)[column % n], np.asarray(good)[column % n]
    scaled = -1.0 + 2.0 * (column + wrap) / (n - 1 + 2 * wrap)
    waves = np.cos(np.arange(degree + 1) * np.arccos(np.clip(scaled, -1, 1))[:, None])
    found = np.linalg.lstsq(waves[use], y[use], rcond=1e-14)[0]
    return (waves @ found)[wrap : wrap + n]


def fourier_curve(values, good, harmonics, ridge):
    """The series that minimizes squares and ridge, by least squares with a row more per coefficient."""
    n = len(values)
    phi = 2 * np.pi * np.arange(n) / n
    design = np.array([np.ones(n)] + [f(k * phi) for k in range(1, harmonics + 1) for f in (np.cos, np.sin)]).T
    extra = np.sqrt(ridge * np.sum(good)) * np.eye(design.shape[1])[1:]
    rows = np.concatenate([design[good], extra])
    y = np.concatenate([np.asarray(values, float)[good], np.zeros(len(extra))])
    return design @ np.linalg.lstsq(rows, y, rcond=None)[0]


def without_peaks(values, good, curve, thick, threshold, wrap):
    """Samples that stay."""
    distance = np.abs((values - curve)[good] - np.median((values - curve)[good]))
    far = np.flatnonzero(good)[0.6745 * distance / np.median(distance) > threshold]
    keep = np.array(good)
    for at in far:
        for k in range(at - thick, at + thick + 1):
            if wrap:
                keep[k % len(values)] = False
            elif 0 <= k < len(values):
                keep[k] = False
    return keep
