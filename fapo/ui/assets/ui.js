// What the pages do beyond links and htmx: keys, the pane for a trace, filters by click, events as they come, the chart.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const wide = () => matchMedia("(min-width: 861px)").matches;
const shown = (element) => element.offsetParent !== null;

// -- rows: one is chosen, by key or by click

const rows = () => all(".row").filter(shown);
let openCase = null;
let chosenCase = null;

// Case and trial of a row, whatever filter its links carry.
function caseOf(row) {
  if (!row.dataset.part) return null;
  const given = new URL(row.href).searchParams;
  return `${given.get("trial") ?? 0} ${given.get("case")}`;
}

function choose(row) {
  all(".row.here").forEach((other) => other.classList.remove("here"));
  if (!row) return;
  row.classList.add("here");
  chosenCase = caseOf(row);
  const more = one(".cases > [hx-trigger^=intersect]");
  if (more && rows().indexOf(row) > rows().length - 10) more.scrollIntoView({ block: "nearest" });
  row.scrollIntoView({ block: "nearest" });
}

function move(by) {
  const list = rows();
  if (list.length === 0) return false;
  const at = list.findIndex((row) => row.classList.contains("here"));
  const next = Math.min(list.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by));
  choose(list[next]);
  if (openCase && list[next].dataset.part) open(list[next]);
  return true;
}

function open(row) {
  if (!row) return;
  choose(row);
  if (row.dataset.part && wide()) {
    openCase = caseOf(row);
    mark();
    htmx.ajax("GET", row.dataset.part, { target: "#pane", swap: "innerHTML" });
  } else if (row.dataset.href || row.href) {
    location.assign(row.dataset.href || row.href);
  }
}

// After a list was made anew: what was open and chosen before still is.
function mark() {
  const chosen = one(".case.here");
  all("a.case").forEach((row) => {
    row.classList.toggle("open", caseOf(row) === openCase);
    if (!chosen && caseOf(row) === chosenCase) row.classList.add("here");
  });
}

function close() {
  if (!openCase) return false;
  openCase = null;
  mark();
  one("#pane").innerHTML = "";
  return true;
}

document.addEventListener("click", (event) => {
  const target = event.target.closest(".row, [data-close], .facet, .bin, #clear, #theme, #help-button");
  if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (target.matches("[data-close]")) close();
  else if (target.matches("#theme")) theme();
  else if (target.matches("#help-button")) one("#help").showModal();
  else if (target.matches(".facet")) facet(target);
  else if (target.matches(".bin")) filter({ low: target.dataset.low, high: target.dataset.high });
  else if (target.matches("#clear")) filter({ q: "", state: "all", step: "", category: "", level: "", low: "", high: "" });
  else if (target.matches("a.case") && wide()) event.preventDefault(), open(target);
  else if (target.matches("tr.row") && !event.target.closest("a")) open(target);
});

// -- filters

function filter(values) {
  const form = one("#filter");
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements[name];
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
      field.add(new Option(value.replaceAll("_", " "), value));
    }
    field.value = value;
  }
  htmx.trigger(form, "refilter");
  lightFacets();
}

function facet(button) {
  const { step, category } = button.dataset;
  const form = one("#filter");
  const on = form.elements.step.value === step && form.elements.category.value === category;
  filter(on ? { step: "", category: "" } : { step, category });
}

function lightFacets() {
  const form = one("#filter");
  if (!form || !form.elements.step) return;
  all(".facet").forEach((button) => {
    const on = form.elements.step.value === button.dataset.step && form.elements.category.value === button.dataset.category;
    button.classList.toggle("on", on);
  });
}

document.addEventListener("input", (event) => {
  const finds = event.target.dataset.finds;
  if (!finds) return;
  const text = event.target.value.toLowerCase();
  all(finds).forEach((row) => (row.hidden = !row.textContent.toLowerCase().includes(text)));
});

document.addEventListener("change", (event) => {
  if (event.target.id === "against" && event.target.value) {
    location.assign(`/compare?${new URLSearchParams({ a: event.target.value, b: event.target.dataset.b })}`);
  }
  lightFacets();
});

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "pane") event.target.scrollTop = 0;
  if (event.target.id === "figures") addBlamed();
  mark();
  lightFacets();
});

// Steps and reasons that were found to be blamed after the page was made.
function addBlamed() {
  const form = one("#filter");
  for (const name of ["step", "category"]) {
    const field = form.elements[name];
    const known = new Set([...field.options].map((option) => option.value));
    for (const button of all(".facet")) {
      const value = button.dataset[name];
      if (!known.has(value)) known.add(value), field.add(new Option(value.replaceAll("_", " "), value));
    }
  }
}

// -- keys

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("fapo-theme", root.dataset.theme);
  draw();
}

