/** Rings and sectors of them, by the geometry of the detector: true curves on a tilted one. */
import { wrapped, type Geometry } from "../image/geometry.ts";
import type { Place } from "../store.ts";
import type { Azimuthal } from "./region.ts";
import { hundredths, NOTHING, type Handle, type Outline, type Shape } from "./shape.ts";

/** degrees that a step of the keyboard is */
export const PHI_STEP = 0.5;
/** degrees: a drag that turns less makes a whole ring */
const STRAIGHT = 2;
const DIGITS = 7;

interface Limits {
  /** 1/angstrom */
  q: readonly [number, number];
  /** degrees, the second above the first by less than 360; null = a whole ring */
  phi: readonly [number, number] | null;
}

const TURN = 2 * Math.PI;

function limitsOf(region: Azimuthal): Limits {
  const q: [number, number] = region.d_min !== undefined
    ? [TURN / (region.d_max ?? NaN), TURN / region.d_min]
    : [region.q_min ?? NaN, region.q_max ?? NaN];
  const [start, stop] = [region.phi_min_deg, region.phi_max_deg];
  if (start === undefined || stop === undefined || stop - start >= 360) return { q, phi: null };
  const low = wrapped(start);
  return { q, phi: [low, low + wrapped(stop - start)] };
}

const rounded = (value: number): number => Number(value.toPrecision(DIGITS));

/** A region of other limits, which are told as those of `region` are: in q or in d. */
function withLimits(region: Azimuthal, { q, phi }: Limits): Azimuthal {
  const { name, type } = region;
  const radial = region.d_min !== undefined
    ? { d_min: rounded(TURN / q[1]), d_max: rounded(TURN / Math.max(q[0], 1e-9)) }
    : { q_min: rounded(q[0]), q_max: rounded(q[1]) };
  if (phi === null) return { name, type, ...radial };
  const start = wrapped(hundredths(phi[0]));
  let stop = wrapped(hundredths(phi[1]));
  if (stop === start) stop = wrapped(hundredths(start + 0.01));
  return { name, type, ...radial, phi_min_deg: start, phi_max_deg: stop };
}

const onDetector = (geometry: Geometry, at: Place | null): at is Place =>
  at !== null && at.slow >= 0 && at.slow <= geometry.shape[0] && at.fast >= 0 && at.fast <= geometry.shape[1];

/** An angle of a sector at which a curve of this q lies on the detector: the middle, or what is nearest to it. */
function seen(geometry: Geometry, q: number, [start, stop]: readonly [number, number]): number | null {
  const angle = geometry.twoTheta(q);
  for (let n = 0; n <= 72; n += 1) {
    const part = 0.5 + (n % 2 === 0 ? 1 : -1) * 0.5 * (Math.ceil(n / 2) / 36);
    const phi = start + part * (stop - start);
    if (onDetector(geometry, geometry.place(angle, phi))) return phi;
  }
  return null;
}

/** Change of q in 1/angstrom per px at a place; NaN where there is no detector. */
function slope(geometry: Geometry, at: Place): number {
  const by = (slow: number, fast: number): number =>
    geometry.qAt(at.slow + slow, at.fast + fast) - geometry.qAt(at.slow - slow, at.fast - fast);
  return Math.hypot(by(0.5, 0), by(0, 0.5));
}

/** The way outwards at a place, px. */
function outwards(geometry: Geometry, angle: number, phi: number): [number, number] | null {
  const [a, b] = [geometry.place(angle * 0.999, phi), geometry.place(angle * 1.001 + 1e-6, phi)];
  return a === null || b === null ? null : [b.slow - a.slow, b.fast - a.fast];
}

/** A place of the region on the detector, for steps of the keyboard. */
function placeOf(geometry: Geometry, { q, phi }: Limits): Place | null {
  for (const value of [0.5 * (q[0] + q[1]), q[1], q[0]]) {
    const at = seen(geometry, value, phi ?? [0, 360]);
    if (at !== null) return geometry.place(geometry.twoTheta(value), at);
  }
  return null;
}

/** Limits in order, at least `gap` apart, and such as scattering can have. */
function clamped(geometry: Geometry, q: readonly [number, number], moved: "low" | "high" | "both", gap: number): [number, number] {
  const most = (4 * Math.PI) / (geometry.wavelength ?? NaN);
  let [low, high] = q;
  if (moved === "both") {
    const width = high - low;
    low = Math.min(Math.max(low, 0), Math.max(most - width, 0));
    return [low, low + width];
  }
  if (moved === "low") low = Math.max(Math.min(low, high - gap), 0);
  else high = Math.min(Math.max(high, low + gap), most);
  return [low, high];
}

function joined(outline: { outer: Place[][]; inner: Place[][] }): readonly (readonly Place[])[] {
  const [outer, inner] = [outline.outer[0], outline.inner[0]];
  if (outline.outer.length !== 1 || outline.inner.length !== 1 || outer === undefined || inner === undefined) return [];
  return [[...outer, ...[...inner].reverse()]];
}

