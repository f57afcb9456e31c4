/** Draws regions over the image. */
import type { Geometry } from "../image/geometry.ts";
import { SAME, type Point, type View } from "../image/view.ts";
import type { Place } from "../store.ts";
import { colorOf, hidden } from "./looks.ts";
import type { Region, Regions } from "./region.ts";
import { place, type Handle, type Outline } from "./shape.ts";
import { handles, outline, type Drawn } from "./shapes.ts";

/** px of the detector: steps at which panels are looked for where they are drawn as they stand */
const STEP = 4;
const HALO = "rgba(255, 255, 255, 0.75)";
const LABEL_INK = "#ffffff";

const made = new WeakMap<Region, { geometry: Geometry | null; drawn: Drawn }>();

/** Outline and handles of a region, made once for a geometry. */
export function drawnOf(region: Region, geometry: Geometry | null): Drawn {
  const before = made.get(region);
  if (before !== undefined && before.geometry === geometry) return before.drawn;
  const drawn = { region, outline: outline(region, geometry), handles: handles(region, geometry) };
  made.set(region, { geometry, drawn });
  return drawn;
}

/** Lines on the screen, broken where the detector has a gap. */
function onScreen(line: readonly Place[], view: View): Point[][] {
  if (view.mapping === SAME) return [line.map(({ slow, fast }) => view.toScreen(slow, fast))];
  const lines: Point[][] = [];
  let points: Point[] = [];
  let before: Point | null = null;
  const add = (at: Place): void => {
    const now = view.detectorToScreen(at.slow, at.fast);
    const jumps = now !== null && before !== null && Math.hypot(now.x - before.x, now.y - before.y) > 3 * STEP * view.zoom + 2;
    if ((now === null || jumps) && points.length > 0) {
      lines.push(points);
      points = [];
    }
    if (now !== null) points.push(now);
    before = now;
  };
  for (const [n, at] of line.entries()) {
    const last = line[n - 1];
    if (last !== undefined) {
      const steps = Math.min(Math.ceil(Math.hypot(at.slow - last.slow, at.fast - last.fast) / STEP), 5000);
      for (let step = 1; step < steps; step += 1) {
        const t = step / steps;
        add(place(last.slow + t * (at.slow - last.slow), last.fast + t * (at.fast - last.fast)));
      }
    }
    add(at);
  }
  if (points.length > 0) lines.push(points);
  return lines;
}

