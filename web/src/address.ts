/** The address of what is on the page, after its #: `#series/KEY/image/N?layer=...`. What is as usual is not in it. */
import type { Look, Overlays, Part } from "./store.ts";

export interface Address {
  /** null = the newest of the stream */
  series: string | null;
  /** the image that is held; null = live */
  image: number | null;
  /** with an image that is held: whose series it is, when `series` is null */
  of: string | null;
  look: Look;
  overlays: Overlays;
  rings: readonly number[];
  part: Part | null;
  region: string | null;
  spot: number | null;
  layout: string | null;
}

const LAYERS = ["counts", "background", "significance", "subtracted", "mask"] as const;
const BINS = ["max", "mean", "sum"] as const;
const SCALES = ["linear", "sqrt", "log"] as const;
const FRAMES = ["detector", "laboratory"] as const;
const SUMS = ["sum", "max"] as const;

const round = (value: number): string => String(Math.round(value * 100) / 100);
const text = (value: string): string => encodeURIComponent(value).replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%2F", "/");

/** The text after # for what is shown; `usual` says what need not be in it. */
export function encode(address: Address, usual: Pick<Address, "look" | "overlays">): string {
  const path: string[] = [];
  const series = address.series ?? (address.image === null ? null : address.of);
  if (series !== null) path.push("series", encodeURIComponent(series));
  if (address.image !== null) path.push("image", String(address.image));
  const query: string[] = [];
  const add = (name: string, value: string): number => query.push(`${name}=${text(value)}`);
  if (address.series === null && series !== null) add("newest", "1");
  const { look } = address;
  for (const name of ["layer", "bin", "color", "scale", "frame"] as const) if (look[name] !== usual.look[name]) add(name, look[name]);
  if (look.last !== usual.look.last) add("last", `${look.last}`);
  if (look.of !== usual.look.of) add("of", look.of);
  if (look.invert !== usual.look.invert) add("invert", look.invert ? "1" : "0");
  if (!look.automatic) add("levels", `${Number(look.low.toPrecision(6))}:${Number(look.high.toPrecision(6))}`);
  const { part } = address;
  if (part !== null) add("part", `${round(part.slow0)}:${round(part.slow1)},${round(part.fast0)}:${round(part.fast1)}`);
  const names = Object.keys(usual.overlays) as (keyof Overlays)[];
  if (names.some((name) => address.overlays[name] !== usual.overlays[name])) {
    add("overlays", names.filter((name) => address.overlays[name]).join(",") || "none");
  }
  if (address.rings.length > 0) add("rings", address.rings.map(round).join(","));
  if (address.region !== null) add("roi", address.region);
  if (address.spot !== null) add("spot", `${address.spot}`);
  if (address.layout !== null) add("layout", address.layout);
  return path.join("/") + (query.length > 0 ? `?${query.join("&")}` : "");
}

export interface Decoded {
  address: Address;
  /** parts that were not understood, each as it stands there */
  troubles: string[];
}

/** What an address asks for: what it does not have is as usual. */
export function decode(hash: string, usual: Pick<Address, "look" | "overlays">): Decoded {
  const address: Address = {
    series: null, image: null, of: null, look: { ...usual.look }, overlays: { ...usual.overlays },
    rings: [], part: null, region: null, spot: null, layout: null,
  };
  const troubles: string[] = [];
  const words = hash.replace(/^#/, "");
  const mark = words.indexOf("?");
  const path = (mark < 0 ? words : words.slice(0, mark)).split("/").filter((each) => each !== "");
  for (let at = 0; at < path.length; at += 2) {
    const name = path[at];
    const value = plain(path[at + 1] ?? "");
    if (name === "series" && value !== null && value !== "") address.series = value;
    else if (name === "image" && value !== null && /^\d{1,15}$/.test(value)) address.image = Number(value);
    else troubles.push(path.slice(at, at + 2).join("/"));
  }
  for (const pair of (mark < 0 ? "" : words.slice(mark + 1)).split("&")) {
    if (pair === "") continue;
    const [name, value] = split(pair);
    if (value === null || !take(address, name, value, usual)) troubles.push(pair);
  }
  if (address.image !== null && address.series === null && address.of === null) {
    troubles.push(`image/${address.image}`);
    address.image = null;
  }
  return { address, troubles };
}

/** Set what one part of the query says; false = it cannot be. */
function take(address: Address, name: string, value: string, usual: Pick<Address, "overlays">): boolean {
  const { look } = address;
  const one = <T extends string>(values: readonly T[]): T | undefined => values.find((each) => each === value);
  const set = <K extends keyof Look>(key: K, to: Look[K] | undefined): boolean => {
    if (to === undefined) return false;
    look[key] = to;
    return true;
  };
  switch (name) {
    case "newest":
      if (value !== "1" || address.series === null || address.image === null) return false;
      address.of = address.series;
      address.series = null;
      return true;
    case "layer": return set("layer", one(LAYERS));
    case "bin": return set("bin", one(BINS));
    case "scale": return set("scale", one(SCALES));
    case "frame": return set("frame", one(FRAMES));
    case "of": return set("of", one(SUMS));
    case "color": return set("color", /^[a-z-]{1,24}$/.test(value) ? value : undefined);
    case "last": return set("last", /^[1-9]\d{0,5}$/.test(value) ? Number(value) : undefined);
    case "invert": return set("invert", value === "1" ? true : value === "0" ? false : undefined);
    case "levels": {
      const numbers = numbersOf(value, ":");
      if (numbers === null || numbers.length !== 2) return false;
      [look.low, look.high] = numbers as [number, number];
      look.automatic = false;
      return true;
    }
    case "part": {
      const numbers = numbersOf(value.replace(",", ":"), ":");
      if (numbers === null || numbers.length !== 4) return false;
      const [slow0, slow1, fast0, fast1] = numbers as [number, number, number, number];
      if (slow1 <= slow0 || fast1 <= fast0) return false;
      address.part = { slow0, slow1, fast0, fast1 };
      return true;
    }
    case "overlays": {
      const names = value === "none" ? [] : value.split(",");
      const all = Object.keys(usual.overlays) as (keyof Overlays)[];
      if (names.some((each) => !all.includes(each as keyof Overlays))) return false;
      for (const each of all) address.overlays[each] = names.includes(each);
      return true;
    }
    case "rings": {
      const numbers = numbersOf(value, ",");
      if (numbers === null || numbers.some((each) => each <= 0)) return false;
      address.rings = numbers;
      return true;
    }
    case "roi":
      address.region = value === "" ? null : value;
      return value !== "";
    case "spot":
      if (!/^\d{1,9}$/.test(value)) return false;
      address.spot = Number(value);
      return true;
    case "layout":
      address.layout = value;
      return value !== "";
    default:
      return false;
  }
}

function split(pair: string): [string, string | null] {
  const at = pair.indexOf("=");
  return at < 0 ? [pair, null] : [pair.slice(0, at), plain(pair.slice(at + 1))];
}

/** Without its escapes; null = they are damaged. */
function plain(value: string): string | null {
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}

function numbersOf(value: string, between: string): number[] | null {
  const numbers = value.split(between).map((each) => (each.trim() === "" ? NaN : Number(each)));
  return numbers.every(Number.isFinite) ? numbers : null;
}
