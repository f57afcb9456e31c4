/** The panel of the image: canvas, bars, and all that lies over it. */
import type { App } from "../app.ts";
import { element, mark, tell } from "../dom.ts";
import type { Panel } from "../panels.ts";
import { change, followAll } from "../signal.ts";
import { text } from "../text.ts";
import { ImageCanvas, imageCanvas } from "./canvas.ts";
import { ContrastBar } from "./contrast_bar.ts";
import { LAYERS, looks, navigation, totalOf } from "./controls.ts";
import { Cursor } from "./cursor.ts";
import { Flow } from "./flow.ts";
import { Legend } from "./legend.ts";
import { Painter } from "./painter.ts";
import { Pictures } from "./pictures.ts";
import { RingLayer, ShownGeometry } from "./rings.ts";
import { SpotLayer } from "./spots.ts";
import { told } from "./status.ts";
import { ValueLayer } from "./values.ts";

const STEP = 60;

export function imagePanel(container: HTMLElement, app: App): Panel {
  const { store } = app;
  const stops: (() => void)[] = [];
  const canvas = new ImageCanvas(text.image.canvas);
  const painter = new Painter(app.api.base);
  const pictures = new Pictures(canvas, painter);
  const geometry = new ShownGeometry(app);
  const rings = new RingLayer(app, canvas, geometry);
  const spots = new SpotLayer(app, canvas, () => {
    // over the desk, so that the image stays where it is
    app.panels.open("spot", {}, { floating: { width: 410, height: 460, position: { top: 90, right: 20 } } });
    canvas.element.focus({ preventScroll: true });
  });
  const legend = new Legend(app, pictures);
  const contrast = new ContrastBar(store, canvas, pictures, painter);
  const cursor = new Cursor(app, canvas, pictures, geometry);
  const flow = new Flow(app, canvas, pictures, geometry);
  const values = new ValueLayer(store, canvas, pictures, () => flow.paint);
  const { bar, number } = navigation(app, flow, stops);
  const badge = element("span", { class: "badge" });
  const details = element("span", { class: "image-details" });
  const status = element("span", { class: "bar image-status", role: "status" }, badge, details);
  container.append(
    element("div", { class: "toolbar image-bar" }, bar),
    element("div", { class: "toolbar image-bar" }, looks(app, canvas, pictures, contrast, cursor, stops)),
    element("div", { class: "image-stage" }, canvas.element, status, legend.element),
  );
  app.frame.readout.replaceChildren(cursor.element);

  const say = (): void => {
    const head = pictures.shown.value?.head;
    const made = told({
      mode: store.mode.value, source: store.session.value.source, line: app.live.state.value, status: store.status.value,
      image: store.image.value, flow: flow.state.value, hit: store.about.value?.row?.hit === undefined ? null : store.about.value.row.hit === 1, now: Date.now(),
    });
    tell(badge, made.badge);
    mark(badge, "class", `badge ${made.tone}`);
    const words = text.image.status;
    const picture: string[] = [];
    if (head !== undefined && head.factor > 1) picture.push(words.blocks(head.factor));
    if ((head?.last ?? 1) > 1) picture.push(head?.of === "max" ? words.max(head.images?.length ?? 0) : words.sum(head?.images?.length ?? 0));
    tell(details, [...made.details, ...picture].join(" · "));
  };
  stops.push(followAll([store.mode, store.session, app.live.state, store.status, store.image, flow.state, store.about, pictures.shown] as never, say, true));
  const clock = setInterval(say, 1000);
  canvas.caption = () => {
    const head = pictures.shown.value?.head, image = store.image.value;
    if (head === undefined || image === null) return [];
    const total = totalOf(app), now = pictures.shown.value?.contrast;
    const name = `${image.series} · ${text.image.title.toLowerCase()} ${image.number}${total === null ? "" : ` ${text.image.of(total)}`}`;
    const colors = now === undefined ? "" : `${text.image.layers[head.layer]} ${now.low} – ${now.high}`;
    return [name, [colors, ...legend.words, details.textContent ?? ""].filter((each) => each !== "").join(" · ")];
  };
  for (const [id, action] of Object.entries(actions(app, canvas, flow, cursor, number, pictures, contrast))) stops.push(app.keys.on(id, action));
  stops.push(...part(app, canvas));
  imageCanvas.value = canvas;
  return {
    dispose() {
      imageCanvas.value = null;
      clearInterval(clock);
      for (const stop of stops) stop();
      for (const each of [flow, values, cursor, contrast, legend, spots, rings, pictures, painter, canvas]) each.dispose();
    },
    resize: () => canvas.resize(),
  };
}