function pathOf(lines: readonly (readonly Place[])[], view: View): Path2D {
  const path = new Path2D();
  for (const points of lines.flatMap((line) => onScreen(line, view))) {
    for (const [n, { x, y }] of points.entries()) {
      if (n === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
  }
  return path;
}

function areaOf(areas: Outline["areas"], view: View): Path2D {
  const path = new Path2D();
  for (const area of areas) {
    const points = area.map(({ slow, fast }) => view.detectorToScreen(slow, fast));
    if (points.includes(null)) continue;
    for (const [n, point] of (points as Point[]).entries()) {
      if (n === 0) path.moveTo(point.x, point.y);
      else path.lineTo(point.x, point.y);
    }
    path.closePath();
  }
  return path;
}

/** The uppermost place of an outline on the screen, where its name stands. */
function labelPlace({ lines, areas }: Outline, view: View): Point | null {
  let best: Point | null = null;
  for (const { slow, fast } of (lines.length > 0 ? lines : areas).flat()) {
    const point = view.detectorToScreen(slow, fast);
    if (point === null || point.x < 0 || point.x > view.width || point.y < 0 || point.y > view.height) continue;
    if (best === null || point.y < best.y - 0.5 || (point.y < best.y + 0.5 && point.x < best.x)) best = point;
  }
  return best;
}

interface Manner {
  color: string;
  selected: boolean;
  dashed: boolean;
  name: string | null;
}

function drawOne(context: CanvasRenderingContext2D, view: View, { outline: border, handles: holds }: Drawn, manner: Manner): void {
  const line = pathOf(border.lines, view);
  context.lineJoin = "round";
  context.setLineDash(manner.dashed ? [6, 4] : []);
  context.globalAlpha = manner.selected ? 0.16 : 0.08;
  context.fillStyle = manner.color;
  if (border.areas.length > 0) context.fill(areaOf(border.areas, view), "evenodd");
  context.globalAlpha = 1;
  context.strokeStyle = HALO;
  context.lineWidth = manner.selected ? 4.5 : 3.5;
  context.stroke(line);
  context.strokeStyle = manner.color;
  context.lineWidth = manner.selected ? 2.25 : 1.5;
  context.stroke(line);
  context.setLineDash([]);
  if (manner.name !== null) drawName(context, view, border, manner);
  if (manner.selected) for (const handle of holds) drawHandle(context, view, handle, manner.color);
}

function drawName(context: CanvasRenderingContext2D, view: View, border: Outline, { color, name, selected }: Manner): void {
  const at = labelPlace(border, view);
  if (at === null || name === null) return;
  context.font = `${selected ? "600 " : ""}11px system-ui, sans-serif`;
  const width = context.measureText(name).width + 8;
  const x = Math.min(Math.max(at.x - (selected ? 0 : 1), 0), Math.max(view.width - width, 0));
  const y = Math.max(at.y - (selected ? 24 : 18), 0);
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(x, y, width, 15, 3);
  context.fill();
  context.fillStyle = LABEL_INK;
  context.textBaseline = "middle";
  context.fillText(name, x + 4, y + 8);
}

function drawHandle(context: CanvasRenderingContext2D, view: View, handle: Handle, color: string): void {
  const at = view.detectorToScreen(handle.at.slow, handle.at.fast);
  if (at === null) return;
  context.beginPath();
  if (handle.adds === true) context.arc(at.x, at.y, 3, 0, 2 * Math.PI);
  else context.rect(at.x - 3.5, at.y - 3.5, 7, 7);
  context.fillStyle = "#ffffff";
  context.globalAlpha = handle.adds === true ? 0.8 : 1;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = color;
  context.lineWidth = 1.5;
  context.stroke();
}

/** Words beside the pointer while something is drawn or dragged. */
export function drawWords(context: CanvasRenderingContext2D, view: View, words: string, at: Point): void {
  context.font = "12px system-ui, sans-serif";
  const width = context.measureText(words).width + 12;
  const x = Math.min(Math.max(at.x + 14, 0), Math.max(view.width - width, 0));
  const y = at.y + 40 > view.height ? at.y - 34 : at.y + 16;
  context.fillStyle = "rgba(20, 24, 32, 0.85)";
  context.beginPath();
  context.roundRect(x, y, width, 20, 4);
  context.fill();
  context.fillStyle = LABEL_INK;
  context.textBaseline = "middle";
  context.fillText(words, x + 6, y + 10.5);
}

export interface Scene {
  regions: Regions;
  /** what is dragged, in place of the region of its name, or besides them */
  draft: Region | null;
  /** what could not be put: drawn dashed */
  ghosts: Regions;
  selected: string | null;
  geometry: Geometry | null;
  editable: boolean;
  names: boolean;
}

export function drawScene(context: CanvasRenderingContext2D, view: View, scene: Scene): void {
  const color = (region: Region): string => colorOf(scene.regions, region);
  for (const ghost of scene.ghosts) {
    drawOne(context, view, drawnOf(ghost, scene.geometry), { color: color(ghost), selected: false, dashed: true, name: null });
  }
  const all = scene.regions.filter((region) => region.name !== scene.draft?.name && !hidden.value.has(region.name));
  if (scene.draft !== null) all.push(scene.draft);
  // the selected one lies over the others
  all.sort((a, b) => Number(a.name === scene.selected) - Number(b.name === scene.selected));
  for (const region of all) {
    const drawn = drawnOf(region, scene.geometry);
    const selected = region.name === scene.selected;
    const manner = { color: color(region), selected, dashed: false, name: scene.names ? region.name : null };
    drawOne(context, view, scene.editable ? drawn : { ...drawn, handles: [] }, manner);
  }
}
