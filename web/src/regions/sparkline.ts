/** A small curve in a line of a table. */

const NS = "http://www.w3.org/2000/svg";

/** Points of a polyline for values in a box, null left out. Pure. */
export function sparklinePoints(values: readonly (number | null)[], width: number, height: number): string {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return "";
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const y = (value: number): number => (high === low ? height / 2 : height - 1 - ((value - low) / (high - low)) * (height - 2));
  const x = (n: number): number => (values.length < 2 ? width : (n / (values.length - 1)) * (width - 2) + 1);
  return values.flatMap((value, n) => (value === null ? [] : [`${x(n).toFixed(1)},${y(value).toFixed(1)}`])).join(" ");
}

export interface Sparkline {
  readonly element: SVGSVGElement;
  show(values: readonly (number | null)[]): void;
}

export function sparkline(width: number, height: number, color: string): Sparkline {
  const element = document.createElementNS(NS, "svg");
  const line = document.createElementNS(NS, "polyline");
  for (const [name, value] of [["width", width], ["height", height], ["viewBox", `0 0 ${width} ${height}`], ["aria-hidden", "true"]] as const) {
    element.setAttribute(name, String(value));
  }
  for (const [name, value] of [["fill", "none"], ["stroke", color], ["stroke-width", "1.25"]] as const) line.setAttribute(name, value);
  element.append(line);
  return {
    element,
    show: (values) => line.setAttribute("points", sparklinePoints(values, width, height)),
  };
}
