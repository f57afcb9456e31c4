/** Where the cells of a grid scan lie, on the screen and in the order of the images. */

export interface GridOrder {
  n_fast: number;
  vertical: boolean;
  snake: boolean;
}

/** as GridMapModel of the service */
export interface GridAnswer {
  title: string;
  unit: string;
  x: number[];
  y: number[];
  z: (number | null)[][];
  best: { column: number; row: number; image: number | null; value: number | null; x: number | null; y: number | null } | null;
  outside: number;
  order: GridOrder;
}

export interface Cell {
  row: number;
  column: number;
}

/** Number of the image of a cell: the inverse of `Grid.cells` of the service. */
export function imageOf({ n_fast, vertical, snake }: GridOrder, { row, column }: Cell): number {
  const [line, place] = vertical ? [column, row] : [row, column];
  return line * n_fast + (snake && line % 2 === 1 ? n_fast - 1 - place : place);
}

export function cellOf({ n_fast, vertical, snake }: GridOrder, image: number): Cell {
  const line = Math.floor(image / n_fast);
  const along = image % n_fast;
  const place = snake && line % 2 === 1 ? n_fast - 1 - along : along;
  return vertical ? { row: place, column: line } : { row: line, column: place };
}

/** An axis of the map: `from` is the edge at the left or top, `step` the size of a cell; negative steps run from
 * the other side, since the axis is drawn by the position. */
export interface MapAxis {
  from: number;
  step: number;
  count: number;
  /** the first cell stands at the right or the bottom */
  turned: boolean;
  /** positions grow upwards */
  up?: boolean;
}

export function axisOf(positions: readonly number[], otherwise = 1): MapAxis {
  const [first = 0, second] = positions;
  const step = second === undefined ? otherwise : second - first;
  const size = Math.abs(step) || 1;
  const low = Math.min(first, positions.at(-1) ?? first);
  return { from: low - size / 2, step: size, count: positions.length, turned: step < 0 };
}

export interface Frame {
  left: number;
  top: number;
  /** px of a cell */
  width: number;
  height: number;
  x: MapAxis;
  y: MapAxis;
  /** both directions have the same scale */
  true: boolean;
}

/** Below this share of the room one direction is stretched, since nothing could be seen. */
const THIN = 0.12;

/** Where a map is drawn in a room: as large as it fits, true to scale where that can be seen. */
export function framed(x: MapAxis, y: MapAxis, room: { left: number; top: number; width: number; height: number }): Frame {
  const scale = Math.min(room.width / (x.count * x.step), room.height / (y.count * y.step));
  let [width, height] = [scale * x.step, scale * y.step];
  const thin = width * x.count < THIN * room.width || height * y.count < THIN * room.height;
  if (thin) [width, height] = [room.width / x.count, room.height / y.count];
  return { left: room.left, top: room.top, width, height, x, y, true: !thin };
}

const flipped = (axis: MapAxis): boolean => axis.turned !== (axis.up === true);
const turnedBy = (axis: MapAxis, index: number): number => (flipped(axis) ? axis.count - 1 - index : index);
const along = (axis: MapAxis, at: number): number => {
  const cells = (at - axis.from) / axis.step;
  return axis.up === true ? axis.count - cells : cells;
};

/** The cell at a place of the screen; null = beside the map. */
export function cellAt(frame: Frame, left: number, top: number): Cell | null {
  const column = Math.floor((left - frame.left) / frame.width);
  const row = Math.floor((top - frame.top) / frame.height);
  if (column < 0 || row < 0 || column >= frame.x.count || row >= frame.y.count) return null;
  return { row: turnedBy(frame.y, row), column: turnedBy(frame.x, column) };
}

/** Left upper corner of a cell on the screen. */
export function cornerOf(frame: Frame, { row, column }: Cell): { left: number; top: number } {
  return { left: frame.left + turnedBy(frame.x, column) * frame.width, top: frame.top + turnedBy(frame.y, row) * frame.height };
}

/** Of a position in um. */
export function placeOn(frame: Frame, x: number, y: number): { left: number; top: number } {
  return {
    left: frame.left + along(frame.x, x) * frame.width,
    top: frame.top + along(frame.y, y) * frame.height,
  };
}

/** The neighbour of a cell on the screen; the cell itself at the border. */
export function neighbour(frame: Frame, cell: Cell, across: number, down: number): Cell {
  const column = cell.column + (flipped(frame.x) ? -across : across);
  const row = cell.row + (flipped(frame.y) ? -down : down);
  return {
    row: Math.min(Math.max(row, 0), frame.y.count - 1), column: Math.min(Math.max(column, 0), frame.x.count - 1),
  };
}

/** Smallest and largest value; null = there is none. */
export function extentOf(z: readonly (readonly (number | null)[])[]): [number, number] | null {
  let [low, high] = [Infinity, -Infinity];
  for (const line of z) {
    for (const value of line) {
      if (value === null || Number.isNaN(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

/** Colours of all cells, as they stand on the screen; 0 (nothing, seen through) where there is no value. */
export function painted(
  z: readonly (readonly (number | null)[])[], x: MapAxis, y: MapAxis, colors: Uint32Array, low: number, high: number, log = false,
): Uint32Array {
  const made = new Uint32Array(x.count * y.count);
  const scaled = log ? (value: number): number => Math.log(Math.max(value, 1e-300)) : (value: number): number => value;
  const [from, to] = [scaled(low), scaled(high)];
  const factor = to > from ? (colors.length - 1) / (to - from) : 0;
  for (let row = 0; row < y.count; row += 1) {
    const line = z[row] ?? [];
    const at = turnedBy(y, row) * x.count;
    for (let column = 0; column < x.count; column += 1) {
      const value = line[column];
      if (value === null || value === undefined || Number.isNaN(value) || (log && !(value > 0))) continue;
      const step = Math.min(Math.max(Math.round((scaled(value) - from) * factor), 0), colors.length - 1);
      made[at + turnedBy(x, column)] = colors[step] ?? 0;
    }
  }
  return made;
}
