/** Any quantity against any other: measured points filled, printed ones hollow diamonds, the Pareto front of the choice. */
esr.section("figures", ({ payload }) => {
  const { data, Grid, RUN, byId, el, selection, text } = esr;
  const { plain, shortened, shown, colours, layout, config, lazily, show, hide, facts, choices, coarse } = esrPlots;
  // Positions in the arrays of the data; reports/interactive.py writes them in this order.
  const ROW = { model: 0, name: 1, flags: 2, measured: 3, printed: 4 }, ABLATION = 1, TRAINED_HERE = 2;
  const NAMED = 40, AREA_PX2_PER_K = 0.8, PLAIN_PX = 10, FONT_PX = 11;

  const place = byId("scatter");
  const views = payload.filter((view) => view.rows.length);
  if (!views.length) { place.textContent = "No network has a number yet."; return; }
  const state = { scale: views[0].scale, x: "multi_adds", y: null, logX: false, logY: false, printed: false, area: true, front: true, names: "front", ablations: false };
  const viewAt = (scale) => views.find((view) => view.scale === scale);

  /** [axis, value, ...] of a row as a map from axis to its four fields. */
  function byAxis(flat) {
    const found = new Map();
    for (let i = 0; i < flat.length; i += 4) found.set(flat[i], { value: flat[i + 1], source: flat[i + 2], extra: flat[i + 3] });
    return found;
  }
  for (const view of views) view.points = view.rows.map((row) => ({ model: row[ROW.model], name: row[ROW.name], ablation: Boolean(row[ROW.flags] & ABLATION), trainedHere: Boolean(row[ROW.flags] & TRAINED_HERE), measured: byAxis(row[ROW.measured]), printed: byAxis(row[ROW.printed]) }));

  function counts(view, kind) {
    const found = new Map();
    for (const point of view.points) if (!point.ablation) for (const axis of point[kind].keys()) found.set(axis, (found.get(axis) ?? 0) + 1);
    return found;
  }
  /** The PSNR that most networks have, B100 among equals: the paper's Fig. 1. */
  function usualY(view) {
    const measured = counts(view, "measured"), printed = counts(view, "printed");
    const order = view.axes.map((axis, index) => ({ axis, index })).filter(({ axis }) => axis.metric === "psnr_y_db")
      .sort((a, b) => (measured.get(b.index) ?? 0) - (measured.get(a.index) ?? 0) || (b.axis.group === "B100") - (a.axis.group === "B100") || (printed.get(b.index) ?? 0) - (printed.get(a.index) ?? 0));
    return order[0]?.axis.key ?? view.axes.at(-1).key;
  }
  function menus() {
    const view = viewAt(state.scale);
    const options = view.axes.map((axis) => ({ value: axis.key, label: axis.unit ? `${axis.label} [${axis.unit}]` : axis.label, group: axis.group, about: axis.about }));
    state.x = choices(byId("plot-x"), options, state.x);
    state.y = choices(byId("plot-y"), options, view.axes.some((axis) => axis.key === state.y) ? state.y : usualY(view));
    for (const button of byId("plot-scales").children) button.setAttribute("aria-pressed", String(button.dataset.value === String(state.scale)));
  }

  /** Points that no other beats on both axes, from the best x on; equal ones stand together. */
  function frontOf(points, x, y) {
    const better = (a, b, axis) => (axis.higher ? b - a : a - b);
    // Interpolation has no parameters and is no network: it would be on every front of cost.
    const order = points.filter((point) => point.params !== 0).sort((a, b) => better(a.x, b.x, x) || better(a.y, b.y, y));
    const front = [];
    for (const point of order) if (!front.length || better(point.y, front.at(-1).y, y) < 0) front.push(point);
    return front;
  }
  function drawable(view, kind, x, y) {
    const found = [];
    let noLog = 0;
    const params = view.axes.findIndex((axis) => axis.key === "params");
    for (const point of view.points) {
      const atX = point[kind].get(x), atY = point[kind].get(y);
      if (!atX || !atY || (point.ablation && !state.ablations)) continue;
      if ((state.logX && atX.value <= 0) || (state.logY && atY.value <= 0)) { noLog += 1; continue; }
      found.push({ point, kind, x: atX.value, y: atY.value, at: [atX, atY], params: point[kind].get(params)?.value ?? null });
    }
    return { found, noLog };
  }
  const diameter = (entry) => (!state.area || entry.params === null ? PLAIN_PX : Math.max(5, 2 * Math.sqrt((AREA_PX2_PER_K * entry.params) / Math.PI)));
  const emphasised = (entry) => !selection.models.size || selection.models.has(entry.point.model);

  function markers(entries, marker, places) {
    const all = entries.every(emphasised);
    return {
      type: "scatter", mode: entries.some((e) => places.has(e)) ? "markers+text" : "markers", x: entries.map((e) => e.x), y: entries.map((e) => e.y), entries, hoverinfo: "none", cliponaxis: true,
      text: entries.map((e) => (places.has(e) ? plain(shortened(e.point.name)) : "")), textposition: entries.map((e) => places.get(e) ?? "top center"), textfont: { size: FONT_PX },
      marker: { size: entries.map(diameter), ...marker }, selectedpoints: all ? null : entries.flatMap((e, i) => (emphasised(e) ? [i] : [])),
      selected: { marker: { opacity: 0.85 } }, unselected: { marker: { opacity: 0.12 }, textfont: { color: "rgba(0,0,0,0)" } },
    };
  }
  const line = (entries, style) => ({ type: "scatter", mode: "lines", x: entries.map((e) => e.x), y: entries.map((e) => e.y), line: style, hoverinfo: "skip", entries: [] });

  /** Which points carry their name: chosen ones, then the front or all, as far as a reader can take. */
  function namedOf(entries, front) {
    const chosen = entries.filter((e) => selection.models.has(e.point.model));
    const wanted = { all: [...front, ...entries], front: [...chosen, ...front], none: chosen }[state.names];
    return [...new Set(wanted)].slice(0, NAMED);
  }
  const SIDES = [["middle right", 1, 0], ["middle left", -1, 0], ["top center", 0, -1], ["bottom center", 0, 1], ["top right", 1, -1], ["bottom right", 1, 1], ["top left", -1, -1], ["bottom left", -1, 1]];
  /** The side of its disc on which each name covers neither another name nor, where that can be, a disc; else no name. */
  function placed(wanted, all, [rangeX, rangeY]) {
    const { width, height } = place._fullLayout?._size ? { width: place._fullLayout._size.w, height: place._fullLayout._size.h } : { width: place.clientWidth - 90, height: place.clientHeight - 90 };
    const pixel = (value, log, range, length) => (((log ? Math.log10(value) : value) - range[0]) / (range[1] - range[0])) * length;
    const at = (e) => [pixel(e.x, state.logX, rangeX, width), height - pixel(e.y, state.logY, rangeY, height)];
    const box = (x, y, half, tall) => [x - half, y - tall, x + half, y + tall];
    const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
    const discs = all.length > 1000 ? [] : all.map((e) => box(...at(e), diameter(e) / 2, diameter(e) / 2));
    const names = [], sides = new Map();
    for (const entry of wanted) {
      const [x, y] = at(entry), radius = diameter(entry) / 2, half = ([...shortened(entry.point.name)].length * FONT_PX * 0.56) / 2 + 2, tall = FONT_PX * 0.62;
      let best = null;
      for (const [side, dx, dy] of SIDES) {
        const shift = dy ? radius + tall : 0, across = dx && dy ? radius * 0.7 + half : radius + half;
        const own = box(x + dx * across, y + dy * shift, half, tall);
        const covers = discs.filter((disc) => meet(disc, own)).length + (own[0] < 0 || own[2] > width || own[1] < 0 || own[3] > height ? 20 : 0);
        if (!names.some((name) => meet(name, own)) && (!best || covers < best.covers)) best = { side, own, covers };
      }
      if (best && best.covers < 20) { names.push(best.own); sides.set(entry, best.side); }
    }
    return sides;
  }
  /** Range of the authors' networks: interpolation and weights of this suite, far below, would press them together. */
  function rangeOf(entries, side, log) {
    const official = entries.filter((e) => e.params !== 0 && !e.point.trainedHere);
    const values = (official.length ? official : entries).map((e) => (log ? Math.log10(e[side]) : e[side]));
    if (!values.length) return null;
    let low = Infinity, high = -Infinity;
    for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
    const room = (high - low || Math.abs(high) || 1) * 0.09;
    return [low - room, high + room];
  }

  const outside = (entries, [rangeX, rangeY]) => entries.filter((e) => [[e.x, state.logX, rangeX], [e.y, state.logY, rangeY]].some(([value, log, range]) => {
    const at = log ? Math.log10(value) : value;
    return at < range[0] || at > range[1];
  }));

  // plotly would keep its own idea of what is selected from one drawing to the next; the page's counts.
  let current = [], draws = 0, drawing = false;
  function compose() {
    const view = viewAt(state.scale), c = colours();
    const xIndex = view.axes.findIndex((axis) => axis.key === state.x), yIndex = view.axes.findIndex((axis) => axis.key === state.y);
    const x = view.axes[xIndex], y = view.axes[yIndex];
    const measured = drawable(view, "measured", xIndex, yIndex);
    const printed = state.printed ? drawable(view, "printed", xIndex, yIndex) : { found: [], noLog: 0 };
    const front = frontOf(measured.found, x, y), printedFront = frontOf(printed.found, x, y);
    const onFront = new Set(state.front ? front : []);
    const all = [...measured.found, ...printed.found];
    const ranges = [rangeOf(all, "x", state.logX), rangeOf(all, "y", state.logY)];
    const named = placed([...namedOf(measured.found, front), ...namedOf(printed.found, printedFront)], all, ranges);
    const traces = [
      ...(state.front ? [line(front, { color: c.accent, width: 1.5 }), line(printedFront, { color: c.muted, width: 1, dash: "dot" })] : []),
      markers(measured.found.filter((e) => !onFront.has(e)), { color: c.muted, opacity: 0.5, line: { color: c.muted, width: 1 } }, named),
      markers(measured.found.filter((e) => onFront.has(e)), { color: c.accent, opacity: 0.6, line: { color: c.accent, width: 1 } }, named),
      markers(printed.found, { symbol: "diamond-open", color: c.warn, opacity: 0.9, line: { color: c.warn, width: 1.3 } }, named),
    ];
    traces.at(-1).textfont = { size: FONT_PX, color: c.warn };
    return { view, x, y, traces, front, measured, printed, ranges };
  }
  const titled = (axis, log) => ({ title: { text: plain(`${axis.label}${axis.unit ? ` [${axis.unit}]` : ""}${axis.higher ? " (higher is better)" : ""}`) }, type: log ? "log" : "linear" });
  function tell({ view, x, y, front, measured, printed, ranges }) {
    const better = (axis) => (axis.higher ? "higher" : "lower");
    const parts = [`×${view.scale}: ${measured.found.length.toLocaleString("en")} of ${view.points.length.toLocaleString("en")} networks have both numbers measured` + (state.printed ? `, ${printed.found.length} printed.` : ".")];
    if (state.front && front.length) parts.push(`On the measured front (${better(x)} and ${better(y)}): ${front.slice(0, 12).map((e) => e.point.name).join(", ")}${front.length > 12 ? ` and ${front.length - 12} more` : ""}.`);
    const noLog = measured.noLog + printed.noLog;
    if (noLog) parts.push(`${noLog} without a place on a logarithmic axis (0).`);
    const all = [...measured.found, ...printed.found], away = all.length ? outside(all, ranges) : [];
    const where = (e) => `${e.point.name} (${shown(e.y, y.digits, y.unit)} at ${shown(e.x, x.digits, x.unit)})`;
    if (away.length) parts.push(`Outside this range: ${away.slice(0, 5).map(where).join(", ")}${away.length > 5 ? ` and ${away.length - 5} more` : ""}; a double-click shows everything.`);
    if (selection.models.size) parts.push(`${selection.models.size} chosen.`);
    byId("scatter-told").textContent = parts.join(" ");
  }
  const redraw = lazily(place, async (plotly) => {
    const drawn = compose();
    current = drawn.traces;
    const [rangeX, rangeY] = drawn.ranges;
    drawing = true;
    await plotly.react(place, drawn.traces, layout({
      dragmode: coarse ? false : "select", selections: [], selectionrevision: (draws += 1), uirevision: `${state.scale} ${state.x} ${state.y} ${state.logX} ${state.logY} ${state.printed}`,
      xaxis: { ...titled(drawn.x, state.logX), ...(rangeX ? { range: rangeX, autorange: false } : {}) },
      yaxis: { ...titled(drawn.y, state.logY), ...(rangeY ? { range: rangeY, autorange: false } : {}) },
    }), config);
    drawing = false;
    tell(drawn);
    if (!place.dataset.listening) { place.dataset.listening = "yes"; listen(); }
  });

  function explain(entry) {
    const view = viewAt(state.scale), printed = entry.kind === "printed";
    const axes = [state.x, state.y].map((key) => view.axes.find((axis) => axis.key === key));
    const pairs = axes.map((axis, i) => {
      const at = entry.at[i];
      const number = shown(at.value, axis.digits, axis.unit);
      if (printed) return [axis.label, number, [text(at.source), data.verdicts[at.extra]].filter(Boolean).join("; ")];
      const run = data.runs[at.source];
      return [axis.label, number, [text(at.extra), text(run[RUN.protocol]), `run ${run[RUN.key]}, ${run[RUN.created].slice(0, 10)}`].filter(Boolean).join(" · ")];
    });
    if (entry.params !== null && !axes.some((axis) => axis.key === "params")) pairs.push(["Params", shown(entry.params, 0, "K")]);
    return [el("h3", {}, `${entry.point.name} ×${view.scale}`), el("p", { class: printed ? "printed" : "dim" }, printed ? "As printed, not measured here" : "Measured"), facts(pairs)];
  }
  const entryOf = (event) => current[event.points[0]?.curveNumber]?.entries?.[event.points[0]?.pointNumber];
  function listen() {
    place.on("plotly_hover", (event) => { const entry = entryOf(event); if (entry) show(event.event, ...explain(entry)); });
    place.on("plotly_unhover", hide);
    place.on("plotly_click", (event) => { const entry = entryOf(event); if (entry) selection.toggle(entry.point.model); });
    place.on("plotly_selected", (event) => {
      // Drawing clears the box, which plotly reports as a choice of nothing.
      if (!event?.points || drawing) return;
      selection.set(event.points.map((point) => current[point.curveNumber]?.entries[point.pointNumber]?.point.model).filter(Boolean));
    });
    place.on("plotly_deselect", () => { if (selection.models.size) selection.set([]); });
  }

  // --- the table beside it: the same points as text, and the way to choose them by keyboard ---
  let grid = null;
  function tabulate() {
    const drawn = compose();
    const entries = [...drawn.measured.found, ...drawn.printed.found].filter((e) => selection.shows(e.point.model));
    const number = (axis, side) => ({ key: side, label: axis.label, unit: axis.unit, higher: axis.higher, about: axis.about, value: (e) => e[side], show: (e) => shown(e[side], axis.digits, "") });
    const columns = [{ key: "name", label: "Network", value: (e) => e.point.name.toLowerCase() }, number(drawn.y, "y"), number(drawn.x, "x")];
    if (grid) { Object.assign(grid, { columns, rows: entries }); grid.refresh(); return; }
    grid = new Grid({
      table: byId("scattertable"), count: byId("scattercount"), more: byId("scattermore"), noun: "points", columns, rows: entries,
      head(self) { self.table.replaceChildren(el("thead", {}, el("tr", {}, self.header(self.columns[0]), ...self.columns.slice(1).map((c) => self.header(c, { class: "n" }))))); },
      cells(entry) {
        const printed = entry.kind === "printed", chosen = selection.models.has(entry.point.model);
        const pick = el("button", { type: "button", class: "pick", "aria-pressed": String(chosen), title: "Choose this network" }, entry.point.name);
        pick.addEventListener("click", () => { selection.toggle(entry.point.model); find(entry)?.focus(); });
        pick.entry = entry;
        return el("tr", { class: [chosen && "picked", printed && "hollowrow"].filter(Boolean).join(" ") || null }, el("th", { scope: "row", title: entry.point.name }, pick),
          ...this.columns.slice(1).map((column) => esr.explains(el("td", { class: "n", tabindex: "-1" }, el("span", { class: printed ? "printed" : null }, column.show(entry))), () => explain(entry))));
      },
    });
    grid.sortBy = "y";
    grid.ascending = !drawn.y.higher;
    grid.refresh();
  }
  const find = (entry) => [...byId("scattertable").querySelectorAll(".pick")].find((pick) => pick.entry.point === entry.point && pick.entry.kind === entry.kind);
  function refresh() { hide(); tabulate(); return redraw(); }

  for (const view of views) {
    const button = el("button", { type: "button", "data-value": view.scale }, `×${view.scale}`);
    button.addEventListener("click", () => { state.scale = view.scale; menus(); refresh(); });
    byId("plot-scales").append(button);
  }
  for (const [id, field, key] of [["plot-x", "x", "value"], ["plot-y", "y", "value"], ["plot-logx", "logX", "checked"], ["plot-logy", "logY", "checked"], ["plot-front", "front", "checked"], ["plot-printed", "printed", "checked"], ["plot-area", "area", "checked"], ["plot-ablations", "ablations", "checked"], ["plot-names", "names", "value"]]) {
    byId(id).addEventListener("change", (event) => { state[field] = event.target[key]; refresh(); });
  }
  byId("plot-selectfront").addEventListener("click", () => selection.set(compose().front.map((entry) => entry.point.model)));
  byId("plot-clear").addEventListener("click", () => selection.set([]));
  byId("plot-only").addEventListener("change", (event) => selection.limit(event.target.checked));
  document.addEventListener("esr:selection", refresh);

  menus();
  const view = viewAt(state.scale);
  const enough = drawable(view, "measured", view.axes.findIndex((a) => a.key === state.x), view.axes.findIndex((a) => a.key === state.y)).found.length > 1;
  state.printed = byId("plot-printed").checked = !enough;
  tabulate();
});
