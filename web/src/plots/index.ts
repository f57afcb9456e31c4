/** Plots, maps and tables. */
import type { App } from "../app.ts";
import { text } from "../text.ts";
import { DistributionsPanel } from "./distributions.ts";
import { HistogramPanel } from "./histogram.ts";
import { ImagesPanel } from "./images.ts";
import { registerKeys } from "./keyboard.ts";
import { titleOf } from "./kinds.ts";
import { MapPanel } from "./map.ts";
import { PlotPanel } from "./plot.ts";
import { ProfilePanel } from "./profile.ts";
import { SpotsPanel } from "./spots.ts";
import { StripPanel } from "./strip.ts";

export function register(app: App): void {
  registerKeys(app);
  const { panels } = app;
  panels.register({
    id: "plot", title: text.plots.title, many: true, titleOf: (params) => titleOf("plot", params, text.plots.title),
    make: (container, own, params) => new PlotPanel(container, own, params),
  });
  panels.register({
    id: "map", title: text.plots.map, many: true, titleOf: (params) => titleOf("map", params, text.plots.map),
    make: (container, own, params) => new MapPanel(container, own, params),
  });
  panels.register({ id: "strip", title: text.plots.strip, make: (container, own, params) => new StripPanel(container, own, params) });
  panels.register({ id: "spots", title: text.plots.spots, make: (container, own, params) => new SpotsPanel(container, own, params) });
  panels.register({ id: "images", title: text.plots.images, make: (container, own, params) => new ImagesPanel(container, own, params) });
  panels.register({ id: "profile", title: text.plots.profile, make: (container, own, params) => new ProfilePanel(container, own, params) });
  panels.register({ id: "histogram", title: text.plots.histogram, make: (container, own, params) => new HistogramPanel(container, own, params) });
  panels.register({
    id: "distributions", title: text.plots.distributions, many: true, make: (container, own, params) => new DistributionsPanel(container, own, params),
  });
}
