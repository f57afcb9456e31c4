/** All texts of the page. Each part of the page has a section of its own. */
export const text = {
  shell: {
    title: "crystint",
    token: "Token",
    enter: "Open",
    tokenHelp: "crystint prints it when it starts, as a part of the page's address.",
    wrongToken: "That token is not known.",
    unreachable: "The service does not answer.",
    panels: "Panels",
    layout: "Layout",
    help: "Keys",
    asked: "…",
    yes: "yes",
    no: "no",
  },
  image: {
    title: "Image",
  },
  regions: {
    title: "Regions",
  },
  plots: {
    title: "Plot",
  },
  jobs: {
    title: "Jobs",
  },
  whatif: {
    title: "What if",
  },
  desk: {
    status: "Status",
    log: "Log",
  },
} as const;
