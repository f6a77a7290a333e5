/** The runs: every record behind the page. */
esr.section("runs", () => {
  const { data, Grid, RUN, byId, el, explains, hide, runFacts, text } = esr;
  const field = (key, label, position, pooled, extra = {}) => ({ key, label, value: (run) => (pooled ? text(run[position]) : run[position]), ...extra });
  const runColumns = [
    field("model", "Model", RUN.model, false), field("scale", "Scale", RUN.scale, false), field("task", "Task", RUN.task, true),
    field("data", "Data", RUN.dataset, true), field("outcome", "Outcome", RUN.outcome, false),
    field("result", "Result", RUN.result, true), field("protocol", "Protocol", RUN.protocol, true), field("created", "When (UTC)", RUN.created, false, { higher: true }),
  ];
  const runs = new Grid({
    table: byId("runtable"), count: byId("runcount"), more: byId("runmore"), noun: "runs", columns: runColumns, rows: data.runs.slice(0, data.listed),
    head(grid) { grid.table.replaceChildren(el("thead", {}, el("tr", {}, ...runColumns.map((column) => grid.header(column))))); },
    cells(run) {
      const outcome = run[RUN.stale] ? `${run[RUN.outcome]}, stale` : run[RUN.outcome];
      const style = { failed: "failed", "not applicable": "na" }[run[RUN.outcome]];
      const last = explains(el("td", { class: "n", tabindex: "-1" }, run[RUN.created].slice(0, 16).replace("T", " ")), () => [el("h3", {}, `${run[RUN.model]} ×${run[RUN.scale]}, ${text(run[RUN.task])}`), runFacts(run)]);
      return el("tr", {}, el("th", { scope: "row", title: run[RUN.model] }, run[RUN.model]), el("td", {}, `×${run[RUN.scale]}`), el("td", {}, text(run[RUN.task])),
        el("td", {}, text(run[RUN.dataset])), el("td", {}, el("span", { class: style }, outcome)), el("td", { class: "text" }, text(run[RUN.result])), el("td", { class: "dim" }, text(run[RUN.protocol])), last);
    },
  });
  let wanted = "all", runWords = "";
  function filterRuns() {
    hide();
    runs.accept = (run) => (wanted === "all" || (wanted === "stale" ? run[RUN.stale] : run[RUN.outcome] === wanted && !run[RUN.stale])) &&
      (!runWords || `${run[RUN.model]} ${text(run[RUN.task])} ${text(run[RUN.dataset])}`.toLowerCase().includes(runWords));
    runs.refresh();
    for (const button of byId("outcomes").children) button.setAttribute("aria-pressed", button.textContent === wanted);
  }
  for (const name of ["all", "finished", "failed", "not applicable", "stale"]) {
    const button = el("button", { type: "button" }, name);
    button.addEventListener("click", () => { wanted = name; filterRuns(); });
    byId("outcomes").append(button);
  }
  byId("runfilter").addEventListener("input", (event) => { runWords = event.target.value.trim().toLowerCase(); filterRuns(); });
  filterRuns();
  return { print() { runs.draw(1000); } };
});
