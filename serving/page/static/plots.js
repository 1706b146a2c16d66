// The plots: pure functions from history to plotly's data, and one `draw` that shows them.

import { colours, css } from "./colours.js";
import { duration, fixed, moment } from "./format.js";
import { inForce, spans } from "./history.js";

export const SERVED = "@served";
export const BASELINE = "@baseline";
const MINUTE = 60_000;
const DAY = 86_400_000;
const TICKS = [
  { dtickrange: [null, MINUTE - 1], value: "%H:%M:%S" },
  { dtickrange: [MINUTE, 4 * 60 * MINUTE - 1], value: "%H:%M" },
  { dtickrange: [4 * 60 * MINUTE, DAY - 1], value: "%-d %b %H:%M" },
  { dtickrange: [DAY, "M1"], value: "%-d %b" },
  { dtickrange: ["M1", null], value: "%b" },
];
const coarse = matchMedia("(pointer: coarse)");
const narrow = matchMedia("(width < 600px)");

const IN_UNITS = new Set(["rmse", "mae"]); // of the label, however large

/** A figure of what was served, of the baseline and of each lineage; below, swaps on a band of who served. */
export function qualityPlot(history, model, { key, write }, range) {
  const colour = colours(model);
  const at = (who) => history.series[`${key}/${model.name}/${who}`] ?? [];
  const swaps = history.swaps.filter((swap) => swap.model === model.name);
  const serving = inForce(history.times, swaps).map((swap) => (swap ? ` · ${swap.lineage} #${swap.number}` : ""));
  const line = (name, values, style, more) => ({
    x: history.times, y: values, name, mode: "lines", line: style, text: values.map(write), hovertemplate: `%{text} ${name}<extra></extra>`, ...more,
  });
  const traces = model.lineages
    .filter((l) => l.name !== model.baseline)
    .map((l) => line(l.name, at(l.name), { color: colour[l.name], width: 1.4 }));
  traces.push(line("baseline", at(BASELINE), { color: css("--baseline"), width: 1.6, dash: "4px,3px" }));
  traces.push(line("served", at(SERVED), { color: css("--ink"), width: 2.4 }, {
    customdata: serving, hovertemplate: "<b>%{text} served</b>%{customdata}<extra></extra>",
  }));
  traces.push({
    x: swaps.map((s) => s.at), y: swaps.map(() => 0.15), yaxis: "y2", mode: "markers", hoverinfo: "skip",
    marker: { symbol: "line-ns-open", size: 5, color: css("--quiet"), line: { width: 1 }, opacity: swaps.length > 300 ? 0.4 : 0.9 },
  });
  const band = spans(swaps, model.name, history.times.at(-1)).map((span) => ({
    type: "rect", layer: "above", x0: span.from, x1: span.to, yref: "y2", y0: 0.4, y1: 1, line: { width: 0 },
    fillcolor: colour[span.lineage] ?? css("--baseline"),
  }));
  const layout = frame(history, range);
  const shares = !IN_UNITS.has(key);
  layout.yaxis.range = sensible([at(SERVED), at(BASELINE)], traces.slice(0, -1).map((t) => t.y), history.times, layout.xaxis.range, shares);
  if (shares) layout.yaxis.tickformat = ".2f";
  layout.yaxis.domain = [0.11, 1];
  layout.yaxis2 = { domain: [0, 0.07], range: [0, 1], visible: false, fixedrange: true };
  layout.xaxis.anchor = "free";
  layout.xaxis.position = 0;
  layout.shapes = band;
  return { traces, layout };
}

export function ratePlot(history, range) {
  const values = history.series.events_per_second ?? [];
  const days = (history.times.at(-1) - history.times[0]) / DAY;
  const many = days > 10;
  const traces = [{
    x: history.times, y: values, mode: "lines", line: { color: css(many ? "--line-1-pale" : "--line-1"), width: 1.2 }, fill: "tozeroy",
    fillcolor: css("--line-1-faint"), hovertemplate: "%{y:,.0f} events/s<extra></extra>",
  }];
  if (many) traces.push({ x: history.times, y: smooth(values, values.length / days), mode: "lines", line: { color: css("--line-1"), width: 2 }, hoverinfo: "skip" });
  const layout = frame(history, range);
  layout.yaxis.rangemode = "tozero";
  return { traces, layout };
}

/** The mean over `width` points around each: a year of days and nights is a solid block otherwise. */
function smooth(values, width) {
  const reach = Math.max(2, Math.round(width));
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + (value ?? 0));
  return values.map((_, i) => {
    const first = i - Math.floor(reach / 2);
    const [from, to] = [Math.max(0, first), Math.min(values.length, first + reach)];
    return (sums[to] - sums[from]) / (to - from);
  });
}

