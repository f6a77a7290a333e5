"use strict";
/** The frame of the page: data, navigation, theme, tables, and the card that says where a number comes from. */
const esr = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const BATCH = 200;
  const text = (index) => (index < 0 ? "" : data.texts[index]);

  // Positions in the arrays of the page's data; reports/payload.py writes them in this order.
  const RUN = { model: 0, scale: 1, task: 2, protocol: 3, dataset: 4, outcome: 5, result: 6, created: 7, duration: 8, machine: 9, versions: 10, commit: 11, sha: 12, origin: 13, key: 14, stale: 15, revision: 16, version: 17 };
  // Of reports/payload_papers.py.
  const CLAIM = { paper: 0, table: 1, row: 2, model: 3, scale: 4, metric: 5, dataset: 6, printed: 7, unit: 8, mark: 9, verdict: 10, cause: 11, ours: 12, runs: 13, citation: 14 };
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
  /** What a paper prints, where, and what became of it; runs that stand above already are not told twice. */
  function claimFacts(claim, told) {
    const verdict = data.verdicts[claim[CLAIM.verdict]];
    const emphasis = ["", "emphasised as best", "emphasised as second"][claim[CLAIM.mark]];
    const others = claim[CLAIM.runs].filter((index) => !told.includes(index));
    return [
      el("h4", {}, "Printed"),
      facts([["Value", `${claim[CLAIM.printed]} ${text(claim[CLAIM.unit])}`], ["In the paper", emphasis], ["Source", text(claim[CLAIM.citation])]]),
      el("p", {}, el("strong", { class: verdict.replace(" ", "_") }, verdict)), sentence(text(claim[CLAIM.cause]), text(claim[CLAIM.model])),
      ...others.flatMap((index) => [el("h4", {}, "Another run that decided"), runFacts(data.runs[index])]),
    ];
  }
  /** A number of the page's data: JSON has no word for infinity. */
  const number = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value === "nan" ? null : value ?? null);
  /** Hand a text to the user as a file, without a server. */
  function save(name, content, type) {
    const url = URL.createObjectURL(new Blob([content], { type }));
    const link = el("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
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
    node.addEventListener("focus", () => { if (!pinned && node.matches(":focus-visible")) { clearTimeout(waiting); waiting = setTimeout(() => show(node), 220); } });
    node.addEventListener("blur", () => { if (!pinned) hide(); });
    node.addEventListener("click", () => { const again = pinned === node; hide(); if (!again) { show(node); pinned = node; card.classList.add("pinned"); } });
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); node.click(); }
    });
    return node;
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("click", (event) => { if (pinned && !event.target.closest("td.n, #card")) hide(); });
  // A card that is still to come stays so: focus and pointer may have caused the scrolling.
  document.addEventListener("scroll", (event) => { if (event.target !== card && !card.hidden) hide(); }, true);

  // --- sections and navigation -------------------------------------------------------------------------------------
  const inits = new Map(), live = new Map();
  /** Register the script of a section; `init` runs once, when its view is first seen or the page is printed. */
  function section(key, init) { inits.set(key, init); }
  function wake(root) {
    if (live.has(root.id)) return;
    live.set(root.id, inits.get(root.id)?.({ root, payload: data.sections[root.id] }) ?? {});
  }
  const views = () => [...document.querySelectorAll(".view")];
  function open() {
    const [name, ...args] = decodeURIComponent(location.hash.slice(1)).split("/");
    const view = views().find((v) => v.dataset.view === name) ?? views()[0];
    hide();
    for (const other of views()) other.classList.toggle("current", other === view);
    for (const link of document.querySelectorAll("#nav a")) {
      if (link.dataset.view === view.dataset.view) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    let target = null;
    for (const root of view.children) { wake(root); if (args.length) target ??= live.get(root.id).open?.(args); }
    if (target) target.scrollIntoView(); else scrollTo(0, 0);
  }
  function theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const now = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    const button = byId("theme");
    const tell = () => { button.setAttribute("aria-pressed", String(now() === "dark")); document.dispatchEvent(new CustomEvent("themechange", { detail: now() })); };
    button.addEventListener("click", () => {
      const next = now() === "dark" ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem("esr-theme", next); } catch { /* nothing is kept; the page still changes */ }
      tell();
    });
    dark.addEventListener("change", tell);
    tell();
  }
  function start() {
    theme();
    open();
    addEventListener("hashchange", open);
    // At once, not in a later task: what is clicked is there when the click returns.
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[href^='#']");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || link.classList.contains("skip")) return;
      event.preventDefault();
      history.pushState(null, "", link.getAttribute("href"));
      open();
    });
    // Paper has no button to ask for more, and shows every section.
    addEventListener("beforeprint", () => { for (const view of views()) for (const root of view.children) { wake(root); live.get(root.id).print?.(); } });
  }

  /** Networks chosen in a plot or a table. Whoever shows networks listens to `esr:selection`. */
  const selection = {
    models: new Set(), only: false,
    set(models) { this.models = new Set(models); this.tell(); },
    toggle(model) { if (!this.models.delete(model)) this.models.add(model); this.tell(); },
    limit(only) { this.only = only; this.tell(); },
    shows(model) { return !this.only || !this.models.size || this.models.has(model); },
    tell() { document.dispatchEvent(new CustomEvent("esr:selection")); },
  };

  return { data, CLAIM, MARKS, RUN, Grid, byId, claimFacts, el, explains, facts, hide, number, runFacts, save, section, selection, sentence, start, text };
})();
