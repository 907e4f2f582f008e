/* One live chart for each objective against its bound: history first, then each assessment as it comes. */
"use strict";
(() => {
  const SPAN_MS = 600000;
  const SPAN_LEAST_MS = 120000; // a young history is not squeezed into a corner
  const POINTS_MAX = 1200;
  const DRAW_MS = 2000; // drawing costs far more than the figures above the charts, which follow each second
  const SCALES = { seconds: [1000, "ms"], ratio: [100, "%"] };
  const charts = new Map();
  let serverNow = 0;

  let colours = new Map();
  const css = (name) => {
    if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return colours.get(name);
  };
  const key = (service, objective) => service + "|" + objective;

  function marksOf(service) {
    const all = JSON.parse(document.getElementById("chart-marks").textContent);
    return all.filter((mark) => mark.service === service).map((mark) => [Date.parse(mark.at), mark.text]);
  }

  function gaps(chart) {
    const found = [];
    for (let index = 0; index < chart.x.length; index += 1) {
      if (chart.y[index] !== null) continue;
      const from = index > 0 ? chart.x[index - 1] : chart.x[index];
      while (index < chart.x.length && chart.y[index] === null) index += 1;
      found.push([from, chart.x[Math.min(index, chart.x.length - 1)]]);
    }
    return found;
  }

  function rangeOf(chart) {
    const known = chart.y.filter((value) => value !== null);
    const low = Math.min(chart.bound, ...known);
    const high = Math.max(chart.bound, ...known);
    const floor = low < 0.5 * high || low <= 0 ? Math.min(0, low) : low - (high - low || Math.abs(high)) * 0.15;
    return [floor, high + (high - floor || 1) * 0.15];
  }

  function layoutOf(chart) {
    chart.revision += 1;
    const [floor, top] = rangeOf(chart);
    const bad = css("--bad");
    const beyond = chart.atMost ? [chart.bound, top] : [floor, chart.bound];
    const line = (x0, x1, y0, y1, color, dash) => ({ type: "line", x0, x1, y0, y1, line: { color, width: 1, dash }, layer: "below" });
    const first = chart.x.length ? chart.x[0] : serverNow;
    const start = Math.max(serverNow - SPAN_MS, Math.min(first, serverNow - SPAN_LEAST_MS));
    const shapes = [
      { type: "rect", xref: "paper", x0: 0, x1: 1, y0: beyond[0], y1: beyond[1], fillcolor: bad, opacity: 0.07, line: { width: 0 }, layer: "below" },
      { ...line(0, 1, chart.bound, chart.bound, bad, "dash"), xref: "paper", layer: "above", opacity: 0.8 },
      ...gaps(chart).map(([x0, x1]) => ({ type: "rect", x0, x1, yref: "paper", y0: 0, y1: 1, fillcolor: css("--unknown"), opacity: 0.16, line: { width: 0 }, layer: "below" })),
      ...marksOf(chart.service).map(([at]) => ({ ...line(at, at, 0, 1, css("--muted"), "dot"), yref: "paper" })),
    ];
    const axis = { gridcolor: css("--line"), linecolor: css("--line"), tickfont: { size: 11, color: css("--muted") }, zeroline: false, fixedrange: true };
    return {
      height: 120, datarevision: chart.revision, margin: { l: 44, r: 4, t: 4, b: 18 }, showlegend: false, shapes, hovermode: "x",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { family: getComputedStyle(document.body).fontFamily, color: css("--text") },
      hoverlabel: { bgcolor: css("--surface"), bordercolor: css("--line"), font: { color: css("--text"), size: 12 } },
      xaxis: { ...axis, type: "date", range: [start, serverNow], tickformat: "%H:%M", dtick: serverNow - start > 300000 ? 120000 : 60000, tick0: 0, showgrid: false, ticks: "outside", ticklen: 3, tickcolor: css("--line") },
      yaxis: { ...axis, range: [floor, top], nticks: 4, ticksuffix: " " + chart.unit },
    };
  }

  function tracesOf(chart) {
    const marks = marksOf(chart.service);
    const [floor] = rangeOf(chart);
    return [
      { x: chart.x, y: chart.y, type: "scatter", mode: "lines", connectgaps: false, line: { color: css("--accent"), width: 1.6, shape: "hv" }, hovertemplate: "%{y:.3~g} " + chart.unit + "<extra>%{x|%H:%M:%S}</extra>" },
      { x: marks.map((mark) => mark[0]), y: marks.map(() => floor), text: marks.map((mark) => mark[1]), type: "scatter", mode: "markers", cliponaxis: false, marker: { symbol: "triangle-up", size: 9, color: css("--text") }, hovertemplate: "%{text}<extra>%{x|%H:%M:%S}</extra>" },
    ];
  }

  function draw(chart) {
    chart.dirty = !chart.visible || !serverNow;
    if (chart.dirty) return;
    if (!chart.drawn) { chart.box.replaceChildren(); chart.drawn = true; }
    Plotly.react(chart.box, tracesOf(chart), layoutOf(chart), { displayModeBar: false, responsive: true, staticPlot: false });
  }

  function add(chart, end, value) {
    const at = Date.parse(end);
    if (chart.x.length && at <= chart.x[chart.x.length - 1]) return;
    chart.x.push(at);
    chart.y.push(value === null ? null : value * chart.scale);
    while (chart.x.length > POINTS_MAX || chart.x[0] < at - SPAN_MS) { chart.x.shift(); chart.y.shift(); }
    serverNow = Math.max(serverNow, at);
    chart.dirty = true;
  }

  async function load(chart) {
    const query = new URLSearchParams({ objective: chart.objective, limit: "600" });
    const path = "/api/v1/services/" + chart.service.split("/").map(encodeURIComponent).join("/");
    try {
      const answer = await fetch(path + "/history?" + query, { cache: "no-store", signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const later = chart.x.map((at, index) => [at, chart.y[index]]);
      chart.x = []; chart.y = [];
      for (const point of (await answer.json()).points) add(chart, point.end, point.value);
      for (const [at, value] of later) {
        if (!chart.x.length || at > chart.x[chart.x.length - 1]) { chart.x.push(at); chart.y.push(value); }
      }
    } catch {
      const note = document.createElement("p");
      note.className = "failed";
      note.textContent = "The history could not be loaded; new values are drawn as they come.";
      if (!chart.drawn) chart.box.append(note);
    }
    chart.dirty = true;
    draw(chart);
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const chart = charts.get(key(entry.target.dataset.service, entry.target.dataset.objective));
      chart.visible = entry.isIntersecting;
      if (chart.visible && chart.x.length) draw(chart);
    }
  }, { rootMargin: "200px" });

  for (const box of document.querySelectorAll(".chart")) {
    const { service, objective, bound, unit, atMost } = box.dataset;
    const [scale, shown] = SCALES[unit] || [1, unit.replace(/_/g, " ")];
    const chart = { box, service, objective, unit: shown, scale, bound: Number(bound) * scale, atMost: atMost === "yes", x: [], y: [], dirty: false, drawn: false, visible: false, revision: 0 };
    charts.set(key(service, objective), chart);
    watcher.observe(box);
    load(chart);
  }
  document.addEventListener("trimtab:assessment", (event) => {
    const chart = charts.get(key(event.detail.object_id, event.detail.objective));
    if (chart) add(chart, event.detail.end, event.detail.value);
  });
  document.addEventListener("trimtab:reset", () => charts.forEach(load));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours = new Map();
    charts.forEach((chart) => { chart.dirty = true; });
  });
  const drawAll = () => { if (!document.hidden) charts.forEach((chart) => { if (chart.dirty) draw(chart); }); };
  setInterval(drawAll, DRAW_MS);
})();
