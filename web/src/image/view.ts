/** Where on the screen the pixels of an image are. Pure: the canvas holds one of these and makes another at each move.
 *
 * *Shown px* are those of the picture: of the detector, or of the laboratory when panels are drawn as they stand.
 * Screen places are CSS px from the upper left corner of the canvas: x to the right = fast, y downwards = slow. */
import type { Part, Place } from "../store.ts";

export interface Point {
  x: number;
  y: number;
}

/** Between the detector and what is shown. Both are null where there is nothing: in a gap, on no panel. */
export interface Mapping {
  toShown(slow: number, fast: number): Place | null;
  toDetector(slow: number, fast: number): Place | null;
  /** shown px of the beam, where that is known without the detector */
  beam?: Place;
}

/** The detector itself is shown. */
export const SAME: Mapping = {
  toShown: (slow, fast) => ({ slow, fast }),
  toDetector: (slow, fast) => ({ slow, fast }),
};

export const MOST_ZOOM = 128;
const MARGIN = 0.02;

export class View {
  /** CSS px of the canvas */
  readonly width: number;
  readonly height: number;
  /** device px per CSS px */
  readonly ratio: number;
  /** CSS px per shown px */
  readonly zoom: number;
  /** shown px at the upper left corner */
  readonly slow0: number;
  readonly fast0: number;
  /** (slow, fast) shown px of the whole picture */
  readonly shape: readonly [number, number];
  readonly mapping: Mapping;

  constructor(fields: Omit<View, "toScreen" | "fromScreen" | "part" | "with" | "detectorToScreen" | "screenToDetector">) {
    this.width = fields.width;
    this.height = fields.height;
    this.ratio = fields.ratio;
    this.zoom = fields.zoom;
    this.slow0 = fields.slow0;
    this.fast0 = fields.fast0;
    this.shape = fields.shape;
    this.mapping = fields.mapping;
  }

  /** Of shown px. */
  toScreen(slow: number, fast: number): Point {
    return { x: (fast - this.fast0) * this.zoom, y: (slow - this.slow0) * this.zoom };
  }

  /** Shown px of a place on the screen. */
  fromScreen(x: number, y: number): Place {
    return { slow: this.slow0 + y / this.zoom, fast: this.fast0 + x / this.zoom };
  }

  /** Of px of the detector; null where it is not shown. */
  detectorToScreen(slow: number, fast: number): Point | null {
    const place = this.mapping.toShown(slow, fast);
    return place && this.toScreen(place.slow, place.fast);
  }

  /** Px of the detector at a place on the screen; null where there is none. */
  screenToDetector(x: number, y: number): Place | null {
    const place = this.fromScreen(x, y);
    return this.mapping.toDetector(place.slow, place.fast);
  }

  /** What is on the screen, beyond the picture as well. */
  get part(): Part {
    return {
      slow0: this.slow0, slow1: this.slow0 + this.height / this.zoom,
      fast0: this.fast0, fast1: this.fast0 + this.width / this.zoom,
    };
  }

  with(fields: Partial<View>): View {
    return new View({ ...this, ...fields });
  }
}

/** Zoom at which `part` fills the canvas. */
function fitting(view: View, part: Part): number {
  return Math.min(view.width / (part.fast1 - part.fast0), view.height / (part.slow1 - part.slow0));
}

export function whole(shape: readonly [number, number]): Part {
  return { slow0: 0, slow1: shape[0], fast0: 0, fast1: shape[1] };
}

/** The part in the middle of the canvas, as large as fits. */
export function showing(view: View, part: Part): View {
  const zoom = Math.min(Math.max(fitting(view, part), leastZoom(view)), MOST_ZOOM);
  return view.with({
    zoom,
    slow0: (part.slow0 + part.slow1 - view.height / zoom) / 2,
    fast0: (part.fast0 + part.fast1 - view.width / zoom) / 2,
  });
}

/** All of the picture, with a margin round it. */
export function fitted(view: View): View {
  const [rows, columns] = view.shape;
  const slow = MARGIN * rows, fast = MARGIN * columns;
  return showing(view, { slow0: -slow, slow1: rows + slow, fast0: -fast, fast1: columns + fast });
}

function leastZoom(view: View): number {
  return Math.min(fitting(view, whole(view.shape)) / 8, 1);
}

/** Zoomed by `factor`: what is at x, y stays there. */
export function zoomedAt(view: View, factor: number, x: number, y: number): View {
  const zoom = Math.min(Math.max(view.zoom * factor, leastZoom(view)), MOST_ZOOM);
  const at = view.fromScreen(x, y);
  return inSight(view.with({ zoom, slow0: at.slow - y / zoom, fast0: at.fast - x / zoom }));
}

/** Moved by CSS px: the picture goes with the hand. */
export function movedBy(view: View, x: number, y: number): View {
  return inSight(view.with({ slow0: view.slow0 - y / view.zoom, fast0: view.fast0 - x / view.zoom }));
}

/** Of another size: what was in the middle stays there. */
export function resized(view: View, width: number, height: number, ratio: number): View {
  const slow0 = view.slow0 + (view.height - height) / 2 / view.zoom;
  const fast0 = view.fast0 + (view.width - width) / 2 / view.zoom;
  return view.with({ width, height, ratio, slow0, fast0 });
}

/** Whether there is a picture in the middle of the canvas: it was another one, perhaps, that was looked at. */
export function inMiddle({ part, shape }: View): boolean {
  const slow = (part.slow0 + part.slow1) / 2, fast = (part.fast0 + part.fast1) / 2;
  return slow >= 0 && slow <= shape[0] && fast >= 0 && fast <= shape[1];
}

/** The middle of the canvas never leaves the picture, so that it cannot be lost. */
function inSight(view: View): View {
  const clamped = (start: number, length: number, end: number): number => Math.min(Math.max(start, -length / 2), end - length / 2);
  return view.with({
    slow0: clamped(view.slow0, view.height / view.zoom, view.shape[0]),
    fast0: clamped(view.fast0, view.width / view.zoom, view.shape[1]),
  });
}

/** What is asked of the service: a region of whole blocks, and how many blocks that are. */
export interface Asked {
  slow: [number, number];
  fast: [number, number];
  /** shown px along each side of a block */
  factor: number;
  /** blocks (slow, fast) */
  size: [number, number];
}

/** The blocks that are on the screen: not smaller than a device px, and `most` of them in all. Null = nothing is seen. */
export function asked(view: View, most: number): Asked | null {
  const { part, shape } = view;
  const range = (low: number, high: number, end: number, factor: number): [number, number] => [
    Math.max(Math.floor(low / factor) * factor, 0), Math.min(Math.ceil(high / factor) * factor, end),
  ];
  for (let factor = Math.max(Math.ceil(1 / (view.zoom * view.ratio) - 1e-6), 1); ; factor += 1) {
    const slow = range(part.slow0, part.slow1, shape[0], factor);
    const fast = range(part.fast0, part.fast1, shape[1], factor);
    if (slow[0] >= slow[1] || fast[0] >= fast[1]) return null;
    const size: [number, number] = [Math.ceil((slow[1] - slow[0]) / factor), Math.ceil((fast[1] - fast[0]) / factor)];
    if (size[0] * size[1] <= most) return { slow, fast, factor, size };
  }
}
