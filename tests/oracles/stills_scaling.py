"""Stills as a table of numbers, the Cramer-Rao bound of their scales, one image by scipy, merging statistics.

Written from the formulas; knows nothing of the package.
"""

import numpy as np
from scipy.optimize import least_squares


def crystal(d_min=1.9, i0=2000.0, seed=0, cell=(60.0, 70.0, 80.0)):
    """hkl, d and true intensities of an orthorhombic crystal, one octant, Wilson distributed with B = 25."""
    top = [int(a / d_min) + 1 for a in cell]
    hkl = np.stack(np.meshgrid(*(np.arange(1, n) for n in top), indexing="ij"), axis=-1).reshape(-1, 3)
    d = 1.0 / np.sqrt(((hkl / np.array(cell)) ** 2).sum(axis=1))
    hkl, d = hkl[d > d_min], d[d > d_min]
    true = i0 * np.random.default_rng([seed, 7]).exponential(size=len(d)) * np.exp(-2 * 25.0 / (4 * d**2))
    return hkl, d, true


def stills(images=100, per_image=400, background=40.0, seed=0, sd_ln_g=0.5, sd_b=2.0, error=0.0, **of_crystal):
    """Columns of a table, and the truth. The variance is `background` + signal (+ (error signal)^2)."""
    rng = np.random.default_rng([seed, 1])
    hkl, d, true = crystal(seed=seed, **of_crystal)
    number = np.concatenate([rng.choice(len(d), per_image, replace=False) for _ in range(images)])
    image = np.repeat(np.arange(images), per_image)
    ln_g, b = sd_ln_g * rng.normal(size=images), sd_b * rng.normal(size=images)
    partiality = np.exp(-(rng.uniform(-1.5, 1.5, len(number)) ** 2))
    correction = rng.uniform(0.5, 1.0, len(number))
    factor = np.exp(ln_g[image] - b[image] / (4 * d[number] ** 2)) * partiality * correction
    signal = factor * true[number]
    variance = background + signal + (error * signal) ** 2
    intensity = signal + np.sqrt(variance) * rng.normal(size=len(number))
    columns = {
        "image": image,
        "hkl": hkl[number],
        "intensity": intensity,
        "sigma": np.sqrt(background + np.maximum(intensity, 0.0)),
        "d": d[number],
        "partiality": partiality,
        "correction": correction,
        "background_variance": np.full(len(number), background),
    }
    truth = {
        "ln_g": ln_g, "b": b, "true": true[number], "signal": signal, "variance": variance, "number": number,
        "factor": factor,
    }  # fmt: skip
    return columns, truth


def bound(image, d, signal, variance):
    """Standard deviations of ln G and of B of each image, both unknown, that no unbiased estimate goes below."""
    s = 1.0 / (4 * d**2)
    out = []
    for i in range(image.max() + 1):
        mine = image == i
        jacobian = np.stack([signal[mine], -s[mine] * signal[mine]], axis=1) / np.sqrt(variance[mine])[:, None]
        out.append(np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian))))
    return np.array(out).T


def one_image(intensity, full, d, background_variance, limit, prior_ln_g, prior_b, centre):
    """(ln G, B) of one image by scipy: variances of the last model, again until nothing changes."""
    s = 1.0 / (4 * d**2)

    def model(x):
        return np.exp(x[0] - x[1] * s) * full

    x = np.array([np.log(intensity.sum() / full.sum()), 0.0])
    for _ in range(60):
        sigma = np.sqrt(background_variance + np.maximum(model(x), 0.0))

        # scipy applies its loss to all residuals, priors have none: they enter as linear ones far below the limit
        def residual(y, sigma=sigma):
            prior = np.array([(y[0] - centre[0]) / prior_ln_g, (y[1] - centre[1]) / prior_b])
            return np.concatenate([(intensity - model(y)) / sigma, prior])

        loss = {"loss": "huber", "f_scale": limit} if np.isfinite(limit) else {}
        new = least_squares(residual, x, xtol=1e-14, ftol=1e-14, gtol=1e-14, **loss).x
        if np.abs(new - x).max() < 1e-11:
            break
        x = new
    return new


def means(group, intensity, sigma):
    weight = 1.0 / sigma**2
    return np.bincount(group, weight * intensity) / np.bincount(group, weight)


def r_meas(group, intensity, sigma):
    mean, count = means(group, intensity, sigma), np.bincount(group)
    rows = count[group] > 1
    n = count[group[rows]]
    return (np.sqrt(n / (n - 1)) * np.abs(intensity - mean[group])[rows]).sum() / mean[group[rows]].sum()


def cc_half(group, intensity, sigma, repeats=5, seed=0, image=None):
    """Mean over random splits, of the observations of each reflection or (with `image`) of the images."""
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        if image is None:
            order = np.lexsort((rng.random(len(group)), group))
            place = np.arange(len(group)) - np.searchsorted(group[order], group[order])
            half = np.empty(len(group), int)
            half[order] = (place + rng.integers(0, 2, group.max() + 1)[group[order]]) % 2
        else:
            half = (rng.permutation(image.max() + 1) % 2)[image]
        both = []
        for side in (0, 1):
            mine = half == side
            weight = np.where(mine, 1.0 / sigma**2, 0.0)
            total = np.bincount(group, weight)
            with np.errstate(invalid="ignore"):
                both.append(np.bincount(group, weight * intensity) / total)
        seen = np.isfinite(both[0]) & np.isfinite(both[1])
        found.append(np.corrcoef(both[0][seen], both[1][seen])[0, 1])
    return float(np.mean(found))
