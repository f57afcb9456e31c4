// What a page of another origin tries; each try tells what came of it.
async (target) => {
  const told = {};
  const tries = (name, work) => Promise.race([
    work().then((value) => (told[name] = value), (error) => (told[name] = "refused")),
    new Promise((resolve) => setTimeout(() => { told[name] ??= "nothing came"; resolve(); }, 2500)),
  ]);
  const get = (more) => fetch(target + "/api/v1/status", more).then(async (answer) => answer.type === "opaque" ? "opaque" : await answer.text());
  await tries("fetch", () => get({ credentials: "include" }));
  await tries("fetch without CORS", () => get({ credentials: "include", mode: "no-cors" }));
  await tries("post", () => fetch(target + "/api/v1/abort", { method: "POST", mode: "no-cors", credentials: "include" }).then((answer) => answer.type));
  await tries("note", () => fetch(target + "/api/v1/notes", {
    method: "POST", mode: "no-cors", credentials: "include", headers: { "Content-Type": "text/plain" }, body: JSON.stringify({ text: "hostile" }),
  }).then((answer) => answer.type));
  await tries("put", () => fetch(target + "/api/v1/rois", {
    method: "PUT", credentials: "include", headers: { "Content-Type": "application/json" }, body: '{"rois": []}',
  }).then((answer) => answer.text()));
  await tries("beacon", async () => String(navigator.sendBeacon(target + "/api/v1/abort", "x")));
  await tries("events", () => new Promise((resolve, reject) => {
    const source = new EventSource(target + "/api/v1/events", { withCredentials: true });
    source.onmessage = source.onopen = () => { source.close(); resolve("open"); };
    source.onerror = () => { source.close(); reject(); };
  }));
  await tries("socket", () => new Promise((resolve, reject) => {
    const socket = new WebSocket(target.replace("http", "ws") + "/api/v1/live");
    socket.onopen = () => resolve("open");
    socket.onerror = () => reject();
  }));
  await tries("image", () => new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve("seen");
    image.onerror = () => reject();
    image.src = target + "/api/v1/images/-1?width=10";
  }));
  await tries("script", () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.onload = () => resolve("run");
    script.onerror = () => reject();
    script.src = target + "/api/v1/status";
    document.head.append(script);
  }));
  await tries("frame", () => new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.onload = () => {
      try { resolve(frame.contentDocument === null ? "kept away" : frame.contentDocument.body.innerText); } catch { resolve("kept away"); }
    };
    frame.src = target + "/";
    document.body.append(frame);
  }));
  await tries("window", async () => {
    const other = window.open(target + "/");
    await new Promise((resolve) => setTimeout(resolve, 800));
    try { return other === null || other.closed ? "closed" : String(other.document.title); } catch { return "kept away"; }
  });
  return told;
}
