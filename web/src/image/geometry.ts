/** Where pixels are in the laboratory, and where directions meet the detector: `crystint.model.geometry` for the page.
 *
 * The laboratory is PONI's: z along the beam, x and y along fast and slow of a detector without rotations. */
import type { Place } from "../store.ts";

type Vector = readonly [x: number, y: number, z: number];

/** A flat piece: laboratory = origin + (slow - slow0) slowStep + (fast - fast0) fastStep, in m. */
interface Plane {
  /** slow0, slow1, fast0, fast1 px, half-open */
  region: readonly [number, number, number, number];
  origin: Vector;
  slowStep: Vector;
  fastStep: Vector;
}

/** What `Geometry.to_dict` gives, as far as it is needed here. */
interface Values {
  shape: [number, number];
  pixel_size: [number, number];
  distance: number;
  beam_center: [number, number];
  wavelength: number | null;
  rotation: [number, number, number];
  panels?: { slow: [number, number]; fast: [number, number]; origin: Vector; slow_vector: Vector; fast_vector: Vector }[];
}

const ON_AXIS = 1e-9;
/** px: what lies farther out is not drawn */
const FAR = 1e6;
/** px: how far a drawn curve may be from the true one */
const DEVIATION = 0.02;

const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a: Vector, b: Vector): Vector => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const plus = (a: Vector, s: number, b: Vector, t: number, c: Vector): Vector => [
  a[0] + s * b[0] + t * c[0], a[1] + s * b[1] + t * c[1], a[2] + s * b[2] + t * c[2],
];

export const degrees = (radians: number): number => (radians * 180) / Math.PI;
export const radians = (degrees: number): number => (degrees * Math.PI) / 180;

/** PONI's rotation R3 R2 R1; rows and columns in the order y, x, z. */
function rotationMatrix(rotation: Vector): [Vector, Vector, Vector] {
  const [s1, s2, s3] = rotation.map(Math.sin) as [number, number, number];
  const [c1, c2, c3] = rotation.map(Math.cos) as [number, number, number];
  return [
    [c3 * c2, c3 * s2 * s1 - s3 * c1, -s3 * s1 - c3 * s2 * c1],
    [s3 * c2, s3 * s2 * s1 + c3 * c1, c3 * s1 - s3 * s2 * c1],
    [s2, -c2 * s1, c2 * c1],
  ];
}

function planeOf(values: Values): Plane {
  const [y, x, z] = rotationMatrix(values.rotation);
  const [pixelSlow, pixelFast] = values.pixel_size;
  const column = (n: 0 | 1 | 2, by: number): Vector => [x[n] * by, y[n] * by, z[n] * by];
  const slowStep = column(0, pixelSlow);
  const fastStep = column(1, pixelFast);
  const [slow, fast] = values.beam_center;
  return {
    region: [0, values.shape[0], 0, values.shape[1]],
    origin: plus(column(2, values.distance), -slow, slowStep, -fast, fastStep),
    slowStep,
    fastStep,
  };
}

export class Geometry {
  /** (slow, fast) px */
  readonly shape: readonly [number, number];
  /** angstrom; null = not known: then there is no q and no d */
  readonly wavelength: number | null;
  #planes: readonly Plane[];
  /** one plane, which goes on beyond the border of the frame */
  #flat: boolean;

