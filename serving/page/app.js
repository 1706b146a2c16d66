// Polls the app and shows what it says: figures each second, plots every other, nothing while the page is hidden.

import { byId, children, element, write } from "./dom.js";
import { duration } from "./format.js";
import { emptyHistory, merge } from "./history.js";
import { draw, inWords, lagPlot, qualityPlot, ratePlot } from "./plots.js";
import * as show from "./sections.js";

const POLL_MS = 1_000;
const GIVE_UP_MS = 5_000;
const LOST_AFTER_MS = 3_000;
const RUN = { starting: "starting", running: "live", draining: "finishing", ended: "ended", stopped: "stopped", failed: "failed" };
const OVER = ["ended", "stopped", "failed"];
const DAY = 86_400_000;
const WINDOWS = [["All", null], ["90 days", 90 * DAY], ["30 days", 30 * DAY], ["7 days", 7 * DAY], ["1 day", DAY]];

let status = null;
let history = emptyHistory();
let heard = null;
let drawn = null;
let range = null;

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function poll() {
  try {
    status = await ask("status.json");
    heard = Date.now();
    if (!document.hidden) {
      const next = history.cursor ? "?since=" + encodeURIComponent(history.cursor) : "";
      merge(history, await ask("history.json" + next));
    }
  } catch (error) {
    console.info("freshet: no answer, trying again:", error.message);
  }
  render();
  setTimeout(poll, POLL_MS);
}

function render() {
  showConnection();
  if (!status || document.hidden) return;
  document.title = `${status.promises.some((p) => p.state === "red") ? "✖ " : ""}${status.app} · freshet`;
  write(byId("app"), status.app);
  show.showClock(status);
  show.showPromises(status);
  show.showTiles(status);
  const sections = children(byId("models"), status.models.length, () => byId("model").content.cloneNode(true).firstElementChild);
  status.models.forEach((model, i) => show.showModel(sections[i], model));
  show.showTopics(status);
  show.showViews(status, history);
  show.showRoles(status);
  drawPlots();
}

function showConnection() {
  const over = status && OVER.includes(status.clock.state);
  const lost = heard ? Date.now() - heard > LOST_AFTER_MS : performance.now() > LOST_AFTER_MS;
  const state = lost ? (over ? "gone" : "lost") : status ? status.clock.state : "waiting";
  document.body.dataset.connection = state;
  const replay = status?.clock.paced && status.clock.state === "running" ? "replaying" : null;
  write(byId("run"), lost ? (over ? RUN[status.clock.state] : "connection lost") : status ? replay ?? RUN[status.clock.state] : "connecting");
  const since = heard ? `Last heard ${duration(Date.now() - heard)} ago: the figures are from then.` : "Nothing heard yet.";
  const text = over ? "The run is over and its server has gone. These are its last figures." : `No connection to the app. ${since} Trying again every second.`;
  byId("lost").hidden = !lost;
  write(byId("lost"), lost ? text : "");
}

function drawPlots() {
  showWindows();
  const newest = history.times.at(-1);
  const key = `${newest} ${range} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
  if (!window.Plotly || history.times.length < 2 || key === drawn?.key || Date.now() - (drawn?.at ?? 0) < 2 * POLL_MS - 100) return;
  drawn = { key, at: Date.now() };
  const bounds = Object.fromEntries(status.views.map((v) => [v.name, v.slo_ms]));
  const lag = (name, bound) => ({ name, values: history.series[name] ?? [], bound });
  draw(byId("plot-rate"), ratePlot(history, range));
  const views = status.views.map((v) => ({ ...lag(`feature_lag/${v.name}`, bounds[v.name]), name: v.name }));
  draw(byId("plot-lag"), lagPlot(history, views, range));
  status.models.forEach((model, i) => {
    const plot = (name) => byId("models").children[i].querySelector(`[data-plot=${name}]`);
    for (const kind of ["ne", "auc"]) {
      draw(plot(kind), qualityPlot(history, model, kind, range));
      plot(kind).setAttribute("aria-label", inWords(kind, model));
    }
    draw(plot("lag"), lagPlot(history, [{ ...lag(`model_lag/${model.name}`, model.slo_ms), name: model.name }], range));
  });
  document.body.dataset.plots = "drawn";
}

function redraw() {
  drawn = null;
  render();
}

/** A shorter time than the history resolves (a dozen points) is not offered. */
function showWindows() {
  const buttons = children(byId("windows"), WINDOWS.length, (i) => {
    const button = element("button", "", WINDOWS[i][0]);
    button.type = "button";
    button.addEventListener("click", () => { range = WINDOWS[i][1]; redraw(); });
    return button;
  });
  const span = history.times.length ? history.times.at(-1) - history.times[0] : 0;
  buttons.forEach((button, i) => {
    const wide = WINDOWS[i][1];
    button.disabled = wide !== null && (wide >= span || (wide / span) * history.times.length < 12);
    button.setAttribute("aria-pressed", String(range === wide));
  });
}

window.addEventListener("error", (event) => { document.body.dataset.error = event.message; });
window.addEventListener("unhandledrejection", (event) => { document.body.dataset.error = String(event.reason); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", render);
byId("plotly").addEventListener("load", redraw);
poll();
