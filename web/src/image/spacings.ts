/** Spacings of which rings are drawn. */
import type { Geometry } from "./geometry.ts";

/** Of hexagonal ice, angstrom: crystint.model.peaks.ICE_D. */
export const ICE: readonly number[] = [
  3.895, 3.661, 3.438, 2.667, 2.249, 2.068, 1.947, 1.916, 1.882, 1.719, 1.522, 1.472, 1.443, 1.365, 1.299, 1.275, 1.261,
];

const NICE = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** Scattering angle in rad of a spacing in angstrom; null = there is none at this wavelength. */
export function twoThetaOf(geometry: Geometry, d: number): number | null {
  if (geometry.wavelength === null || !(d > 0)) return null;
  const sine = geometry.wavelength / (2 * d);
  return sine > 1 ? null : 2 * Math.asin(sine);
}

/** Spacings that are easy to read, about `count` of them between two scattering angles (rad), the largest first. */
export function niceSpacings(geometry: Geometry, low: number, high: number, count = 6): number[] {
  const { wavelength } = geometry;
  if (wavelength === null || !(high > low)) return [];
  const made: number[] = [];
  for (let index = 1; index <= count; index += 1) {
    const wanted = wavelength / (2 * Math.sin((low + ((high - low) * index) / (count + 0.5)) / 2));
    const power = 10 ** Math.floor(Math.log10(wanted));
    const far = (each: number): number => Math.abs(Math.log((each * power) / wanted));
    const nearest = NICE.reduce((best, each) => (far(each) < far(best) ? each : best));
    const rounded = Number((nearest * power).toPrecision(3));
    if (!made.includes(rounded)) made.push(rounded);
  }
  return made.filter((each) => twoThetaOf(geometry, each) !== null).sort((a, b) => b - a);
}

/** Spacings as a person writes them: "3.5, 2 1.4" angstrom. Null = something in it is no spacing. */
export function parseSpacings(words: string): number[] | null {
  const parts = words.split(/[,;\s]+/).filter((part) => part !== "");
  const made = parts.map(Number);
  return made.every((each) => Number.isFinite(each) && each > 0) && made.length <= 40 ? made : null;
}
