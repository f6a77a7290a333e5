/** The audit: every printed number with its verdict and the reason for it. */
esr.section("audit", () => {
  const { CLAIM, Grid, MARKS, byId, claimFacts, data, el, explains, hide, sentence, text } = esr;
  const place = (claim) => `${text(claim[CLAIM.paper])}.${text(claim[CLAIM.table])}`;
  const label = (claim) => text(claim[CLAIM.table]).replace("table", "Table ");
  const verdict = (claim) => data.verdicts[claim[CLAIM.verdict]];
  const pooled = (key, name, position, extra = {}) => ({ key, label: name, value: (claim) => text(claim[position]), ...extra });
  const digits = (words) => (words === null ? null : Number.parseFloat(words));
  const columns = [
    { key: "table", label: "Table", value: (claim) => place(claim) }, pooled("row", "Row", CLAIM.row), { key: "scale", label: "Scale", value: (claim) => claim[CLAIM.scale] },
    pooled("metric", "Metric", CLAIM.metric), pooled("dataset", "Data", CLAIM.dataset),
    { key: "printed", label: "Printed", value: (claim) => digits(claim[CLAIM.printed]) }, { key: "ours", label: "Ours", value: (claim) => digits(claim[CLAIM.ours]) },
    { key: "verdict", label: "Verdict", value: (claim) => claim[CLAIM.verdict] }, pooled("cause", "Why", CLAIM.cause),
  ];
  const several = new Set(data.claims.map((claim) => claim[CLAIM.paper])).size > 1;
  const grid = new Grid({
    table: byId("claimtablelist"), count: byId("claimcount"), more: byId("claimmore"), noun: "printed numbers", columns, rows: data.claims,
    head(self) {
      const numeric = new Set(["printed", "ours"]);
      self.table.replaceChildren(el("thead", {}, el("tr", {}, ...columns.map((column) => self.header(column, { class: numeric.has(column.key) ? "n" : null })))));
    },
    cells(claim) {
      const unit = text(claim[CLAIM.unit]), kind = verdict(claim);
      const cell = explains(el("td", { class: "n", tabindex: "-1" }, el("span", { class: "printed" }, `${claim[CLAIM.printed]} ${unit}`)),
        () => [el("h3", {}, `${label(claim)}, ${text(claim[CLAIM.row])} ×${claim[CLAIM.scale]}: ${text(claim[CLAIM.dataset])} ${text(claim[CLAIM.metric])}`), ...claimFacts(claim, [])]);
      return el("tr", {}, el("th", { scope: "row" }, several ? `${text(claim[CLAIM.paper])}, ${label(claim)}` : label(claim)), el("td", {}, text(claim[CLAIM.row])), el("td", {}, `×${claim[CLAIM.scale]}`),
        el("td", {}, text(claim[CLAIM.metric])), el("td", {}, text(claim[CLAIM.dataset])), cell, el("td", { class: "r" }, claim[CLAIM.ours] ?? "–"),
        el("td", {}, el("span", { class: `mark ${kind}` }, MARKS[kind]), el("span", { class: kind.replace(" ", "_") }, kind)), el("td", { class: "text" }, sentence(text(claim[CLAIM.cause]), text(claim[CLAIM.model]))));
    },
  });
  const wanted = { verdict: "all", table: "all", metric: "all", model: "all", words: "" };
  const haystack = data.claims.map((claim) => [CLAIM.row, CLAIM.model, CLAIM.metric, CLAIM.dataset, CLAIM.cause].map((at) => text(claim[at])).join(" ").toLowerCase());
  const at = new Map(data.claims.map((claim, index) => [claim, index]));
  const boxes = { table: byId("claimtable"), metric: byId("claimmetric"), model: byId("claimmodel") };
  function filter() {
    hide();
    grid.accept = (claim) => (wanted.verdict === "all" || verdict(claim) === wanted.verdict) && (wanted.table === "all" || place(claim) === wanted.table) &&
      (wanted.metric === "all" || text(claim[CLAIM.metric]) === wanted.metric) && (wanted.model === "all" || text(claim[CLAIM.model]) === wanted.model) &&
      (!wanted.words || haystack[at.get(claim)].includes(wanted.words));
    grid.refresh();
    for (const [name, box] of Object.entries(boxes)) box.value = wanted[name];
    for (const button of byId("claimverdicts").children) button.setAttribute("aria-pressed", String(button.textContent === wanted.verdict));
  }
  function options(box, name, values, words = (value) => value) {
    box.append(el("option", { value: "all" }, "all"), ...values.map((value) => el("option", { value }, words(value))));
    box.addEventListener("change", () => { wanted[name] = box.value; filter(); });
  }
  const distinct = (of) => [...new Set(data.claims.map(of))];
  options(boxes.table, "table", distinct(place), (value) => (several ? value : value.split(".")[1].replace("table", "Table ")));
  options(boxes.metric, "metric", distinct((claim) => text(claim[CLAIM.metric])));
  options(boxes.model, "model", distinct((claim) => text(claim[CLAIM.model])).sort());
  for (const name of ["all", ...data.verdicts]) {
    const button = el("button", { type: "button" }, name);
    button.addEventListener("click", () => { wanted.verdict = name; filter(); });
    byId("claimverdicts").append(button);
  }
  byId("claimfilter").addEventListener("input", (event) => { wanted.words = event.target.value.trim().toLowerCase(); filter(); });
  function reset() { Object.assign(wanted, { verdict: "all", table: "all", metric: "all", model: "all", words: "" }); byId("claimfilter").value = ""; }
  byId("claimreset").addEventListener("click", () => { reset(); grid.sortBy = null; filter(); });
  filter();
  return {
    print() { grid.draw(2000); },
    open([table, kind]) { reset(); wanted.table = boxes.table.querySelector(`option[value="${CSS.escape(table)}"]`) ? table : "all"; if (data.verdicts.includes(kind)) wanted.verdict = kind; filter(); return byId("claimtablelist").closest(".frame").previousElementSibling; },
  };
});
