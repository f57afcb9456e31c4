/** Numbers as they are read by people. */

/** What stands for a number that is not known. */
export const UNKNOWN = "–";

/** A number in short: whole numbers in full, others with `digits` significant digits. */
export function short(value: number | null | undefined, digits = 5): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const text = value.toPrecision(digits);
  const [mantissa = "", exponent] = text.split("e");
  const plain = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return exponent === undefined ? plain : `${plain}e${exponent.replace("+", "")}`;
}

const UNITS: Readonly<Record<string, string>> = { angstrom: "Å", "1/angstrom": "1/Å", um: "µm", deg: "°", pixel: "px" };

/** A unit of the service as it is printed. */
export function unitWords(unit: string): string {
  return UNITS[unit] ?? unit;
}

/** With its unit, as `short` or in full. */
export function withUnit(value: number | null | undefined, unit: string, full = false): string {
  const text = full && value !== null && value !== undefined && !Number.isNaN(value) ? String(value) : short(value);
  return unit === "" || text === UNKNOWN ? text : `${text} ${unitWords(unit)}`;
}

/** Round numbers from `low` to `high`, about `count` of them, steps of 1, 2 or 5. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low) || !Number.isFinite(high - low) || count < 1) return [];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough * (1 - 1e-9)) ?? 10);
  const made: number[] = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) {
    made.push(Number((at * step).toPrecision(12)));
  }
  return made;
}
