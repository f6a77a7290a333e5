/** The papers' tables: measured, printed, side by side or their difference, with files to keep. */
esr.section("tables", ({ payload }) => {
  const { CLAIM, Grid, MARKS, byId, claimFacts, data, el, explains, facts, hide, number, runFacts, save, sentence, text } = esr;
  // Positions as reports/payload_papers.py writes them.
  const ROW = { label: 0, model: 1, scale: 2, venue: 3, checks: 4, runnable: 5, cells: 6 };
  const CELL = { claim: 0, printed: 1, printedValue: 2, kind: 3, text: 4, value: 5, detail: 6, runs: 7, remedy: 8, stale: 9, mark: 10, printedMark: 11, difference: 12 };
  const MODES = { both: "side by side", measured: "measured", printed: "printed", difference: "difference" };
  const FILES = { csv: ["CSV", "text/csv"], md: ["Markdown", "text/markdown"], tex: ["LaTeX", "application/x-tex"], json: ["JSON", "application/json"] };
  const EMPHASIS = ["", "best", "second"];
  const state = { mode: "both", words: "" };
  const shown = [];

  const verdictOf = (cell) => (cell[CELL.claim] < 0 ? "" : data.verdicts[data.claims[cell[CELL.claim]][CLAIM.verdict]]);
  const measured = (cell) => data.kinds[cell[CELL.kind]] === "measured";
  const signed = (words) => Number(words.replace("−", "-"));
  const asNumber = (cell) => (cell[CELL.difference] === null ? null : signed(cell[CELL.difference]));

  function mark(cell) {
    const verdict = verdictOf(cell);
    return el("span", { class: `mark ${verdict}`, title: verdict || null, "aria-label": MARKS[verdict] ? verdict : null }, MARKS[verdict] ?? "");
  }
  function ours(cell) {
    const kind = data.kinds[cell[CELL.kind]];
    if (kind === "missing") return el("span", { class: "none", "aria-label": "not measured" }, "–");
    if (!measured(cell)) return el("span", { class: kind === "failed" ? "failed" : "na" }, kind);
    const flag = cell[CELL.detail] ? el("span", { class: "flag", title: cell[CELL.detail] }, "†") : "";
    const classes = [EMPHASIS[cell[CELL.mark]], cell[CELL.stale] && "stale"].filter(Boolean).join(" ");
    return el("span", {}, flag, el("span", { class: classes || null }, cell[CELL.text]));
  }
  function theirs(cell) {
    if (!cell[CELL.printed] || cell[CELL.printed] === "-") return el("span", { class: "none", "aria-label": "not printed" }, "–");
    return el("span", { class: `printed ${EMPHASIS[cell[CELL.printedMark]]}` }, cell[CELL.printed]);
  }
  function difference(cell) {
    if (cell[CELL.difference] === null) return el("span", { class: "none", "aria-label": "no difference known" }, "–");
    const kind = signed(cell[CELL.difference]) === 0 ? "zero" : verdictOf(cell);
    return el("span", { class: `diff ${kind}` }, cell[CELL.difference]);
  }
  function content(cell) {
    if (state.mode === "both") return [el("span", { class: "line" }, ours(cell)), el("span", { class: "line" }, mark(cell), theirs(cell))];
    return [mark(cell), { measured: ours, printed: theirs, difference }[state.mode](cell)];
  }
  function explain(table, row, column, cell) {
    const kind = data.kinds[cell[CELL.kind]];
    const where = [column.group, column.label].filter(Boolean).join(" ");
    const parts = [el("h3", {}, `${table.label}, ${row[ROW.label]} ×${row[ROW.scale]}: ${where}`)];
    if (measured(cell)) {
      const full = number(cell[CELL.value]);
      const value = full === null ? cell[CELL.text] : (full / column.divisor).toLocaleString("en", { maximumFractionDigits: 6 });
      parts.push(el("h4", {}, cell[CELL.stale] ? "Measured, stale: a newer revision exists" : "Measured"),
        facts([["Value", `${value} ${table.columns[column.index].unit}`], ["Difference", cell[CELL.difference] ?? ""], ["Note", cell[CELL.detail]]]));
    } else if (kind === "missing") parts.push(el("h4", {}, "Not measured"), sentence(text(cell[CELL.remedy]), row[ROW.model]));
    else parts.push(el("h4", {}, kind === "failed" ? "Failed" : "Not applicable here"));
    for (const index of cell[CELL.runs]) parts.push(runFacts(data.runs[index]));
    if (cell[CELL.claim] >= 0) parts.push(...claimFacts(data.claims[cell[CELL.claim]], cell[CELL.runs]));
    else parts.push(el("h4", {}, "Printed"), el("p", {}, "The paper prints no number here."));
    return parts;
  }
  function columnsOf(table) {
    let last = "";
    return table.columns.map((column, index) => {
      const start = column.group !== last || !column.group;
      last = column.group;
      const pick = (row) => row[ROW.cells][index];
      return {
        ...column, unit: column.group ? "" : column.unit, index, start: start && Boolean(column.group || index === 0), about: null,
        value: (row) => {
          const cell = pick(row);
          if (state.mode === "difference") return asNumber(cell);
          if (state.mode === "printed") return cell[CELL.printedValue];
          return cell[CELL.stale] ? null : number(cell[CELL.value]);
        },
        other: (row) => (state.mode === "both" ? pick(row)[CELL.printedValue] : null),
      };
    });
  }
  function fixedColumns(table) {
    const several = table.scales.length > 1;
    return [
      { key: "row", label: table.rowHeader, value: (row) => row[ROW.label].toLowerCase() },
      ...(several ? [{ key: "scale", label: "Scale", value: (row) => row[ROW.scale] }] : []),
      ...(table.venue ? [{ key: "venue", label: "Venue", value: (row) => text(row[ROW.venue]) }] : []),
      ...table.checks.map((name, i) => ({ key: `check ${name}`, label: name, check: i, higher: true, value: (row) => row[ROW.checks][i] })),
    ];
  }
  function head(grid, fixed) {
    const columns = grid.columns.slice(fixed.length);
    const groups = el("tr", { class: "groups" }, ...fixed.map(() => el("th")));
    for (let i = 0; i < columns.length;) {
      let span = 1;
      while (columns[i].group && columns[i + span]?.group === columns[i].group) span++;
      groups.append(el("th", { colspan: span, scope: columns[i].group ? "colgroup" : null, class: columns[i].start ? "start" : null }, columns[i].group));
      i += span;
    }
    const heads = el("tr", { class: "heads" }, ...fixed.map((column) => grid.header(column)), ...columns.map((c) => grid.header(c, { class: `n${c.start ? " start" : ""}` })));
    grid.table.replaceChildren(el("thead", {}, groups, heads));
  }
  function line(grid, table, fixed, row) {
    const first = table.rows.find((other) => other[ROW.scale] === row[ROW.scale]) === row;
    const classes = [grid.sortBy === null && first && row !== table.rows[0] && "scalestart"].filter(Boolean).join(" ");
    const cells = fixed.slice(1).map((column) => {
      if (column.check !== undefined) {
        const yes = row[ROW.checks][column.check];
        return el("td", { class: `check${yes ? " yes" : ""}`, "aria-label": yes ? "yes" : "no" }, yes ? "✓" : "×");
      }
      return column.key === "scale" ? el("td", {}, `×${row[ROW.scale]}`) : el("td", { class: "dim" }, text(row[ROW.venue]));
    });
    const numbers = grid.columns.slice(fixed.length).map((column) => {
      const cell = row[ROW.cells][column.index];
      return explains(el("td", { class: `n${column.start ? " start" : ""}`, tabindex: "-1" }, ...content(cell)), () => explain(table, row, column, cell));
    });
    return el("tr", { class: classes || null }, el("th", { scope: "row", title: row[ROW.runnable] ? row[ROW.model] : `${row[ROW.model]}, printed only` }, row[ROW.label]), ...cells, ...numbers);
  }
  function scaleTabs(table, entry) {
    if (table.scales.length < 2) return "";
    const tabs = el("div", { class: "tabs", role: "group", "aria-label": "Scale" });
    for (const scale of [null, ...table.scales]) {
      const button = el("button", { type: "button", "aria-pressed": String(scale === null) }, scale === null ? "all" : `×${scale}`);
      button.addEventListener("click", () => {
        entry.scale = scale;
        for (const other of tabs.children) other.setAttribute("aria-pressed", String(other === button));
        refresh(entry);
      });
      tabs.append(button);
    }
    return tabs;
  }
  function saves(table) {
    const box = el("div", { class: "saves" }, "Save as");
    for (const [kind, [name, type]] of Object.entries(FILES)) {
      const button = el("button", { type: "button", "data-kind": kind, "aria-label": `Save ${table.label} as ${name}` }, name);
      button.addEventListener("click", () => {
        const file = kind === "json" ? `${table.stem}.json` : `${table.stem}${state.mode === "both" ? "" : `-${state.mode}`}.${kind}`;
        save(file, table.files[file], type);
      });
      box.append(button);
    }
    return box;
  }
  function refresh(entry) {
    entry.grid.accept = (row) => (entry.scale === null || row[ROW.scale] === entry.scale) &&
      (!state.words || `${row[ROW.label]} ${row[ROW.model]} ${text(row[ROW.venue])}`.toLowerCase().includes(state.words));
    entry.grid.refresh();
  }
  function build(table) {
    const entry = { table, scale: null }, fixed = fixedColumns(table);
    const grid = { table: el("table", { "aria-label": table.label }), count: el("span"), more: el("button", { type: "button" }) };
    const article = el("article", { class: "papertable", id: table.stem },
      el("h3", {}, table.label, el("span", { class: "dim" }, `${table.title} · ${table.citation}`)),
      el("div", { class: "bar" }, scaleTabs(table, entry), saves(table)),
      el("div", { class: "frame" }, grid.table));
    entry.article = article;
    entry.grid = new Grid({
      ...grid, noun: "rows", columns: [...fixed, ...columnsOf(table)], rows: table.rows,
      head: (self) => head(self, fixed), cells(row) { return line(this, table, fixed, row); },
    });
    shown.push(entry);
    return article;
  }
  function all() { hide(); for (const entry of shown) refresh(entry); }
  function choose(mode) {
    state.mode = mode;
    for (const button of byId("modes").children) button.setAttribute("aria-pressed", String(button.dataset.value === mode));
    all();
  }
  byId("papertables").append(...payload.tables.map(build));
  byId("tablelinks").append(...payload.tables.map((table) => el("a", { href: `#tables/${table.stem}` }, table.label)));
  for (const [mode, name] of Object.entries(MODES)) {
    const button = el("button", { type: "button", "data-value": mode }, name);
    button.addEventListener("click", () => choose(mode));
    byId("modes").append(button);
  }
  byId("tablefilter").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); all(); });
  choose("both");
  return { open([stem, mode]) { if (MODES[mode]) choose(mode); return shown.find((entry) => entry.article.id === stem)?.article; } };
});
