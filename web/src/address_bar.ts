/** The browser's address follows what is shown, and what is shown follows the address: links, F5, back and forward. */
import { decode, encode, type Address } from "./address.ts";
import type { App } from "./app.ts";
import { followAll, type Signal } from "./signal.ts";
import { Store } from "./store.ts";
import { text } from "./text.ts";

const PAUSE = 300;
/** ms: images that follow one another faster are one step of the history */
const STEP = 1500;

export class AddressBar {
  #app: App;
  #layout: Signal<string | null>;
  #usual = (({ look, overlays }) => ({ look: look.value, overlays: overlays.value }))(new Store());
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pushed = -STEP;

  #usualLayout: string;

  constructor(app: App, layout: Signal<string | null>, usualLayout: string) {
    this.#app = app;
    this.#layout = layout;
    this.#usualLayout = usualLayout;
  }

  /** What the address asks for now; parts that were not understood are told. */
  read(): Address {
    const { address, troubles } = decode(location.hash, this.#usual);
    for (const each of troubles) this.#app.tell(text.shell.addressTrouble(each), "warning");
    return address;
  }

  /** Show what the address asks for. */
  show(address: Address): void {
    const { store } = this.#app;
    store.series.value = address.series;
    store.look.value = address.look;
    store.overlays.value = address.overlays;
    store.rings.value = address.rings;
    store.part.value = address.part;
    store.region.value = address.region;
    const series = address.series ?? address.of;
    if (address.image !== null && series !== null) {
      store.mode.value = "hold";
      store.image.value = { series, number: address.image };
    } else {
      store.mode.value = "live";
    }
    store.spot.value = address.spot;
  }

  /** From now on the address has what is shown; `layout` is called when the user goes back to another one. */
  begin(layout: (name: string) => void): void {
    const { store } = this.#app;
    const signals = [store.series, store.mode, store.image, store.look, store.overlays, store.rings, store.part, store.region, store.spot, this.#layout];
    followAll(signals as never, () => {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#write();
      }, PAUSE);
    });
    window.addEventListener("popstate", () => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      const address = this.read();
      this.show(address);
      if (address.layout !== null && address.layout !== this.#layout.value) layout(address.layout);
    });
    window.addEventListener("pagehide", () => this.#write());
    this.#write();
  }

  get now(): Address {
    const { store } = this.#app;
    const image = store.mode.value === "hold" ? store.image.value : null;
    return {
      series: store.series.value, image: image?.number ?? null, of: image?.series ?? null, look: store.look.value,
      overlays: store.overlays.value, rings: store.rings.value, part: store.part.value, region: store.region.value,
      spot: image === null ? null : store.spot.value,
      layout: this.#layout.value === this.#usualLayout ? null : this.#layout.value,
    };
  }

  #write(): void {
    const next = encode(this.now, this.#usual);
    const before = location.hash.replace(/^#/, "");
    if (next === before) return;
    const address = next === "" ? location.pathname + location.search : `#${next}`;
    const place = (hash: string): string => hash.split("?")[0] ?? "";
    const now = performance.now();
    const isStep = place(next) !== place(before) && now - this.#pushed > STEP;
    if (place(next) !== place(before)) this.#pushed = now;
    history[isStep ? "pushState" : "replaceState"](null, "", address);
  }
}
