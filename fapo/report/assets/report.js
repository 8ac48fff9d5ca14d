// Draws the charts of a report from their options, in the colours of the style sheet, on screen and on paper.
(() => {
  "use strict";
  const root = document.documentElement;
  const options = JSON.parse(document.getElementById("charts").textContent);
  const drawn = new Map();
  const paper = 660;

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const painted = (value) => {
    if (typeof value === "string") return /^\$[a-z]+$/.test(value) ? colour(value.slice(1)) || value : value;
    if (Array.isArray(value)) return value.map(painted);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, painted(part)]));
  };
  const draw = (width) => {
    for (const [id, option] of Object.entries(options)) {
      const place = document.getElementById(id);
      if (drawn.has(id)) drawn.get(id).dispose();
      const chart = echarts.init(place, null, width ? { renderer: "svg", width } : { renderer: "svg" });
      chart.setOption(painted(option));
      drawn.set(id, chart);
    }
  };
  const theme = (name) => {
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    theme(isDark ? "light" : "dark");
    draw();
  });
  dark.addEventListener("change", () => draw());

  let chosen;
  addEventListener("beforeprint", () => {
    chosen = root.dataset.theme;
    theme("light");
    draw(paper);
  });
  addEventListener("afterprint", () => {
    theme(chosen);
    draw();
  });
  addEventListener("resize", () => drawn.forEach((chart) => chart.resize()));
  draw();
})();
