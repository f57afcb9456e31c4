/** Tables as text, after RFC 4180: for spreadsheets, and without what a spreadsheet would take for a formula. */

export type Cell = number | string | boolean | null | undefined;

export interface CsvColumn {
  name: string;
  unit?: string;
  values: ArrayLike<Cell>;
}

/** Numbers in full; a text that begins like a formula gets an apostrophe before it. */
function cellOf(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isNaN(value) ? "" : String(value);
  if (typeof value === "boolean") return value ? "1" : "0";
  const harmless = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** A line of names with their units, then a line for each row. Shorter columns are empty at their end. */
export function csv(columns: readonly CsvColumn[]): string {
  const rows = Math.max(0, ...columns.map((column) => column.values.length));
  const lines = [columns.map(({ name, unit }) => cellOf(unit ? `${name} [${unit}]` : name)).join(",")];
  for (let row = 0; row < rows; row += 1) lines.push(columns.map((column) => cellOf(column.values[row])).join(","));
  return `${lines.join("\r\n")}\r\n`;
}