  constructor(values: Values) {
    this.shape = values.shape;
    this.wavelength = values.wavelength;
    this.#flat = values.panels === undefined || values.panels === null;
    this.#planes = this.#flat ? [planeOf(values)] : (values.panels ?? []).map((panel) => ({
      region: [...panel.slow, ...panel.fast],
      origin: panel.origin, slowStep: panel.slow_vector, fastStep: panel.fast_vector,
    }));
  }

  /** Of what the service tells; null = it is not known. */
  static of(values: Record<string, unknown> | null | undefined): Geometry | null {
    return values === null || values === undefined ? null : new Geometry(values as unknown as Values);
  }

  #plane(slow: number, fast: number): Plane | undefined {
    if (this.#flat) return this.#planes[0];
    return this.#planes.find(({ region: [s0, s1, f0, f1] }) => slow >= s0 && slow < s1 && fast >= f0 && fast < f1);
  }

  /** x, y, z in m of a position in px; null in no panel. */
  laboratory(slow: number, fast: number): Vector | null {
    const plane = this.#plane(slow, fast);
    if (plane === undefined) return null;
    return plus(plane.origin, slow - plane.region[0], plane.slowStep, fast - plane.region[2], plane.fastStep);
  }

  /** Scattering angle in rad; NaN in no panel. */
  twoThetaAt(slow: number, fast: number): number {
    const at = this.laboratory(slow, fast);
    return at === null ? NaN : Math.atan2(Math.hypot(at[0], at[1]), at[2]);
  }

  /** Degrees from 0 to below 360; 0 on the beam, NaN in no panel. */
  phiAt(slow: number, fast: number): number {
    const at = this.laboratory(slow, fast);
    if (at === null) return NaN;
    const across = Math.hypot(at[0], at[1]);
    return across <= ON_AXIS * Math.hypot(across, at[2]) ? 0 : wrapped(degrees(Math.atan2(at[1], at[0])));
  }

  /** 1/angstrom; NaN in no panel and without a wavelength. */
  qAt(slow: number, fast: number): number {
    return this.q(this.twoThetaAt(slow, fast));
  }

  /** angstrom; infinite on the beam, NaN in no panel and without a wavelength. */
  dAt(slow: number, fast: number): number {
    return this.wavelength === null ? NaN : this.wavelength / (2 * Math.sin(0.5 * this.twoThetaAt(slow, fast)));
  }

  /** 4 pi sin(theta) / wavelength of a scattering angle in rad. */
  q(twoTheta: number): number {
    return this.wavelength === null ? NaN : (4 * Math.PI * Math.sin(0.5 * twoTheta)) / this.wavelength;
  }

  /** Scattering angle in rad of q in 1/angstrom; NaN where no angle has it. */
  twoTheta(q: number): number {
    return this.wavelength === null ? NaN : 2 * Math.asin((q * this.wavelength) / (4 * Math.PI));
  }

  /** Where a direction meets the detector: a plane without end, or a panel inside of its border; null = nowhere.
   *
   * `twoTheta` in rad, `phi` in degrees. */
  place(twoTheta: number, phi: number): Place | null {
    return this.#meet(twoTheta, phi)?.place ?? null;
  }

  #meet(twoTheta: number, phi: number): { place: Place; plane: Plane } | null {
    if (!Number.isFinite(twoTheta) || !Number.isFinite(phi)) return null;
    const across = Math.sin(twoTheta);
    const direction: Vector = [across * Math.cos(radians(phi)), across * Math.sin(radians(phi)), Math.cos(twoTheta)];
    for (const plane of this.#planes) {
      const normal = cross(plane.slowStep, plane.fastStep);
      const far = dot(plane.origin, normal) / dot(direction, normal);
      if (!(far > 0) || !Number.isFinite(far)) continue;
      const from: Vector = plus([0, 0, 0], far, direction, -1, plane.origin);
      // from = a slowStep + b fastStep: the parts along both, which need not be at right angles
      const square = dot(normal, normal);
      const slow = dot(cross(from, plane.fastStep), normal) / square + plane.region[0];
      const fast = dot(cross(plane.slowStep, from), normal) / square + plane.region[2];
      if (Math.abs(slow) > FAR || Math.abs(fast) > FAR) continue;
      const [s0, s1, f0, f1] = plane.region;
      if (this.#flat || (slow >= s0 && slow <= s1 && fast >= f0 && fast <= f1)) return { place: { slow, fast }, plane };
    }
    return null;
  }

  /** The curve of one scattering angle (rad) between two azimuths (degrees, phi1 above phi0): a list of lines, each of
   * points in order, broken where the detector is not met and between panels. */
  arc(twoTheta: number, phi0: number, phi1: number): Place[][] {
    return this.#curve((t) => this.#meet(twoTheta, phi0 + t * (phi1 - phi0)), Math.max(2, Math.ceil((phi1 - phi0) / 5)));
  }

  /** The line of one azimuth (degrees) between two scattering angles (rad). */
  spoke(phi: number, twoTheta0: number, twoTheta1: number): Place[][] {
    return this.#curve((t) => this.#meet(twoTheta0 + t * (twoTheta1 - twoTheta0), phi), 8);
  }

  #curve(at: (t: number) => { place: Place; plane: Plane } | null, steps: number): Place[][] {
    const lines: Place[][] = [];
    let before: { place: Place; plane: Plane } | null = null;
    let line: Place[] = [];
    const refine = (t0: number, t1: number, a: Place, b: Place, depth: number): void => {
      const middle = at(0.5 * (t0 + t1))?.place;
      if (middle === undefined) return;
      const off = Math.hypot(middle.slow - 0.5 * (a.slow + b.slow), middle.fast - 0.5 * (a.fast + b.fast));
      if (off <= DEVIATION || depth === 0) return;
      refine(t0, 0.5 * (t0 + t1), a, middle, depth - 1);
      line.push(middle);
      refine(0.5 * (t0 + t1), t1, middle, b, depth - 1);
    };
    const end = (): void => {
      if (line.length > 1) lines.push(line);
      line = [];
    };
    // between panels a step may jump over a whole one: finer ones there
    const count = this.#flat ? steps : 8 * steps;
    for (let step = 0; step <= count; step += 1) {
      const t = step / count;
      const met = at(t);
      if (met === null) {
        if (before !== null) line.push(...this.#border(at, (step - 1) / count, t));
        end();
      } else {
        if (before !== null && before.plane !== met.plane) {
          line.push(...this.#border(at, (step - 1) / count, t));
          end();
        }
        if (line.length === 0) {
          if (step > 0) line.push(...this.#border(at, t, (step - 1) / count));
        } else if (before !== null) refine((step - 1) / count, t, before.place, met.place, 8);
        line.push(met.place);
      }
      before = met;
    }
    end();
    return lines;
  }

  /** The last place from `t0` on towards `t1` that is still in the panel of `t0`. */
  #border(at: (t: number) => { place: Place; plane: Plane } | null, t0: number, t1: number): Place[] {
    const plane = at(t0)?.plane;
    let inside = t0;
    let outside = t1;
    for (let turn = 0; turn < 12; turn += 1) {
      const middle = 0.5 * (inside + outside);
      if (at(middle)?.plane === plane) inside = middle;
      else outside = middle;
    }
    const last = at(inside)?.place;
    return last === undefined ? [] : [last];
  }
}

/** An angle in degrees, from 0 to below 360. */
export function wrapped(angle: number): number {
  const rest = angle % 360;
  const positive = rest < 0 ? rest + 360 : rest;
  return positive === 360 || Object.is(positive, -0) ? 0 : positive;
}
