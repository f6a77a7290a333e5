/** The results: all networks at one scale, measured numbers with the printed ones below. */
esr.section("results", ({ payload }) => {
  const { data, Grid, MARKS, byId, el, explains, facts, hide, number, runFacts, selection, sentence, text } = esr;
  // Positions as reports/payload.py writes them.
  const ROW = { model: 0, name: 1, venue: 2, note: 3, flags: 4, cells: 5 };
  const CELL = { kind: 0, text: 1, value: 2, detail: 3, runs: 4, remedy: 5, stale: 6, printed: 7, printedValue: 8, citation: 9, verdict: 10, cause: 11 };
  const ABLATION = 1, NOT_RUNNABLE = 2;
  const MISSING = data.kinds.indexOf("missing");
  const full = (entry) => (typeof entry === "number" ? [MISSING, "not measured", null, "", [], entry, 0] : entry);

  function resultCell(row, column, entry) {
    const cell = full(entry);
    const kind = data.kinds[cell[CELL.kind]];
    const td = el("td", { class: `n${column.start ? " start" : ""}`, tabindex: "-1" });
    const words = { missing: "none", failed: "failed", "not applicable": "na" }[kind];
    td.append(el("span", { class: [words, cell[CELL.stale] && "stale"].filter(Boolean).join(" ") || null }, cell[CELL.text]));
    if (cell[CELL.stale]) td.append(el("small", { class: "flag" }, "stale"));
    if (cell[CELL.detail]) td.append(el("small", {}, cell[CELL.detail]));
    if (cell.length > CELL.printed) {
      const verdict = data.verdicts[cell[CELL.verdict]] ?? "";
      const mark = MARKS[verdict] ? el("span", { class: `mark ${verdict}`, title: verdict }, MARKS[verdict]) : "";
      td.append(el("span", { class: "printed" }, mark, cell[CELL.printed]));
    }
    return explains(td, () => explainResult(row, column, cell, kind));
  }
  function explainResult(row, column, cell, kind) {
    const content = [el("h3", {}, `${row[ROW.name]} ×${column.scale}, ${column.label}${column.dataset ? ` on ${column.group}` : ""}`)];
    if (kind === "measured") content.push(el("h4", {}, cell[CELL.stale] ? "Measured, stale: a newer revision exists" : "Measured"), facts([["Value", `${number(cell[CELL.value])?.toLocaleString("en", { maximumFractionDigits: 5 }) ?? cell[CELL.value]}`]]));
    else if (kind === "missing") content.push(el("h4", {}, "Not measured"), sentence(text(cell[CELL.remedy]), row[ROW.model]));
    else content.push(el("h4", {}, kind === "failed" ? "Failed" : "Not applicable here"));
    for (const index of cell[CELL.runs]) content.push(runFacts(data.runs[index]));
    if (cell.length > CELL.printed) {
      const verdict = data.verdicts[cell[CELL.verdict]];
      content.push(el("h4", {}, "Printed"), facts([["Value", cell[CELL.printed] === "-" ? "not printed" : `${cell[CELL.printed]} ${column.unit}`], ["Source", text(cell[CELL.citation])]]));
      if (verdict) content.push(el("p", {}, el("strong", { class: verdict }, verdict)), sentence(text(cell[CELL.cause]), row[ROW.model]));
    }
    if (text(row[ROW.note])) content.push(el("p", { class: "dim" }, text(row[ROW.note])));
    return content;
  }

  const state = { scale: payload.tables[0].scale, hidden: new Set(), words: "", ablations: false };
  const tableAt = (scale) => payload.tables.find((table) => table.scale === scale);
  function visibleColumns() {
    const table = tableAt(state.scale);
    let last = null;
    return table.columns.map((column, index) => ({ ...column, index, scale: table.scale, dataset: column.key.startsWith(column.group) }))
      .filter((column) => !state.hidden.has(column.group))
      .map((column) => {
        const start = column.group !== last;
        last = column.group;
        return {
          ...column, start,
          value: (row) => { const cell = full(row[ROW.cells][column.index]); return cell[CELL.stale] ? null : number(cell[CELL.value]); },
          other: (row) => number(full(row[ROW.cells][column.index])[CELL.printedValue]),
        };
      });
  }
  const nameColumn = { key: "model", label: "Model", value: (row) => row[ROW.name].toLowerCase() };
  const results = new Grid({
    table: byId("table"), count: byId("count"), more: byId("more"), noun: "models",
    columns: [nameColumn, ...visibleColumns()], rows: tableAt(state.scale).rows,
    head(grid) {
      const columns = grid.columns.slice(1);
      const groups = el("tr", { class: "groups" }, el("th", { rowspan: 1 }));
      for (const column of columns) if (column.start) {
        const span = columns.filter((other) => other.group === column.group).length;
        groups.append(el("th", { colspan: span, scope: "colgroup", class: "start" }, column.group));
      }
      const heads = el("tr", { class: "heads" }, grid.header(nameColumn), ...columns.map((c) => grid.header(c, { class: `n${c.start ? " start" : ""}` })));
      grid.table.replaceChildren(el("thead", {}, groups, heads));
    },
    cells(row) {
      const sub = [text(row[ROW.venue]), row[ROW.flags] & NOT_RUNNABLE ? "printed only" : ""].filter(Boolean).join(" · ");
      const picked = selection.models.has(row[ROW.model]);
      const line = el("tr", { class: picked ? "picked" : null }, el("th", { scope: "row", title: row[ROW.name] }, row[ROW.name], el("small", {}, sub)));
      line.append(...this.columns.slice(1).map((column) => resultCell(row, column, row[ROW.cells][column.index])));
      return line;
    },
  });
  function update() {
    hide();
    results.columns = [nameColumn, ...visibleColumns()];
    results.rows = tableAt(state.scale).rows;
    results.accept = (row) => selection.shows(row[ROW.model]) && (state.ablations || !(row[ROW.flags] & ABLATION)) &&
      (!state.words || `${row[ROW.name]} ${row[ROW.model]} ${text(row[ROW.venue])}`.toLowerCase().includes(state.words));
    results.refresh();
    for (const button of byId("scales").children) button.setAttribute("aria-pressed", button.dataset.value === String(state.scale));
    chips();
  }
  function chips() {
    const groups = [...new Set(tableAt(state.scale).columns.map((column) => column.group))];
    byId("groups").replaceChildren(...groups.map((group) => {
      const button = el("button", { type: "button", "aria-pressed": String(!state.hidden.has(group)) }, group);
      button.addEventListener("click", () => { if (!state.hidden.delete(group)) state.hidden.add(group); update(); [...byId("groups").children].find((b) => b.textContent === group)?.focus(); });
      return button;
    }));
  }
  // Data sets on which nothing was measured start folded away, and other protocols, unless that would leave none.
  const withAny = (test) => new Set(payload.tables.flatMap((t) => t.columns.filter((c) => c.filled && test(c)).map((c) => c.group)));
  const usual = withAny((c) => c.usual && c.key.startsWith(c.group));
  const filled = usual.size ? usual : withAny(() => true);
  const quality = [...new Set(payload.tables.flatMap((t) => t.columns.filter((c) => c.key.startsWith(c.group)).map((c) => c.group)))];
  const kept = quality.some((group) => filled.has(group)) ? quality.filter((group) => filled.has(group)) : ["B100"];
  for (const group of quality) if (!kept.includes(group)) state.hidden.add(group);
  for (const table of payload.tables) {
    const button = el("button", { type: "button", "data-value": table.scale }, `×${table.scale}`);
    button.addEventListener("click", () => { state.scale = table.scale; update(); });
    byId("scales").append(button);
  }
  byId("filter").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); update(); });
  byId("ablations").addEventListener("change", (event) => { state.ablations = event.target.checked; update(); });
  byId("shownprinted").addEventListener("change", (event) => byId("table").classList.toggle("hideprinted", !event.target.checked));
  update();
  document.addEventListener("esr:selection", update);
  return { print() { results.draw(2000); } };
});
