"""When an alarm trips and clears, one value after the other: a slow, obvious version."""

from __future__ import annotations

import math


def alarm_events(batches, *, below=None, above=None, over=1, hold=0.0, margin=0.0, clears=1.0):
    """Events of values that come in batches: (what, index of the value, mean).

    Parameters
    ----------
    batches : list of (float, list of float)
        Time of each, s, and its values; NaN = not known.
    """
    values, events, tripped, since = [], [], False, None
    for now, some in batches:
        for value in some:
            values.append(value)
            if len(values) < over:
                continue
            last = [each for each in values[len(values) - over :] if not math.isnan(each)]
            if not last:
                continue
            mean = math.fsum(last) / len(last)
            if tripped:
                other = mean >= below + margin if below is not None else mean <= above - margin
            else:
                other = mean < below if below is not None else mean > above
            if not other:
                since = None
                continue
            since = now if since is None else since
            if now - since >= (max(hold, clears) if tripped else hold):
                tripped, since = not tripped, None
                events.append(("tripped" if tripped else "cleared", len(values) - 1, mean))
    return events
