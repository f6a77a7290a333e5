/** Two networks image by image: sorted differences, their mean with its interval, the best and worst images by name. */
esr.section("differences", ({ payload }) => {
  const { byId, el, selection } = esr;
  const { plain, shortened, shown, signed, colours, layout, config, lazily, show, hide, facts, choices } = esrPlots;
  const place = byId("diff-plot"), sets = payload;
  if (!sets.length) {
    place.textContent = "No data set has per-image values of two networks. Measure some with `esr bench bicubic agdn_s --scale 4 --tasks quality --data sample`.".replaceAll("`", "");
    byId("differences-bar").hidden = true;
    return;
  }
  // The largest set of the first scale says most.
  const largest = sets.reduce((best, set, index) => (set.scale === sets[0].scale && set.names.length > sets[best].names.length ? index : best), 0);
  const state = { set: largest, first: null, second: null, sorted: true };
  let bars = [];

  function menus() {
    const options = sets.map((set, index) => ({ value: String(index), label: `${set.group} ×${set.scale}`, group: "" }));
    state.set = Number(choices(byId("diff-set"), options, String(state.set)));
    const set = sets[state.set];
    const models = set.models.map(([model, name]) => ({ value: model, label: name, group: "" }));
    const mean = (index) => set.psnr[index].reduce((sum, value) => sum + (value ?? 0), 0);
    const best = set.models.map((_, index) => index).sort((a, b) => mean(b) - mean(a));
    const kept = (model) => set.models.some(([other]) => other === model);
    state.first = choices(byId("diff-first"), models, kept(state.first) ? state.first : set.models[best[0]][0]);
    state.second = choices(byId("diff-second"), models, kept(state.second) && state.second !== state.first ? state.second : set.models[best.find((i) => set.models[i][0] !== state.first)][0]);
  }
  /** [low, high] of the mean of a minus b, where the report has it. */
  function interval(set, a, b) {
    set.found ??= new Map(set.intervals.map(([i, j, low, high]) => [`${i} ${j}`, [low, high]]));
    const there = set.found.get(`${a} ${b}`), back = set.found.get(`${b} ${a}`);
    return there ?? (back ? [-back[1], -back[0]] : null);
  }
  function compare() {
    const set = sets[state.set];
    const [a, b] = [state.first, state.second].map((model) => set.models.findIndex(([other]) => other === model));
    const found = set.names.map((name, i) => ({ name, a: set.psnr[a][i], b: set.psnr[b][i] }));
    const kept = found.filter((one) => one.a !== null && one.b !== null).map((one) => ({ ...one, gap: one.a - one.b }));
    if (state.sorted) kept.sort((p, q) => q.gap - p.gap || (p.name < q.name ? -1 : 1));
    return { set, bars: kept, names: [set.models[a][1], set.models[b][1]], infinite: found.length - kept.length, interval: interval(set, a, b), mean: kept.reduce((sum, one) => sum + one.gap, 0) / (kept.length || 1) };
  }
  function tell({ set, bars: kept, names, infinite, interval: range, mean }) {
    const told = byId("differences-told");
    if (!kept.length) { told.textContent = "No image has a finite value of both."; return; }
    const order = [...kept].sort((p, q) => q.gap - p.gap || (p.name < q.name ? -1 : 1));
    const list = (some) => some.map((one) => `${one.name} (${signed(one.gap, 2)})`).join(", ");
    const few = Math.min(3, Math.floor(order.length / 2));
    const within = range ? ` [${signed(range[0], 3)}, ${signed(range[1], 3)}]` : "";
    told.replaceChildren(
      el("strong", {}, `${names[0]} − ${names[1]}: ${signed(mean, 3)} dB${within}`),
      ` mean over ${kept.length} images of ${set.group} ×${set.scale}${range ? ", 95 % bootstrap interval over images" : ", no interval"}${set.few ? "; so few images do not bear an interval" : ""}. ` +
      `Higher on ${kept.filter((one) => one.gap > 0).length}, lower on ${kept.filter((one) => one.gap < 0).length}. ` +
      (few ? `Best for ${names[0]}: ${list(order.slice(0, few))}. Best for ${names[1]}: ${list(order.slice(-few).reverse())}.` : "") +
      (infinite ? ` ${infinite} left out: equal to HR.` : ""),
    );
  }
  const redraw = lazily(place, async (plotly) => {
    const c = colours(), found = compare();
    bars = found.bars;
    tell(found);
    const many = bars.length > 40;
    const ends = bars.length > 1 ? [bars.reduce((p, q) => (q.gap > p.gap ? q : p)), bars.reduce((p, q) => (q.gap < p.gap ? q : p))] : bars;
    const across = (y, style) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: style });
    await plotly.react(place, [{
      type: "bar", x: bars.map((_, i) => i), y: bars.map((one) => one.gap), hoverinfo: "none",
      marker: { color: bars.map((one) => (one.gap >= 0 ? c.accent : c.warn)), opacity: 0.75 },
    }], layout({
      dragmode: false, bargap: 0.15, uirevision: `${state.set}`, margin: { l: 60, r: 16, t: 28, b: many ? 36 : 84 },
      shapes: [across(found.mean, { color: c.ink, width: 1.2, dash: "dash" }), ...(found.interval ? [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: found.interval[0], y1: found.interval[1], fillcolor: c.ink, opacity: 0.12, line: { width: 0 } }] : [])],
      annotations: many ? ends.map((one) => ({ x: bars.indexOf(one), y: one.gap, text: plain(shortened(one.name, 20)), showarrow: true, arrowcolor: c.muted, arrowhead: 0, ax: one.gap >= 0 ? 28 : -28, ay: one.gap >= 0 ? -14 : 14, font: { color: c.ink } })) : [],
      xaxis: { showgrid: false, title: { text: many ? `images, ${state.sorted ? "by difference" : "by name"}` : "" }, tickmode: "array", tickvals: many ? [] : bars.map((_, i) => i), ticktext: many ? [] : bars.map((one) => plain(shortened(one.name, 14))), tickangle: -45 },
      yaxis: { title: { text: plain(`PSNR-Y, ${shortened(found.names[0], 20)} − ${shortened(found.names[1], 20)} [dB]`) } },
    }), config);
    if (!place.dataset.listening) {
      place.dataset.listening = "yes";
      place.on("plotly_hover", (event) => {
        const one = bars[event.points[0].pointNumber], now = compare();
        show(event.event, el("h3", {}, one.name), facts([[now.names[0], shown(one.a, 3, "dB")], [now.names[1], shown(one.b, 3, "dB")], ["Difference", `${signed(one.gap, 3)} dB`]]), el("p", { class: "dim" }, `${now.set.group} ×${now.set.scale}, ${now.set.protocol}, inference as in each model's paper`));
      });
      place.on("plotly_unhover", hide);
    }
  });
  byId("diff-set").addEventListener("change", (event) => { state.set = Number(event.target.value); menus(); redraw(); });
  byId("diff-first").addEventListener("change", (event) => { state.first = event.target.value; redraw(); });
  byId("diff-second").addEventListener("change", (event) => { state.second = event.target.value; redraw(); });
  byId("diff-sorted").addEventListener("change", (event) => { state.sorted = event.target.checked; redraw(); });
  byId("diff-swap").addEventListener("click", () => { [state.first, state.second] = [state.second, state.first]; menus(); redraw(); });
  // Two networks chosen in the scatter or the table are the two to compare.
  document.addEventListener("esr:selection", () => {
    const both = [...selection.models].filter((model) => sets[state.set].models.some(([other]) => other === model));
    if (selection.models.size !== 2 || both.length !== 2) return;
    [state.first, state.second] = both;
    menus();
    redraw();
  });
  menus();
});