export const azimuthal: Shape<Azimuthal> = {
  outline(region, geometry): Outline {
    if (geometry === null || geometry.wavelength === null) return NOTHING;
    const { q, phi } = limitsOf(region);
    const most = (4 * Math.PI) / geometry.wavelength;
    const [low, high] = [geometry.twoTheta(Math.min(q[0], most)), geometry.twoTheta(Math.min(q[1], most))];
    const [start, stop] = phi ?? [0, 360];
    const inner = q[0] > 0 ? geometry.arc(low, start, stop) : [];
    const outer = geometry.arc(high, start, stop);
    if (phi === null) {
      const whole = [...inner, ...outer];
      return { lines: whole, areas: outer.length === 1 && inner.length <= 1 ? whole : [] };
    }
    const spokes = [start, stop].flatMap((angle) => geometry.spoke(angle, low, high));
    const middle = geometry.place(low, start);
    const areas = joined({ outer, inner: q[0] > 0 || middle === null ? inner : [[middle]] });
    return { lines: [...inner, ...outer, ...spokes], areas };
  },

  handles(region, geometry) {
    if (geometry === null || geometry.wavelength === null) return [];
    const { q, phi } = limitsOf(region);
    const made: Handle[] = [];
    const parts: (readonly [number, number])[] = phi !== null ? [phi] : [0, 1, 2, 3].map((n) => [90 * n - 45, 90 * n + 45] as const);
    for (const [id, value] of [["q_min", q[0]], ["q_max", q[1]]] as const) {
      const angle = geometry.twoTheta(value);
      for (const [n, part] of parts.entries()) {
        const at = seen(geometry, value, part);
        const here = at === null ? null : geometry.place(angle, at);
        if (at === null || here === null) continue;
        made.push({ id: `${id} ${n}`, at: here, along: outwards(geometry, angle, at) });
        if (value === 0) break;
      }
    }
    if (phi === null) return made;
    for (const [id, angle] of [["phi_min", phi[0]], ["phi_max", phi[1]]] as const) {
      for (const part of [0.5, 0.25, 0.75, 0.1, 0.9]) {
        const twoTheta = geometry.twoTheta(q[0] + part * (q[1] - q[0]));
        const here = geometry.place(twoTheta, angle);
        if (!onDetector(geometry, here)) continue;
        const way = outwards(geometry, twoTheta, angle);
        made.push({ id, at: here, along: way && [-way[1], way[0]] });
        break;
      }
    }
    return made;
  },

  dragged(region, handle, from, to, geometry) {
    if (geometry === null) return null;
    const { q, phi } = limitsOf(region);
    const by = geometry.qAt(to.slow, to.fast) - geometry.qAt(from.slow, from.fast);
    const turn = geometry.phiAt(to.slow, to.fast) - geometry.phiAt(from.slow, from.fast);
    if (!Number.isFinite(by) || !Number.isFinite(turn)) return null;
    const [kind] = handle.split(" ");
    const gap = Math.max(slope(geometry, to) || 0, 1e-6 * q[1]);
    switch (kind) {
      case "q_min": return withLimits(region, { q: clamped(geometry, [q[0] + by, q[1]], "low", gap), phi });
      case "q_max": return withLimits(region, { q: clamped(geometry, [q[0], q[1] + by], "high", gap), phi });
      case "phi_min": return phi && withLimits(region, { q, phi: [phi[0] + turn, phi[1]] });
      case "phi_max": return phi && withLimits(region, { q, phi: [phi[0], phi[1] + turn] });
      default: return withLimits(region, {
        q: clamped(geometry, [q[0] + by, q[1] + by], "both", gap), phi: phi && [phi[0] + turn, phi[1] + turn],
      });
    }
  },

  /** Upwards is outwards by what a pixel is there; to the right turns the sector on. */
  nudged(region, right, down, geometry) {
    if (geometry === null) return null;
    const limits = limitsOf(region);
    const at = placeOf(geometry, limits);
    const step = at === null ? NaN : slope(geometry, at);
    if (!Number.isFinite(step)) return null;
    const { q, phi } = limits;
    return withLimits(region, {
      q: clamped(geometry, [q[0] - down * step, q[1] - down * step], "both", step),
      phi: phi && [phi[0] + right * PHI_STEP, phi[1] + right * PHI_STEP],
    });
  },

  holds(region, at, geometry) {
    if (geometry === null) return false;
    const { q, phi } = limitsOf(region);
    const value = geometry.qAt(at.slow, at.fast);
    if (!(value >= q[0] && value < q[1])) return false;
    if (phi === null) return true;
    const angle = geometry.phiAt(at.slow, at.fast);
    const [start, stop] = [phi[0], wrapped(region.phi_max_deg ?? 0)];
    return start < stop ? angle >= start && angle < stop : angle >= start || angle < stop;
  },

  /** From one limit to the other, of q and of phi; straight outwards or inwards it is a whole ring. */
  made(name, from, to, geometry) {
    if (geometry === null) return null;
    const ends = [from, to].map(({ slow, fast }) => ({ q: geometry.qAt(slow, fast), phi: geometry.phiAt(slow, fast) }));
    const [a, b] = ends as [{ q: number; phi: number }, { q: number; phi: number }];
    if (!Number.isFinite(a.q) || !Number.isFinite(b.q) || a.q === b.q) return null;
    const q: [number, number] = a.q < b.q ? [a.q, b.q] : [b.q, a.q];
    const turn = wrapped(b.phi - a.phi);
    const short = Math.min(turn, 360 - turn);
    const blank: Azimuthal = { name, type: "azimuthal", q_min: 0, q_max: 1 };
    if (short < STRAIGHT) return withLimits(blank, { q, phi: null });
    return withLimits(blank, { q, phi: turn <= 180 ? [a.phi, a.phi + turn] : [b.phi, b.phi + 360 - turn] });
  },
};

