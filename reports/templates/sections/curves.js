/** Cost over the size of the LR image, by the exact counter. */
esr.section("curves", ({ payload }) => {
  const { byId, el } = esr;
  const { plain, shortened, colours, layout, config, lazily, show, hide, facts, choices } = esrPlots;
  const place = byId("curve-plot"), VALUE = 2, USUAL = 8;
  if (!payload.length) return;
  const kinds = [
    { label: "Multi-adds [G]", of: (c) => c[VALUE] / 1e9 }, { label: "Multi-adds per LR pixel [K]", of: (c) => c[VALUE] / (c[0] * c[1]) / 1e3 },
    { label: "Activations [M]", of: (c) => (c[VALUE + 1] === null ? null : c[VALUE + 1] / 1e6) }, { label: "Peak activation memory [MiB]", of: (c) => (c[VALUE + 2] === null ? null : c[VALUE + 2] / 2 ** 20) },
  ];
  const scales = [...new Set(payload.map(([scale]) => scale))];
  const state = { kind: 0, scale: scales[0], chosen: new Set(payload.filter(([scale]) => scale === scales[0]).slice(0, USUAL).map(([, model]) => model)) };
  const palette = (c) => [c.accent, "#c2584f", "#d29a34", "#7c8fa3", "#6aa447", "#9a6fbc", "#4fb0a5", "#d07aa8"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  choices(byId("curve-kind"), kinds.map((kind, index) => ({ value: String(index), label: kind.label, group: "" })), "0");
  choices(byId("curve-scale"), scales.map((scale) => ({ value: String(scale), label: `×${scale}`, group: "" })), String(state.scale));
  let lines = [];
  const redraw = lazily(place, async (plotly) => {
    const c = colours(), kind = kinds[state.kind];
    const all = payload.filter(([scale]) => scale === state.scale);
    lines = all.map((curve, index) => ({ curve, index })).filter(({ curve }) => state.chosen.has(curve[1]));
    const sizes = [...new Map(lines.flatMap(({ curve }) => curve[3]).map((cost) => [cost[0] * cost[1], `${cost[1]}×${cost[0]}`]))].sort((a, b) => a[0] - b[0]);
    await plotly.react(place, lines.map(({ curve, index }) => ({
      type: "scatter", mode: "lines+markers", name: plain(shortened(curve[2])), hoverinfo: "none", x: curve[3].map((cost) => cost[0] * cost[1]), y: curve[3].map(kind.of),
      line: { color: palette(c)[index % 8], dash: dashes[Math.floor(index / 8) % 4], width: 1.8 }, marker: { size: 6 },
    })), layout({
      dragmode: false, showlegend: true, legend: { orientation: "h", y: -0.22, font: { color: c.ink } }, uirevision: `${state.scale} ${state.kind}`,
      xaxis: { type: "log", title: { text: "LR image, width × height [pixels]" }, tickmode: "array", tickvals: sizes.map(([area]) => area), ticktext: sizes.map(([, text]) => text) },
      yaxis: { type: "log", title: { text: kind.label } },
    }), config);
    if (!place.dataset.listening) {
      place.dataset.listening = "yes";
      place.on("plotly_hover", (event) => {
        const { curve } = lines[event.points[0].curveNumber], cost = curve[3][event.points[0].pointNumber];
        show(event.event, el("h3", {}, `${curve[2]} ×${curve[0]}, LR ${cost[1]}×${cost[0]}`), facts(kinds.map((one) => [one.label, one.of(cost) === null ? "" : one.of(cost).toLocaleString("en", { maximumSignificantDigits: 5 })])), el("p", { class: "dim" }, "Counted by the exact rule."));
      });
      place.on("plotly_unhover", hide);
    }
  });
  function chips() {
    byId("curve-models").replaceChildren(...payload.filter(([scale]) => scale === state.scale).map(([, model, name]) => {
      const button = el("button", { type: "button", "aria-pressed": String(state.chosen.has(model)) }, name);
      button.addEventListener("click", () => { if (!state.chosen.delete(model)) state.chosen.add(model); button.setAttribute("aria-pressed", String(state.chosen.has(model))); redraw(); });
      return button;
    }));
  }
  byId("curve-kind").addEventListener("change", (event) => { state.kind = Number(event.target.value); redraw(); });
  byId("curve-scale").addEventListener("change", (event) => { state.scale = Number(event.target.value); chips(); redraw(); });
  chips();
});