/** The worst lag at each time and whose it is; `lines`: [{name, values (ms), bound (ms or null)}]. */
export function lagPlot(history, lines, range) {
  const layout = frame(history, range);
  const shown = peaks(history.times, lines, layout.xaxis.range[0]);
  const bounds = [...new Set(lines.map((l) => l.bound).filter(Boolean))];
  const peak = Math.max(0, ...bounds, ...shown.map((p) => p.value));
  const [unit, size] = peak > 180 * MINUTE ? ["h", 60 * MINUTE] : peak > 3 * MINUTE ? ["min", MINUTE] : ["s", 1_000];
  const traces = [{
    x: shown.map((p) => p.at), y: shown.map((p) => (p.value === null ? null : p.value / size)), mode: "lines", fill: "tozeroy", fillcolor: css("--line-1-faint"),
    line: { color: css("--line-1"), width: 1.4 },
    text: shown.map((p) => `${duration(p.value)} ${p.value ? p.name : ""}`), hovertemplate: "%{text}<extra></extra>",
  }];
  layout.yaxis.rangemode = "tozero";
  layout.yaxis.ticksuffix = " " + unit;
  layout.shapes = bounds.map((bound) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: bound / size, y1: bound / size,
    line: { color: css("--red"), width: 1.3, dash: "5px,4px" },
  }));
  if (peak) layout.yaxis.range = [0, (peak / size) * 1.08];
  return { traces, layout };
}

/** The worst of the lines at each time; of a long time, the peak of each of 160 parts, at its own moment. */
function peaks(times, lines, start) {
  const points = times
    .map((at, i) => lines.map(({ name, values }) => ({ at, name, value: values[i] ?? null })).reduce(worse, { at, name: "", value: null }))
    .filter((point) => point.at >= start);
  if (points.length <= 320) return points;
  const found = [];
  points.forEach((point, i) => {
    const part = Math.floor((i * 160) / points.length);
    found[part] = found[part] ? worse(found[part], point) : point;
  });
  return found;
}

const worse = (a, b) => ((b.value ?? -1) > (a.value ?? -1) ? b : a);

/** Shows a plot in `node`; the reader's own zoom stays until another time range is chosen. */
export function draw(node, { traces, layout }) {
  const config = { displayModeBar: false, responsive: true, doubleClick: "reset" };
  return window.Plotly.react(node, traces, layout, config);
}

/** A layout without data, and with axes that mean nothing yet. */
export function bare() {
  const grid = css("--grid");
  return {
    margin: { l: 46, r: 24, t: 6, b: 26 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: coarse.matches ? false : "zoom",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--quiet") },
    hoverlabel: { bgcolor: css("--panel"), bordercolor: grid, font: { color: css("--ink"), size: 12 } },
    xaxis: { gridcolor: grid, linecolor: grid, zeroline: false, nticks: narrow.matches ? 4 : 6, tickangle: 0, ticklabeloverflow: "hide past div", fixedrange: coarse.matches },
    yaxis: { gridcolor: grid, zeroline: false, nticks: 6, fixedrange: true },
  };
}

/** The layout of a plot over time, `range` (ms) wide up to the newest point. */
function frame(history, range) {
  const layout = bare();
  const end = history.times.at(-1);
  const start = range === null ? history.times[0] : Math.max(history.begun ?? end - range, end - range);
  layout.uirevision = String(range);
  layout.hovermode = "x unified";
  Object.assign(layout.xaxis, { type: "date", range: [start, end], hoverformat: "%a %-d %b %H:%M UTC", tickformatstops: TICKS });
  return layout;
}

/** Shows `main` whole but for its noisiest hundredths, and of `all` what needs not more than as much room again. */
function sensible(main, all, times, [start, end], shares) {
  const inView = (values) => values.filter((v, i) => v !== null && times[i] >= start && times[i] <= end);
  const between = (columns) => {
    const seen = columns.flatMap(inView).sort((a, b) => a - b);
    return seen.length ? [seen[Math.floor(0.01 * (seen.length - 1))], seen[Math.ceil(0.99 * (seen.length - 1))]] : [0.5, 1];
  };
  const [low, high] = between(main);
  const [least, most] = between(all);
  // What hardly moves is not blown up: by a hundredth, of itself where it is in the label's unit.
  const room = Math.max(shares ? 0.01 : 0.01 * Math.abs(high) || 0.01, high - low);
  return [Math.max(low - room, least) - 0.08 * room, Math.min(high + room, most) + 0.08 * room];
}

/** What the plots show, in words. */
export function inWords({ key, name, write }, model) {
  const [now, base] = [model.rolling[key], model.rolling_baseline[key]].map(write);
  const since = model.served?.since_ms;
  return `${name} of what was served ${now}, baseline ${base}` + (since ? `, ${model.served.lineage} since ${moment(since)}` : "");
}
