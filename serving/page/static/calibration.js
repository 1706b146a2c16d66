// The calibration plot: what was predicted against what came true, and how many predictions that rests on.

import { css } from "./colours.js";
import { count, fixed } from "./format.js";
import { bare } from "./plots.js";

/** Bins with labels: a dot each with its 95 % interval (normal approximation), bars of their counts, the diagonal where all is right. */
export function calibrationPlot(model) {
  const bins = model.calibration.filter((b) => b.n && b.predicted !== null && b.observed !== null);
  if (!bins.length) return null;
  const spread = bins.map((b) => 1.96 * Math.sqrt((b.observed * (1 - b.observed)) / b.n));
  const most = Math.min(1, 1.06 * Math.max(0.1, ...bins.map((b, i) => Math.max(b.predicted, Math.min(1, b.observed + spread[i])))));
  const traces = [
    {
      type: "bar", x: bins.map((b) => (b.low + b.high) / 2), y: bins.map((b) => b.n), width: bins.map((b) => 0.94 * (b.high - b.low)), yaxis: "y2",
      marker: { color: css("--line-1-pale") }, hoverinfo: "skip",
    },
    { x: [0, 1], y: [0, 1], mode: "lines", line: { color: css("--baseline"), width: 1.4, dash: "4px,3px" }, hoverinfo: "skip" },
    {
      x: bins.map((b) => b.predicted), y: bins.map((b) => b.observed), mode: "lines+markers", line: { color: css("--line-1"), width: 1.4 },
      marker: { color: css("--line-1"), size: 8 }, error_y: { type: "data", array: spread, color: css("--line-1"), thickness: 1.2, width: 3 },
      text: bins.map((b) => `predicted ${fixed(b.predicted)}<br>came true ${fixed(b.observed)}<br>${count(b.n)} labelled`), hovertemplate: "%{text}<extra></extra>",
    },
  ];
  const layout = bare();
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.xaxis, type: "linear", range: [0, Math.max(most, bins.at(-1).high)], tickformat: ".1f", title: { text: "predicted", standoff: 4, font: { size: 12 } }, anchor: "y2" };
  layout.yaxis = { ...layout.yaxis, range: [0, most], domain: [0.27, 1], tickformat: ".1f", title: { text: "came true", standoff: 4, font: { size: 12 } } };
  layout.yaxis2 = { domain: [0, 0.2], gridcolor: css("--grid"), zeroline: false, nticks: 3, fixedrange: true, rangemode: "tozero", tickformat: "~s" };
  layout.margin = { ...layout.margin, l: 54, b: 40 };
  layout.bargap = 0;
  return { traces, layout };
}

/** The same in words. */
export function calibrationInWords(model) {
  const bins = model.calibration.filter((b) => b.n && b.observed !== null);
  return bins.length ? `Calibration: ${bins.map((b) => `predicted ${fixed(b.predicted, 2)}, came true ${fixed(b.observed, 2)} of ${count(b.n)}`).join("; ")}` : "Calibration: no labels yet";
}
