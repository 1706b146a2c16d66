// What was answered against what came: a dot for each part of the newest labelled answers, the diagonal where all is right.

import { css } from "./colours.js";
import { count, fixed } from "./format.js";
import { bare } from "./plots.js";
import { taskOf } from "./tasks.js";

/** Null where no part has labels yet. */
export function calibrationPlot(model) {
  const bins = shown(model);
  const { diagram } = taskOf(model);
  if (!bins.length) return null;
  return diagram.inUnits ? numbers(bins, diagram) : shares(bins, diagram);
}

const shown = (model) => model.calibration.filter((b) => b.n && b.predicted !== null && b.observed !== null);
// Half of a 95 % interval (normal approximation); what came true or not deviates by its share.
const interval = ({ n, observed, deviation }) => 1.96 * (deviation ?? Math.sqrt(observed * (1 - observed))) / Math.sqrt(n);

function dots(bins, { said, came, write }) {
  return {
    x: bins.map((b) => b.predicted), y: bins.map((b) => b.observed), mode: "lines+markers", line: { color: css("--line-1"), width: 1.4 },
    marker: { color: css("--line-1"), size: 8 }, error_y: { type: "data", array: bins.map(interval), color: css("--line-1"), thickness: 1.2, width: 3 },
    text: bins.map((b) => `${said} ${write(b.predicted)}<br>${came} ${write(b.observed)}<br>${count(b.n)} labelled`), hovertemplate: "%{text}<extra></extra>",
  };
}

const diagonal = (low, high) => ({ x: [low, high], y: [low, high], mode: "lines", line: { color: css("--baseline"), width: 1.4, dash: "4px,3px" }, hoverinfo: "skip" });
const titled = (text) => ({ text, standoff: 4, font: { size: 12 } });

/** Of probabilities, with bars of how many answers each dot rests on. */
function shares(bins, diagram) {
  const most = Math.min(1, 1.06 * Math.max(0.1, ...bins.map((b) => Math.max(b.predicted, Math.min(1, b.observed + interval(b))))));
  const end = Math.max(most, bins.at(-1).high);
  // On short axes a tenth is the step of several ticks.
  const tickformat = (length) => (length < 0.4 ? ".2f" : ".1f");
  const traces = [
    {
      type: "bar", x: bins.map((b) => (b.low + b.high) / 2), y: bins.map((b) => b.n), width: bins.map((b) => 0.94 * (b.high - b.low)), yaxis: "y2",
      marker: { color: css("--line-1-pale") }, hoverinfo: "skip",
    },
    diagonal(0, 1),
    dots(bins, diagram),
  ];
  const layout = bare();
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.xaxis, type: "linear", range: [0, end], tickformat: tickformat(end), title: titled(diagram.said), anchor: "y2" };
  layout.yaxis = { ...layout.yaxis, range: [0, most], domain: [0.27, 1], tickformat: tickformat(most), title: titled(diagram.came) };
  layout.yaxis2 = { domain: [0, 0.2], gridcolor: css("--grid"), zeroline: false, nticks: 3, fixedrange: true, rangemode: "tozero", tickformat: "~s" };
  layout.margin = { ...layout.margin, l: 54, b: 40 };
  layout.bargap = 0;
  return { traces, layout };
}

/** Of numbers, on axes of their own: both in the label's unit. */
function numbers(bins, diagram) {
  const ends = bins.flatMap((b) => [b.predicted, b.observed - interval(b), b.observed + interval(b)]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = 0.05 * (high - low) || 1;
  const range = [low - room, high + room];
  const layout = bare();
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.xaxis, type: "linear", range, title: titled(diagram.said) };
  layout.yaxis = { ...layout.yaxis, range, title: titled(diagram.came) };
  layout.margin = { ...layout.margin, l: 60, b: 40 };
  return { traces: [diagonal(...range), dots(bins, diagram)], layout };
}

/** The same in words. */
export function calibrationInWords(model) {
  const { title, said, came, inUnits, write } = taskOf(model).diagram;
  const name = inUnits ? title : "Calibration";
  const figure = inUnits ? write : (value) => fixed(value, 2);
  const told = shown(model).map((b) => `${said} ${figure(b.predicted)}, ${came} ${figure(b.observed)} of ${count(b.n)}`);
  return told.length ? `${name}: ${told.join("; ")}` : `${name}: no labels yet`;
}
