/** Crops side by side: one view for all, a slider between any two. */
esr.section("gallery", ({ payload }) => {
  if (!payload?.length) return {};
  const { byId, el } = esr;
  // Positions as reports/gallery.py writes them.
  const SCENE = { name: 0, size: 1, region: 2, overview: 3, panels: 4 };
  const PANEL = { model: 0, label: 1, uri: 2, detail: 3, whole: 4, crop: 5, missing: 6 };
  const MAX_ZOOM = 16, STEP = 1.5;
  const state = { scene: 0, zoom: 1, x: 0.5, y: 0.5, meet: 0.5, left: null, right: null, smooth: false };
  const scene = () => payload[state.scene];
  let pictures = [];

  /** Centre (x, y) in shares of the region, kept so that no picture leaves its frame. */
  function view(change) {
    Object.assign(state, change);
    state.zoom = Math.min(MAX_ZOOM, Math.max(1, state.zoom));
    const half = 0.5 / state.zoom, inside = (share) => Math.min(1 - half, Math.max(half, share));
    state.x = inside(state.x);
    state.y = inside(state.y);
    const transform = `scale(${state.zoom}) translate(${(0.5 - state.x) * 100}%, ${(0.5 - state.y) * 100}%)`;
    for (const picture of pictures) { picture.style.transform = transform; picture.classList.toggle("smooth", state.smooth); }
    for (const pane of document.querySelectorAll("#gallery .pane")) pane.dataset.view = `${state.zoom.toFixed(3)} ${state.x.toFixed(4)} ${state.y.toFixed(4)}`;
  }
  function controls(pane) {
    let from = null;
    pane.addEventListener("pointerdown", (event) => { if (event.button === 0) { from = [event.clientX, event.clientY, state.x, state.y]; pane.setPointerCapture(event.pointerId); } });
    pane.addEventListener("pointermove", (event) => {
      if (!from) return;
      const box = pane.getBoundingClientRect();
      view({ x: from[2] - (event.clientX - from[0]) / box.width / state.zoom, y: from[3] - (event.clientY - from[1]) / box.height / state.zoom });
    });
    for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => { from = null; });
    // The wheel alone scrolls the page; with Ctrl (which is what pinching sends) it zooms about the pointer.
    pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = pane.getBoundingClientRect(), zoom = Math.min(MAX_ZOOM, Math.max(1, state.zoom * Math.exp(-event.deltaY / 300)));
      const dx = (event.clientX - box.left) / box.width - 0.5, dy = (event.clientY - box.top) / box.height - 0.5;
      view({ zoom, x: state.x + dx / state.zoom - dx / zoom, y: state.y + dy / state.zoom - dy / zoom });
    }, { passive: false });
    pane.addEventListener("dblclick", () => view({ zoom: state.zoom > 1 ? 1 : 3 }));
    pane.addEventListener("keydown", (event) => {
      const step = 0.1 / state.zoom;
      const change = { ArrowLeft: { x: state.x - step }, ArrowRight: { x: state.x + step }, ArrowUp: { y: state.y - step }, ArrowDown: { y: state.y + step }, "+": { zoom: state.zoom * STEP }, "=": { zoom: state.zoom * STEP }, "-": { zoom: state.zoom / STEP }, 0: { zoom: 1 } }[event.key];
      if (!change || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      view(change);
    });
    return pane;
  }
  function picture(panel) {
    const node = el("img", { src: panel[PANEL.uri], alt: panel[PANEL.label], draggable: "false" });
    pictures.push(node);
    return node;
  }
  const scores = (values) => (values ? `${values[0]} / ${values[1]}` : "");
  function figure(panel) {
    const [, , high, wide] = scene()[SCENE.region];
    const pane = el("div", { class: "pane", style: `aspect-ratio:${wide} / ${high}`, tabindex: "0", role: "group", "aria-label": panel[PANEL.label] });
    if (!panel[PANEL.uri]) {
      pane.classList.add("missing");
      pane.append(el("p", {}, panel[PANEL.missing] || "There is no picture."));
      return el("figure", {}, pane, el("figcaption", {}, el("strong", {}, panel[PANEL.label]), el("span", {}, "not here")));
    }
    pane.append(picture(panel));
    const told = panel[PANEL.whole]
      ? [el("span", { title: "Whole image: PSNR-Y in dB / SSIM-Y" }, scores(panel[PANEL.whole]), el("small", {}, " image")), el("span", { title: "This region alone: PSNR-Y in dB / SSIM-Y" }, scores(panel[PANEL.crop]), el("small", {}, " region"))]
      : [el("span", { class: "dim" }, "original")];
    if (panel[PANEL.detail]) told.push(el("small", { class: "dim" }, panel[PANEL.detail]));
    return el("figure", {}, controls(pane), el("figcaption", {}, el("strong", {}, panel[PANEL.label]), ...told));
  }
  function pair() {
    const [, , high, wide] = scene()[SCENE.region];
    const shown = scene()[SCENE.panels].filter((panel) => panel[PANEL.uri]);
    const by = (model, otherwise) => shown.find((panel) => panel[PANEL.model] === model) ?? otherwise;
    const learned = shown.filter((panel) => !["", "bicubic"].includes(panel[PANEL.model]));
    const left = by(state.left, by("bicubic", shown[0])), right = by(state.right, learned.at(-1) ?? shown[0]);
    [state.left, state.right] = [left[PANEL.model], right[PANEL.model]];
    for (const [id, chosen] of [["gallery-left", left], ["gallery-right", right]]) {
      byId(id).replaceChildren(...shown.map((panel) => el("option", { value: panel[PANEL.model], selected: panel === chosen }, panel[PANEL.label])));
    }
    const pane = byId("gallery-pair");
    pictures = pictures.filter((node) => node.isConnected && !pane.contains(node));
    pane.style.aspectRatio = `${wide} / ${high}`;
    pane.replaceChildren(
      el("div", { class: "layer" }, picture(left)), el("div", { class: "layer", id: "gallery-after" }, picture(right)),
      el("div", { class: "seam", id: "gallery-seam" }), el("span", { class: "tag" }, left[PANEL.label]), el("span", { class: "tag right" }, right[PANEL.label]));
    const line = (panel) => (panel[PANEL.whole] ? `${panel[PANEL.label]} ${scores(panel[PANEL.whole])} (image), ${scores(panel[PANEL.crop])} (region)` : panel[PANEL.label]);
    byId("gallery-compared").textContent = `${line(left)} · ${line(right)}`;
    meet(state.meet);
    view({});
  }
  function meet(share) {
    state.meet = share;
    byId("gallery-after").style.clipPath = `inset(0 0 0 ${share * 100}%)`;
    byId("gallery-seam").style.left = `${share * 100}%`;
    byId("gallery-slider").value = String(Math.round(share * 1000));
  }
  function open(index) {
    const [name, size, region, overview, panels] = payload[index];
    Object.assign(state, { scene: index, zoom: 1, x: 0.5, y: 0.5 });
    for (const [i, button] of [...byId("gallery-images").children].entries()) button.setAttribute("aria-pressed", String(i === index));
    const [top, left, high, wide] = region;
    const share = (part, of) => `${(part / of) * 100}%`;
    byId("gallery-overview").replaceChildren(el("img", { src: overview, alt: `${name}, whole` }),
      el("span", { class: "region", style: `left:${share(left, size[1])};top:${share(top, size[0])};width:${share(wide, size[1])};height:${share(high, size[0])}` }));
    byId("gallery-where").textContent = `${name}, ${size[1]}×${size[0]}; region ${wide}×${high} from ${left} right, ${top} down`;
    pictures = [];
    byId("gallery-panes").replaceChildren(...panels.map(figure));
    pair();
  }
  for (const [index, entry] of payload.entries()) {
    const button = el("button", { type: "button" }, entry[SCENE.name]);
    button.addEventListener("click", () => open(index));
    byId("gallery-images").append(button);
  }
  byId("gallery-in").addEventListener("click", () => view({ zoom: state.zoom * STEP }));
  byId("gallery-out").addEventListener("click", () => view({ zoom: state.zoom / STEP }));
  byId("gallery-reset").addEventListener("click", () => view({ zoom: 1 }));
  byId("gallery-smooth").addEventListener("change", (event) => view({ smooth: event.target.checked }));
  byId("gallery-slider").addEventListener("input", (event) => meet(Number(event.target.value) / 1000));
  byId("gallery-left").addEventListener("change", (event) => { state.left = event.target.value; pair(); });
  byId("gallery-right").addEventListener("change", (event) => { state.right = event.target.value; pair(); });
  controls(byId("gallery-pair"));
  open(0);
  return {};
});
