"use strict";
/** What the plots share: colours, text that stays text, the card beside the pointer, and plotly.js, unpacked when needed. */
const esrPlots = (() => {
  const PACKED = "%PACKED%";
  const coarse = matchMedia("(pointer: coarse)").matches;

  /** plotly reads a subset of HTML in every text it draws; foreign text may not be read as such. */
  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const shortened = (text, length = 32) => ([...text].length <= length ? text : `${[...text].slice(0, length - 1).join("")}…`);
  const shown = (value, digits, unit) =>
    `${value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}${unit ? `\u00a0${unit}` : ""}`;
  const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    return { paper: named("paper"), ink: named("ink"), muted: named("muted"), line: named("line"), accent: named("accent"), warn: named("warn") };
  }
  /** The part of every layout that follows the page: its fonts, its light or dark, its width. */
  function layout(more) {
    const c = colours();
    const axis = { gridcolor: c.line, zerolinecolor: c.line, linecolor: c.line, tickfont: { color: c.muted }, title: { font: { color: c.muted } }, automargin: true, zeroline: false };
    const { xaxis = {}, yaxis = {}, ...rest } = more;
    const merged = (own) => ({ ...axis, ...own, title: { ...axis.title, ...own.title } });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: c.ink },
      margin: { l: 56, r: 16, t: 28, b: 48 }, showlegend: false, hovermode: "closest", autosize: true,
      modebar: { color: c.muted, activecolor: c.accent, bgcolor: "rgba(0,0,0,0)" }, ...rest, xaxis: merged(xaxis), yaxis: merged(yaxis),
    };
  }
  const config = { displaylogo: false, typesetMath: false, showTips: false, scrollZoom: false, modeBarButtonsToRemove: ["autoScale2d"] };

  let library = null;
  /** plotly.js out of this very script, once and only when a plot comes into view. */
  function load() {
    library ??= (async () => {
      const packed = Uint8Array.from(atob(PACKED), (c) => c.charCodeAt(0));
      const script = document.createElement("script");
      script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
      document.head.append(script);
      return window.Plotly;
    })();
    return library;
  }
  /** Draws when the place is near the screen, again whenever told, and follows theme and width. `place.dataset.drawn` counts. */
  function lazily(place, draw) {
    let near = false, running = Promise.resolve();
    const redraw = () => {
      if (!near) return running;
      running = running.then(load).then((plotly) => draw(plotly)).then(() => { place.dataset.drawn = String(1 + Number(place.dataset.drawn || 0)); })
        .catch((error) => { place.textContent = `This browser cannot draw the plot (${error.message}). The figures folder beside this page has it as a file.`; });
      return running;
    };
    if (typeof DecompressionStream === "undefined" || typeof IntersectionObserver === "undefined") {
      place.textContent = "This browser is too old for the interactive plots. The figures folder beside this page has them as files.";
      return redraw;
    }
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { near = true; observer.disconnect(); redraw(); }
    }, { rootMargin: "400px" }).observe(place);
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (!place.dataset.drawn || !place.clientWidth || place.clientWidth === width) return;
      width = place.clientWidth;
      window.Plotly.Plots.resize(place);
    }).observe(place);
    document.addEventListener("themechange", redraw);
    return redraw;
  }

  let card = null;
  /** The card beside the pointer: elements, never markup. */
  function show(event, ...content) {
    card ??= document.body.appendChild(esr.el("div", { id: "plotcard", role: "tooltip" }));
    card.replaceChildren(...content);
    card.hidden = false;
    const gap = 14, width = card.offsetWidth, height = card.offsetHeight;
    const left = event.clientX + gap + width < innerWidth ? event.clientX + gap : event.clientX - gap - width;
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${Math.max(8, Math.min(event.clientY + gap, innerHeight - height - 8))}px`;
  }
  function hide() { if (card) card.hidden = true; }
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  function facts(pairs) {
    const list = esr.el("dl");
    for (const [name, value, note] of pairs) if (value) list.append(esr.el("dt", {}, name), esr.el("dd", {}, value, ...(note ? [esr.el("small", {}, note)] : [])));
    return list;
  }

  /** Choices of a menu, grouped; keeps the chosen value where it still exists. */
  function choices(select, options, wanted) {
    const groups = new Map();
    for (const option of options) {
      if (!groups.has(option.group)) groups.set(option.group, []);
      groups.get(option.group).push(esr.el("option", { value: option.value, title: option.about }, option.label));
    }
    select.replaceChildren(...[...groups].map(([group, nodes]) => (group ? esr.el("optgroup", { label: group }, ...nodes) : nodes)).flat());
    const value = [wanted, options[0]?.value].find((one) => options.some((option) => option.value === one));
    if (value !== undefined) select.value = value;
    return value;
  }

  return { plain, shortened, shown, signed, colours, layout, config, lazily, show, hide, facts, choices, coarse };
})();
