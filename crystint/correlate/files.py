"""Correlations in files: what `crystint correlate correlate` writes."""

from __future__ import annotations

from crystint.arrays import FileName
from crystint.correlate.sums.coefficients import coefficients_of
from crystint.io.correlations.correlation_file import read_correlation_file, write_correlation_file
from crystint.model.correlation_run import CorrelationRun

__all__ = ["CorrelationRun", "read_correlations", "write_correlations"]


def write_correlations(
    path: FileName,
    run: CorrelationRun,
    *,
    coefficients: int | None = None,
    overwrite: bool = False,
) -> None:
    """Correlations with error and variance, and the sums they come from. No dates: equal runs give equal files.

    Parameters
    ----------
    path : path
        Ends with .h5.
    run : CorrelationRun
        Written as its `norm` and `by_intensity` say; the sums are stored as they are.
    coefficients : int, optional
        Store Fourier coefficients up to this harmonic as well, with their errors and noise.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    SettingError
        For a norm or a harmonic that there is not.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> correlate.write_correlations("run.h5", run)
    >>> bool((correlate.read_correlations("run.h5").correlation == run.correlation).all())
    True
    """
    spectrum = None if coefficients is None else coefficients_of(run, coefficients)
    write_correlation_file(path, run, spectrum, overwrite=overwrite)


def read_correlations(path: FileName) -> CorrelationRun:
    """The run that `write_correlations` stored; it adds to others.

    Parameters
    ----------
    path : path

    Returns
    -------
    CorrelationRun

    Raises
    ------
    FileError
        When the file is missing, damaged, or something else.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> correlate.write_correlations("run.h5", run)
    >>> correlate.read_correlations("run.h5").sums.number
    20
    """
    return read_correlation_file(path)