/** What is on the screen goes into the store, and a part that somebody sets there is shown. */
function part(app: App, canvas: ImageCanvas): (() => void)[] {
  const { store } = app;
  let own = false;
  const tell = (): void => {
    if (!canvas.ready) return;
    own = true;
    store.part.value = canvas.fits.value ? null : canvas.view.value.part;
    own = false;
  };
  const show = (): void => {
    if (own) return;
    if (store.part.value === null) canvas.fit();
    else canvas.show(store.part.value);
  };
  if (store.part.value !== null) show();
  return [canvas.view.follow(tell), canvas.fits.follow(tell), store.part.follow(show)];
}

function actions(app: App, canvas: ImageCanvas, flow: Flow, cursor: Cursor, number: HTMLInputElement, pictures: Pictures, contrast: ContrastBar): Record<string, () => void> {
  const { store } = app;
  const arrow = (fast: number, slow: number, far: boolean) => (): void => {
    if (cursor.crossed.value) cursor.move(far ? 10 * slow : slow, far ? 10 * fast : fast);
    else canvas.panBy(-fast * STEP * (far ? 10 : 1), -slow * STEP * (far ? 10 : 1));
  };
  const wider = (factor: number) => (): void => {
    const now = pictures.shown.value?.contrast;
    if (now !== undefined) contrast.set({ low: now.low, high: now.low + (now.high - now.low) * factor });
  };
  const overlay = (name: "spots" | "rings") => (): void => change(store.overlays, { [name]: !store.overlays.value[name] });
  return {
    "image.toggle": () => flow.toggle(),
    "image.live": () => flow.live(),
    "image.previous": () => void flow.step(-1),
    "image.next": () => void flow.step(1),
    "image.previousHit": () => void flow.hit("previous"),
    "image.nextHit": () => void flow.hit("next"),
    "image.first": () => void flow.step(-Infinity),
    "image.last": () => void flow.step(Infinity),
    "image.number": () => {
      number.focus();
      number.select();
    },
    "image.zoomIn": () => canvas.zoomBy(1.5),
    "image.zoomOut": () => canvas.zoomBy(1 / 1.5),
    "image.fit": () => canvas.fit(),
    "image.one": () => canvas.zoomTo(1 / canvas.view.value.ratio),
    "image.left": arrow(-1, 0, false),
    "image.right": arrow(1, 0, false),
    "image.up": arrow(0, -1, false),
    "image.down": arrow(0, 1, false),
    "image.farLeft": arrow(-1, 0, true),
    "image.farRight": arrow(1, 0, true),
    "image.farUp": arrow(0, -1, true),
    "image.farDown": arrow(0, 1, true),
    "image.cross": () => cursor.cross(),
    "image.measure": () => cursor.measure(),
    "image.auto": () => change(store.look, { automatic: !store.look.value.automatic, ...pictures.shown.value?.contrast }),
    "image.brighter": wider(1.25),
    "image.darker": wider(0.8),
    "image.invert": () => change(store.look, { invert: !store.look.value.invert }),
    "image.spots": overlay("spots"),
    "image.rings": overlay("rings"),
    "image.layer": () => change(store.look, { layer: LAYERS[(LAYERS.indexOf(store.look.value.layer) + 1) % LAYERS.length]! }),
  };
}
