"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const BATCH = 200;
  const text = (index) => (index < 0 ? "" : data.texts[index]);

  // Positions in the arrays of the page's data; reports/html.py writes them in this order.
  const ROW = { model: 0, name: 1, venue: 2, note: 3, flags: 4, cells: 5 };
  const CELL = { kind: 0, text: 1, value: 2, detail: 3, runs: 4, remedy: 5, stale: 6, printed: 7, printedValue: 8, citation: 9, verdict: 10, cause: 11 };
  const RUN = { model: 0, scale: 1, task: 2, protocol: 3, dataset: 4, outcome: 5, result: 6, created: 7, duration: 8, machine: 9, versions: 10, commit: 11, sha: 12, origin: 13, key: 14, stale: 15, revision: 16, version: 17 };
  const ABLATION = 1, NOT_RUNNABLE = 2;
  const MISSING = data.kinds.indexOf("missing");
  const MARKS = { reproduced: "✓", explained: "≈", contradicted: "✗", "not measured": "" };

  /** Element with attributes and children; text is only ever set as text. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  /** Sorted, filtered and drawn in batches: the rows in the document stay few whatever the data's size. */
  class Grid {
    constructor({ table, count, more, columns, rows, cells, head, noun }) {
      Object.assign(this, { table, count, more, columns, rows, cells, head, noun, sortBy: null, ascending: true, accept: () => true });
      more.addEventListener("click", () => this.draw(this.drawn + BATCH));
      table.addEventListener("keydown", (event) => this.move(event));
      this.refresh();
    }
    refresh() {
      let kept = this.rows.filter((row) => this.accept(row));
      if (this.sortBy !== null) {
        const column = this.columns.find((c) => c.key === this.sortBy);
        if (column) kept = this.sorted(kept, column);
      }
      this.kept = kept;
      this.head(this);
      this.body = el("tbody");
      this.table.querySelector("tbody")?.remove();
      this.table.append(this.body);
      this.drawn = 0;
      this.draw(BATCH);
    }
    sorted(rows, column) {
      const sign = this.ascending ? 1 : -1;
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      // Rows without a number stay below, whichever way the others run.
      return rows.map((row) => [column.value(row), column.other ? column.other(row) : null, row])
        .sort(([a, c], [b, d]) => {
          if (a === null && b === null) return c === null || d === null ? (c === null) - (d === null) : sign * order(c, d);
          return a === null || b === null ? (a === null) - (b === null) : sign * order(a, b);
        })
        .map((entry) => entry[2]);
    }
    draw(upTo) {
      const next = this.kept.slice(this.drawn, upTo);
      this.body.append(...next.map((row) => this.cells(row)));
      this.drawn += next.length;
      const left = this.kept.length - this.drawn;
      this.more.hidden = left === 0;
      this.more.textContent = `Show ${Math.min(left, BATCH)} more`;
      this.count.textContent = left ? `${this.drawn.toLocaleString("en")} of ${this.kept.length.toLocaleString("en")} ${this.noun}` : `${this.kept.length.toLocaleString("en")} ${this.noun}`;
      const stop = this.body.querySelector("td.n");
      if (stop && !this.body.querySelector('td.n[tabindex="0"]')) stop.tabIndex = 0;
    }
    header(column, attributes = {}) {
      const button = el("button", { type: "button" }, column.label, column.unit ? ` [${column.unit}]` : "");
      button.addEventListener("click", () => {
        this.ascending = this.sortBy === column.key ? !this.ascending : !column.higher;
        this.sortBy = column.key;
        this.refresh();
        this.table.querySelector(`th[data-key="${CSS.escape(column.key)}"] button`)?.focus();
      });
      const sort = this.sortBy === column.key ? (this.ascending ? "ascending" : "descending") : null;
      return el("th", { scope: "col", "data-key": column.key, "aria-sort": sort, title: column.about, ...attributes }, button);
    }
    /** Arrow keys walk over the numbers; the table is one stop of the Tab key. */
    move(event) {
      const here = event.target.closest?.("td.n");
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!here || !step) return;
      const row = here.parentElement;
      const line = step[0] ? (step[0] > 0 ? row.nextElementSibling : row.previousElementSibling) : row;
      const target = line?.children[here.cellIndex + step[1]];
      if (!target?.classList.contains("n")) return;
      event.preventDefault();
      here.tabIndex = -1;
      target.tabIndex = 0;
      target.focus();
    }
  }

  // --- the card: where a number comes from -----------------------------------------------------------------------
  const card = byId("card");
  let pinned = null;
  let waiting = 0;

  /** A sentence with `commands` between backquotes, for one model. */
  function sentence(words, model) {
    const parts = words.replaceAll("{model}", model).split("`");
    return el("p", {}, ...parts.map((part, i) => (i % 2 ? el("code", {}, part) : part)));
  }
  function facts(pairs) {
    const list = el("dl");
    for (const [name, value] of pairs) if (value !== "" && value !== null) list.append(el("dt", {}, name), el("dd", {}, String(value)));
    return list;
  }
  function runFacts(run) {
    const pairs = (index, pool) => pool[index].map(([name, value]) => `${name} ${value}`).join(", ");
    return facts([
      ["Result", text(run[RUN.result])], ["Protocol", text(run[RUN.protocol])], ["Data", text(run[RUN.dataset])],
      ["Weights", [text(run[RUN.origin]), text(run[RUN.sha]) && `sha256 ${text(run[RUN.sha])}`].filter(Boolean).join(", ")],
      ["When", `${run[RUN.created]}, took ${run[RUN.duration]} s`], ["Machine", pairs(run[RUN.machine], data.machines)],
      ["Versions", pairs(run[RUN.versions], data.versions)], ["Commit", text(run[RUN.commit]) || "outside a clone"],
      ["Record", `${run[RUN.key]}, model revision ${run[RUN.revision]}, task version ${run[RUN.version]}`],
    ]);
  }
  function show(cell) {
    const content = cell.explain();
    card.replaceChildren(...content);
    card.hidden = false;
    const box = cell.getBoundingClientRect();
    const height = card.offsetHeight, width = card.offsetWidth;
    // Below, above, else beside the number: never over it, or the pointer would leave it.
    const gap = 6, below = box.bottom + gap + height < innerHeight, above = box.top - gap - height > 0;
    const beside = box.right + gap + width < innerWidth ? box.right + gap : box.left - gap - width;
    const left = below || above ? Math.min(box.left, innerWidth - width - 8) : beside;
    const top = below ? box.bottom + gap : above ? box.top - height - gap : Math.min(box.top, innerHeight - height - 8);
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${Math.max(8, top)}px`;
  }
  function hide() { clearTimeout(waiting); card.hidden = true; pinned = null; card.classList.remove("pinned"); }
  function explains(node, explain) {
    node.explain = explain;
    node.addEventListener("pointerenter", () => { if (!pinned) { clearTimeout(waiting); waiting = setTimeout(() => show(node), 220); } });
    node.addEventListener("pointerleave", () => { if (!pinned) hide(); });
    node.addEventListener("click", () => { const again = pinned === node; hide(); if (!again) { show(node); pinned = node; card.classList.add("pinned"); } });
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); node.click(); }
    });
    return node;
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("click", (event) => { if (pinned && !event.target.closest("td.n, #card")) hide(); });
  document.addEventListener("scroll", (event) => { if (event.target !== card) hide(); }, true);

  // --- results ----------------------------------------------------------------------------------------------------
  const full = (entry) => (typeof entry === "number" ? [MISSING, "not measured", null, "", [], entry, 0] : entry);
  const number = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value === "nan" ? null : value ?? null);

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

  const state = { scale: data.tables[0].scale, hidden: new Set(), words: "", ablations: false };
  const tableAt = (scale) => data.tables.find((table) => table.scale === scale);
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
      const line = el("tr", {}, el("th", { scope: "row", title: row[ROW.name] }, row[ROW.name], el("small", {}, sub)));
      line.append(...this.columns.slice(1).map((column) => resultCell(row, column, row[ROW.cells][column.index])));
      return line;
    },
  });
  function update() {
    hide();
    results.columns = [nameColumn, ...visibleColumns()];
    results.rows = tableAt(state.scale).rows;
    results.accept = (row) => (state.ablations || !(row[ROW.flags] & ABLATION)) &&
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
  // Data sets on which nothing was measured start folded away, unless that would leave none.
  const filled = new Set(data.tables.flatMap((t) => t.columns.filter((c) => c.filled).map((c) => c.group)));
  const quality = [...new Set(data.tables.flatMap((t) => t.columns.filter((c) => c.key.startsWith(c.group)).map((c) => c.group)))];
  const kept = quality.some((group) => filled.has(group)) ? quality.filter((group) => filled.has(group)) : ["B100"];
  for (const group of quality) if (!kept.includes(group)) state.hidden.add(group);
  for (const table of data.tables) {
    const button = el("button", { type: "button", "data-value": table.scale }, `×${table.scale}`);
    button.addEventListener("click", () => { state.scale = table.scale; update(); });
    byId("scales").append(button);
  }
  byId("filter").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); update(); });
  byId("ablations").addEventListener("change", (event) => { state.ablations = event.target.checked; update(); });
  byId("shownprinted").addEventListener("change", (event) => byId("table").classList.toggle("hideprinted", !event.target.checked));
  update();

  // --- runs -------------------------------------------------------------------------------------------------------
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

  // Paper has no button to ask for more.
  addEventListener("beforeprint", () => { results.draw(2000); runs.draw(1000); });
})();
