"""The alternation between |q|^2 and projection maps, to its fixed point: dense matrices, straight from the formulas.

lambda = background + J (q2[h] f chi(u) + b[s]),  chi(u) bilinear;    J adds the rows of a pixel
q2 <- the maximum of Poisson's likelihood at fixed chi (Newton's method with steps halved)
chi <- sum n K / sum q2 f f K, n = f (counts above background and intercepts) q2 f chi / (its sum over the pixel),
       K = exp(-d^2 / 2 h^2) within 4 h along x and y;   then chi / mean, q2 * mean
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Data:
    frame: np.ndarray
    """[n] 0..F-1"""
    pixel: np.ndarray
    """[n] 0..P-1"""
    reflection: np.ndarray
    """[n] 0..H-1"""
    streak: np.ndarray
    """[n] 0..S-1"""
    f: np.ndarray
    """[n]: profile"""
    u: np.ndarray
    """[n, 2]"""
    background: np.ndarray
    """[P]"""
    x: np.ndarray
    y: np.ndarray
    h: float
    """bandwidth"""


def matrices(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interpolation [n, F ny nx], kernel [n, F ny nx], and J [P, n]."""
    n, nx, ny = len(data.f), len(data.x), len(data.y)
    frames = data.frame.max() + 1
    interpolation, kernel = np.zeros((n, frames, ny, nx)), np.zeros((n, frames, ny, nx))
    for i in range(n):
        ux, uy = data.u[i]
        hat_x = np.array([np.interp(ux, data.x, row) for row in np.eye(nx)])
        hat_y = np.array([np.interp(uy, data.y, row) for row in np.eye(ny)])
        interpolation[i, data.frame[i]] = np.outer(hat_y, hat_x)
        dx, dy = (data.x - ux) / data.h, (data.y - uy) / data.h
        near = np.outer(np.abs(dy) <= 4, np.abs(dx) <= 4)
        kernel[i, data.frame[i]] = near * np.exp(-(dy[:, None] ** 2 + dx[None, :] ** 2) / 2)
    joined = np.zeros((len(data.background), n))
    joined[data.pixel, np.arange(n)] = 1.0
    return interpolation.reshape(n, -1), kernel.reshape(n, -1), joined


def alternate(
    data: Data,
    counts: np.ndarray,
    made: tuple[np.ndarray, np.ndarray, np.ndarray],
    free: np.ndarray,
    start: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log q2 [H], b [S] and chi [F ny nx] (NaN = empty). `free` [S]: intercepts that are fitted, the others are 0."""
    rounds = 3000
    interpolation, kernel, joined = made
    reached = kernel.sum(axis=0) > 0
    interpolation = interpolation * reached
    interpolation = interpolation / np.maximum(interpolation.sum(axis=1, keepdims=True), 1e-300)
    n_ref, n_streak = data.reflection.max() + 1, len(free)
    of_reflection = np.eye(n_ref)[data.reflection]
    of_streak = np.eye(n_streak)[data.streak][:, free]
    chi = np.where(reached, 1.0, 0.0)
    above = counts - data.background
    theta = np.log(np.maximum(of_reflection.T @ (above[data.pixel] * data.f), 1.0) / (of_reflection.T @ data.f**2))
    x = np.concatenate([theta, np.full(free.sum(), 1.0)])
    if start is not None:
        x, chi = np.concatenate([start[0], start[1][free]]), np.nan_to_num(start[2])
    for _ in range(rounds):
        at = data.f * (interpolation @ chi)

        def parts(x: np.ndarray, at: np.ndarray = at) -> tuple[float, np.ndarray, np.ndarray]:
            signal = np.exp(x[:n_ref])[data.reflection] * at
            slope = joined @ np.hstack([signal[:, None] * of_reflection, of_streak])
            expected = data.background + joined @ (signal + of_streak @ x[n_ref:])
            value = np.sum(expected - counts * np.log(expected)) if (expected > 0).all() else np.inf
            return value, slope, expected

        for _newton in range(50):
            value, slope, expected = parts(x)
            fisher = slope.T @ (slope / expected[:, None])
            step = np.linalg.solve(fisher, slope.T @ (counts / expected - 1))
            while np.abs(step).max() > 1e-13 and not parts(x + step)[0] <= value:
                step /= 2
            x = x + step
            if np.abs(step).max() < 1e-12:
                break
        signal = np.exp(x[:n_ref])[data.reflection] * at
        total = (joined @ signal)[data.pixel]
        mine = (above - joined @ (of_streak @ x[n_ref:]))[data.pixel] * signal / total
        strength = np.exp(x[:n_ref])[data.reflection] * data.f
        new = np.where(reached, kernel.T @ (data.f * mine), 0) / np.where(reached, kernel.T @ (data.f * strength), 1)
        new = np.maximum(new, 0.0)
        new /= new[reached].mean()
        done = np.abs(new - chi).max() < 1e-12
        chi = new
        if done:
            break
    else:
        raise AssertionError("the alternation has not come to its fixed point")
    b = np.zeros(n_streak)
    b[free] = x[n_ref:]
    return x[:n_ref], b, np.where(reached, chi, np.nan)