const follow = (name) => {
  const href = one(`[data-${name}]`)?.dataset[name];
  if (href) location.assign(href);
};

const KEYS = {
  j: () => move(1) || follow("after"),
  k: () => move(-1) || follow("before"),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  g: () => choose(rows()[0]),
  G: () => choose(rows().at(-1)),
  Enter: () => open(one(".row.here")),
  "/": () => one("#search")?.focus(),
  f: () => { const field = one("#filter")?.elements.state; if (field) filter({ state: field.value === "failing" ? "all" : "failing" }); },
  o: () => { const steps = all(".trace details.step"); const some = steps.some((step) => !step.open); steps.forEach((step) => (step.open = some)); },
  u: () => follow("up"),
  t: theme,
  "?": () => one("#help").showModal(),
  Escape: () => close(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
  const field = event.target.closest("input:not([type=radio]), select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur(), event.preventDefault();
    if (event.key === "Enter" && field.id === "search") field.blur(), choose(rows()[0]), event.preventDefault();
    return;
  }
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (event.key.startsWith("Arrow") && (!one(".row") || event.target.closest(".right"))) return;
  const act = KEYS[event.key];
  if (act) event.preventDefault(), act();
});

// -- events as they come; a hidden page keeps no connection, since a browser has few for one server

let stream = null;
let lastSeen = "";

function connect() {
  const place = one("[data-stream]");
  if (!place || stream) return;
  const url = new URL(place.dataset.stream, location.href);
  if (lastSeen) url.searchParams.set("after", lastSeen);
  stream = new EventSource(url);
  stream.addEventListener("grown", grown);
  stream.addEventListener("line", (event) => {
    lastSeen = event.lastEventId;
    if (one(`#at-${CSS.escape(lastSeen)}`)) return;
    one("#log").insertAdjacentHTML("afterbegin", event.data);
    one("#log").firstElementChild.classList.add("new");
  });
  stream.addEventListener("state", (event) => replace(one("#run"), event.data));
}

function grown() {
  if (one("#runs")) return htmx.trigger("#runs", "grown");
  htmx.trigger("#figures", "grown");
  if (rows().length <= 100) htmx.trigger("#filter", "refilter");
}

// New content, with what was chosen and unfolded before.
function replace(place, html) {
  const here = one(".row.here", place)?.id;
  const unfolded = all("details", place).map((details) => details.open);
  place.innerHTML = html;
  all("details", place).forEach((details, number) => (details.open = unfolded[number] ?? details.open));
  if (here) one(`#${CSS.escape(here)}`)?.classList.add("here");
  draw();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream?.close(), (stream = null);
  else connect(), one("#evaluation") && grown();
});
addEventListener("pagehide", () => { stream?.close(); stream = null; });
addEventListener("pageshow", connect);

// -- the chart

function draw() {
  const place = one("#chart");
  if (!place || !window.echarts) return;
  const points = JSON.parse(place.dataset.points);
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(`--${name}`).trim();
  const tone = { accepted: colour("good"), rejected: colour("bad"), baseline: colour("accent"), open: colour("faint") };
  echarts.getInstanceByDom(place)?.dispose();
  const chart = echarts.init(place, null, { renderer: "canvas" });
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "system-ui, sans-serif", color: colour("faint") },
    grid: { left: 48, right: 16, top: 18, bottom: 30 },
    tooltip: {
      trigger: "item", renderMode: "richText", backgroundColor: colour("panel"), borderColor: colour("line"),
      textStyle: { color: colour("text"), fontSize: 12 },
      formatter: (item) => { const point = points[item.dataIndex]; return `${point.variant}  ${point.value.toFixed(3)}  ${point.verdict}\n${point.label}`; },
    },
    xAxis: { type: "category", axisLabel: { color: colour("faint") }, data: points.map((point) => point.variant), axisLine: { lineStyle: { color: colour("line") } }, axisTick: { show: false } },
    yAxis: { type: "value", scale: true, splitLine: { lineStyle: { color: colour("line") } }, axisLabel: { color: colour("faint"), formatter: (value) => String(+value.toFixed(3)) } },
    series: [
      { type: "line", step: "end", symbol: "none", silent: true, data: points.map((point) => point.best), lineStyle: { color: colour("accent"), width: 2, opacity: 0.6 } },
      {
        type: "scatter", symbolSize: 12,
        data: points.map((point) => ({ value: point.value, itemStyle: { color: point.estimated ? colour("panel") : tone[point.verdict], borderColor: tone[point.verdict], borderWidth: 2 } })),
      },
    ],
  });
  chart.on("click", (item) => { if (item.dataIndex > 0) location.assign(one(`#variant-${points[item.dataIndex].variant}`).dataset.href); });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("resize", () => { const place = one("#chart"); if (place && window.echarts) echarts.getInstanceByDom(place)?.resize(); });
draw();
