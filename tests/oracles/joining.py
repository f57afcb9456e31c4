"""Spots through frames, written from docs/peaks.md with plain loops over dictionaries."""

import numpy as np


def in_box(point, box):
    """Whether the centre of one peak lies in the box of another."""
    return all(box[f"{axis}0"] <= point[axis] <= box[f"{axis}1"] for axis in ("slow", "fast"))


def links(before, after):
    """Pairs (i, j) of peaks of two frames that are one: nearest first, each peak once."""
    pairs = []
    for i, one in enumerate(before):
        for j, other in enumerate(after):
            if in_box(one, other) or in_box(other, one):
                pairs.append(((one["slow"] - other["slow"]) ** 2 + (one["fast"] - other["fast"]) ** 2, i, j))
    taken, used, chosen = set(), set(), []
    for _, i, j in sorted(pairs):
        if i not in taken and j not in used:
            taken.add(i)
            used.add(j)
            chosen.append((i, j))
    return chosen


def chains(frames, snr, starts=(), missing=()):
    """Lists of peaks, each a spot before valleys are looked for, and whether each is cut by an end.

    frames: a list of peaks for each frame; starts: frames that do not begin where the one before ends; missing: frames
    that could not be read.
    """
    parts, part = [], []
    for number in range(len(frames)):
        lost_two = number - 1 in missing and number - 2 in missing
        if part and (number in starts or lost_two):
            parts.append(part)
            part = []
        part.append(number)
    parts.append(part)
    spots = []
    for part in parts:
        there = [number for number in part if number not in missing]
        if not there:
            continue
        own = []
        for number in there:
            free = list(frames[number])
            for gap in (1, 2):
                ends = [chain for chain in own if chain[-1]["frame"] == number - gap]
                pairs = links([chain[-1] for chain in ends], free)
                for i, j in pairs:
                    weak = min(ends[i][-1]["significance"], free[j]["significance"]) < 2 * snr
                    if gap == 1 or number - 1 in missing or weak:
                        ends[i].append(free[j])
                        free[j] = None
                free = [peak for peak in free if peak is not None]
            own += [[peak] for peak in free]
        for chain in own:
            for piece in cut(chain):
                touches = piece[0]["frame"] == there[0] or piece[-1]["frame"] == there[-1]
                spots.append((piece, touches))
    return spots


def cut(chain):
    """The parts of a chain that valleys along its frames divide."""
    best = None
    for at in range(1, len(chain) - 1):
        low = chain[at]
        left = max(chain[:at], key=lambda peak: peak["intensity"])
        right = max(chain[at + 1 :], key=lambda peak: peak["intensity"])
        lower = min(left, right, key=lambda peak: peak["intensity"])
        noise = np.hypot(lower["sigma"], low["sigma"])
        if low["intensity"] < 0.5 * lower["intensity"] and lower["intensity"] - low["intensity"] > 3 * noise:
            ratio = low["intensity"] / lower["intensity"]
            if best is None or ratio < best[0]:
                best = ratio, at
    if best is None:
        return [chain]
    at = best[1]
    if chain[at - 1]["intensity"] >= chain[at + 1]["intensity"]:
        at += 1
    return cut(chain[:at]) + cut(chain[at:])


def measured(chain, cut_by_an_end):
    """Centroid (slow, fast, z), their standard deviations, intensity, sigma of a spot."""
    weights = [max(peak["intensity"], 0.0) for peak in chain]
    if sum(weights) == 0:
        weights = [1.0] * len(chain)
    total, centre, error = sum(weights), [], []
    for name in ("slow", "fast", "z"):
        places = [peak["frame"] + 0.5 if name == "z" else peak[name] for peak in chain]
        own = [np.sqrt(1 / 12) if name == "z" else peak[f"{name}_sigma"] for peak in chain]
        middle = sum(w * p for w, p in zip(weights, places)) / total
        variance = sum((w * s / total) ** 2 for w, s in zip(weights, own))
        variance += sum((peak["sigma"] * (p - middle) / total) ** 2 for peak, p in zip(chain, places))
        if name == "z" and cut_by_an_end:
            variance += (len(chain) / 2) ** 2
        centre.append(middle)
        error.append(np.sqrt(variance))
    intensity = sum(peak["intensity"] for peak in chain)
    return centre, error, intensity, np.sqrt(sum(peak["sigma"] ** 2 for peak in chain))
