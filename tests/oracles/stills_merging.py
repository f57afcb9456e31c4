"""Merging and its statistics the slow and obvious way: loops, from the papers. Knows nothing of the package."""

import math
from collections import defaultdict


def correlation(pairs):
    n = len(pairs)
    if n < 3:
        return math.nan
    mx, my = math.fsum(x for x, _ in pairs) / n, math.fsum(y for _, y in pairs) / n
    xx = math.fsum((x - mx) ** 2 for x, _ in pairs)
    yy = math.fsum((y - my) ** 2 for _, y in pairs)
    xy = math.fsum((x - mx) * (y - my) for x, y in pairs)
    return xy / math.sqrt(xx * yy) if xx * yy > 0 else math.nan


def grouped(keys):
    rows = defaultdict(list)
    for row, key in enumerate(keys):
        rows[tuple(key) if hasattr(key, "__len__") else int(key)].append(row)
    return rows


def weighted(rows, intensity, variance):
    weight = math.fsum(1 / variance[i] for i in rows)
    return math.fsum(intensity[i] / variance[i] for i in rows) / weight, weight


def statistics(keys, intensity, variance, half_images, half_observations, reference=None):
    """All of one shell. keys: unique reflection of each row; halves 0 or 1; reference: dict key -> intensity."""
    groups = grouped(keys)
    out = {"observations": len(intensity), "unique": len(groups)}
    merge = meas = pim = below = chi2 = freedom = split = split_of = 0.0
    significance, merged = [], {}
    by_image, by_observation, means, variances = [], [], [], []
    for key, rows in groups.items():
        n = len(rows)
        mean, weight = weighted(rows, intensity, variance)
        merged[key] = mean
        significance.append(mean * math.sqrt(weight))
        if n > 1:
            spread = math.fsum(abs(intensity[i] - mean) for i in rows)
            merge += spread
            meas += math.sqrt(n / (n - 1)) * spread
            pim += math.sqrt(1 / (n - 1)) * spread
            below += math.fsum(intensity[i] for i in rows)
            chi2 += math.fsum((intensity[i] - mean) ** 2 / variance[i] for i in rows)
            freedom += n - 1
            plain = math.fsum(intensity[i] for i in rows) / n
            means.append(plain)
            variances.append(math.fsum((intensity[i] - plain) ** 2 for i in rows) / (n - 1) / n)
        for half, pairs in ((half_images, by_image), (half_observations, by_observation)):
            sides = [[i for i in rows if half[i] == side] for side in (0, 1)]
            if all(sides):
                pairs.append(tuple(weighted(side, intensity, variance)[0] for side in sides))
    for one, other in by_image:
        split += abs(one - other)
        split_of += (one + other) / 2
    centre = math.fsum(means) / len(means)
    of_means = math.fsum((m - centre) ** 2 for m in means) / (len(means) - 1)
    of_mean = math.fsum(variances) / len(variances)
    cc = correlation(by_image)
    out |= {
        "multiplicity": len(intensity) / len(groups),
        "mean_intensity": math.fsum(merged.values()) / len(merged),
        "i_over_sigma": math.fsum(significance) / len(significance),
        "r_merge": merge / below,
        "r_meas": meas / below,
        "r_pim": pim / below,
        "r_split": split / split_of / math.sqrt(2),
        "reduced_chi2": chi2 / freedom,
        "cc_half": cc,
        "cc_star": math.sqrt(2 * cc / (1 + cc)) if cc > 0 else math.nan,
        "cc_half_observations": correlation(by_observation),
        "cc_half_variance": (of_means - of_mean) / (of_means + of_mean),
    }
    if reference is not None:
        pairs = [(mean, reference[key]) for key, mean in merged.items() if key in reference]
        scale = math.fsum(x * y for x, y in pairs) / math.fsum(x * x for x, _ in pairs)
        out["cc_reference"] = correlation(pairs)
        out["r_reference"] = math.fsum(abs(scale * x - y) for x, y in pairs) / math.fsum(abs(y) for _, y in pairs)
    return out


def cc_anomalous(keys, minus, intensity, variance, half):
    """Correlation of I(+) - I(-) of two halves of the observations; acentric reflections only."""
    pairs = []
    for rows in grouped(keys).values():
        sides = {
            (a, b): [i for i in rows if half[i] == a and bool(minus[i]) == b] for a in (0, 1) for b in (False, True)
        }
        if all(sides.values()):
            mean = {side: weighted(rows_of, intensity, variance)[0] for side, rows_of in sides.items()}
            pairs.append(tuple(mean[a, False] - mean[a, True] for a in (0, 1)))
    return correlation(pairs)


def outliers(keys, intensity, variance, limit, pairs):
    """Rows rejected: the worst of a group, one after the other, against the weighted mean of the others."""
    rejected = set()
    for rows in grouped(keys).values():
        left = list(rows)
        while True:
            far = []
            for i in left:
                others = [j for j in left if j != i]
                if others:
                    mean, weight = weighted(others, intensity, variance)
                    far.append((abs(intensity[i] - mean) / math.sqrt(variance[i] + 1 / weight), i))
            far = [item for item in far if item[0] > limit]
            if not far or (len(left) == 2 and pairs == "keep"):
                break
            gone = [i for _, i in far] if len(left) == 2 else [max(far)[1]]
            rejected.update(gone)
            left = [i for i in left if i not in gone]
    return rejected


def cc_half_by_variance(keys, intensity, weight, shell):
    """Mean over shells, weighted by their reflections. shell: dict key -> number."""
    parts = defaultdict(list)
    for key, rows in grouped(keys).items():
        n = len(rows)
        if n < 2:
            continue
        total = math.fsum(weight[i] for i in rows)
        mean = math.fsum(weight[i] * intensity[i] for i in rows) / total
        square = math.fsum(weight[i] * (intensity[i] - mean) ** 2 for i in rows)
        parts[shell[key]].append((mean, square / (n - 1) / total))
    over = under = 0.0
    for values in parts.values():
        n = len(values)
        if n < 2:
            continue
        centre = math.fsum(m for m, _ in values) / n
        of_means = math.fsum((m - centre) ** 2 for m, _ in values) / (n - 1)
        of_mean = math.fsum(v for _, v in values) / n
        over += n * (of_means - of_mean) / (of_means + of_mean)
        under += n
    return over / under if under else math.nan


def delta_cc_half(keys, image, intensity, weight, shell, images):
    whole = cc_half_by_variance(keys, intensity, weight, shell)
    out = []
    for number in range(images):
        rows = [i for i in range(len(intensity)) if image[i] != number]
        part = [[column[i] for i in rows] for column in (keys, intensity, weight)]
        out.append(whole - cc_half_by_variance(*part, shell))
    return out
