// Polls the app and shows what it says: figures each second, plots every other, nothing while the page is hidden.

import { ask } from "./api.js";
import { calibrationInWords, calibrationPlot } from "./calibration.js";
import { byId, children, element, options, write } from "./dom.js";
import { duration } from "./format.js";
import { emptyHistory, merge } from "./history.js";
import { showModel } from "./models.js";
import * as operate from "./operate.js";
import * as overview from "./overview.js";
import { draw, inWords, lagPlot, qualityPlot, ratePlot } from "./plots.js";
import * as stream from "./stream.js";
import { showStatistics } from "./statistics.js";
import { taskOf } from "./tasks.js";

const POLL_MS = 1_000;
const LOST_AFTER_MS = 3_000;
const RUN = { starting: "starting", running: "live", ended: "ended" };
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WINDOWS = [["All", "all", null], ["90 days", "90d", 90 * DAY], ["30 days", "30d", 30 * DAY], ["7 days", "7d", 7 * DAY], ["1 day", "1d", DAY], ["1 hour", "1h", HOUR]];
const ENOUGH_POINTS = 12;

let status = null;
const histories = Object.fromEntries(WINDOWS.map(([, tier]) => [tier, emptyHistory()]));
let [, tier, range] = WINDOWS[0];
let heard = null;
let failed = false;
let drawn = null;

async function poll() {
  try {
    status = await ask("status.json");
    heard = Date.now();
    if (!document.hidden) await recall();
    failed = false;
  } catch (error) {
    failed = true;
    console.info("freshet: no answer, trying again:", error.message);
  }
  render();
  setTimeout(poll, POLL_MS);
}

/** Fetches what is new in the tier that is shown. */
async function recall() {
  const asked = tier;
  const { cursor } = histories[asked];
  merge(histories[asked], await ask(`history.json?tier=${asked}` + (cursor ? "&since=" + encodeURIComponent(cursor) : "")));
}

function render() {
  showConnection();
  if (!status || document.hidden) return;
  const wrong = status.outages.length || status.promises.some((p) => p.state === "red") || status.alerts.some((a) => a.state === "firing" && a.light === "red");
  document.title = `${wrong ? "✖ " : ""}${status.app} · freshet`;
  write(byId("app"), status.app);
  overview.showNotices(status);
  overview.showClock(status);
  overview.showPromises(status);
  overview.showAlerts(status);
  overview.showTiles(status);
  const sections = children(byId("models"), status.models.length, () => byId("model").content.cloneNode(true).firstElementChild);
  status.models.forEach((model, i) => showModel(sections[i], model, status.clock.app_ms));
  stream.showTopics(status);
  stream.showDead(status);
  stream.showTopic(status);
  showStatistics(status);
  stream.showViews(status, histories[tier]);
  stream.showRoles(status);
  operate.showSwitches(status);
  operate.showSettings(status);
  operate.showChanges(status);
  showWindows();
  drawPlots();
  document.body.dataset.shown = "yes";
}

function showConnection() {
  const over = status?.clock.state === "ended";
  const lost = failed && (heard ? Date.now() - heard : performance.now()) > LOST_AFTER_MS;
  const state = lost ? (over ? "gone" : "lost") : status ? status.clock.state : "waiting";
  document.body.dataset.connection = state;
  const replay = status?.catching_up ? "catching up" : status?.clock.paced && status.clock.state === "running" ? "replaying" : null;
  write(byId("run"), lost ? (over ? RUN[status.clock.state] : "connection lost") : status ? replay ?? RUN[status.clock.state] : "connecting");
  const since = heard ? `Last heard ${duration(Date.now() - heard)} ago: the figures are from then.` : "Nothing heard yet.";
  const text = over ? "The run is over and its server has gone. These are its last figures." : `No connection to the app. ${since} Trying again every second.`;
  byId("lost").hidden = !lost;
  write(byId("lost"), lost ? text : "");
}

const WORST = "";

function drawPlots() {
  const history = histories[tier];
  const view = options(byId("lag-view"), [[WORST, "the view that is worst"], ...status.views.map((v) => [v.name, v.name])]);
  const key = `${history.times.at(-1)} ${tier} ${view} ${matchMedia("(prefers-color-scheme: dark)").matches}`;
  const soon = drawn?.view === view + tier && Date.now() - drawn.at < 2 * POLL_MS - 100;
  if (!window.Plotly || history.times.length < 2 || key === drawn?.key || soon) return;
  drawn = { key, at: Date.now(), view: view + tier };
  const line = (kind, { name, slo_ms }) => ({ name, values: history.series[`${kind}/${name}`] ?? [], bound: slo_ms });
  draw(byId("plot-rate"), ratePlot(history, range));
  const views = status.views.filter((v) => view === WORST || v.name === view);
  draw(byId("plot-lag"), lagPlot(history, views.map((v) => line("feature_lag", v)), range));
  status.models.forEach((model, i) => {
    const plot = (name) => byId("models").children[i].querySelector(`[data-plot=${name}]`);
    taskOf(model).plots.forEach((told, place) => {
      const node = plot(["first", "second"][place]);
      write(node.parentElement.querySelector("[data-figure]"), told.name);
      write(node.parentElement.querySelector("[data-better]"), told.better);
      draw(node, qualityPlot(history, model, told, range));
      node.setAttribute("aria-label", inWords(told, model));
    });
    draw(plot("lag"), lagPlot(history, [line("model_lag", model)], range));
    const { title, about } = taskOf(model).diagram;
    write(plot("calibration").parentElement.querySelector("[data-title]"), title);
    write(plot("calibration").parentElement.querySelector("[data-about]"), about);
    const calibration = calibrationPlot(model);
    if (calibration) draw(plot("calibration"), calibration);
    plot("calibration").setAttribute("aria-label", calibrationInWords(model));
  });
  document.body.dataset.plots = "drawn";
}

function redraw() {
  drawn = null;
  render();
}

/** A time that the run does not fill, or that has but a few points, is not offered. */
function showWindows() {
  const buttons = children(byId("windows"), WINDOWS.length, (i) => {
    const node = element("button", "", WINDOWS[i][0]);
    node.type = "button";
    node.addEventListener("click", () => look(WINDOWS[i]));
    return node;
  });
  const { tiers, times, begun } = histories[tier];
  const span = times.length ? times.at(-1) - begun : 0;
  buttons.forEach((node, i) => {
    const [, name, wide] = WINDOWS[i];
    node.disabled = wide !== null && (wide >= span || (tiers[name] ?? 0) < ENOUGH_POINTS);
    node.setAttribute("aria-pressed", String(tier === name));
  });
}

async function look([, name, wide]) {
  [tier, range] = [name, wide];
  await recall().catch(() => {}); // the next poll tries again
  redraw();
}

window.addEventListener("error", (event) => { document.body.dataset.error = event.message; });
window.addEventListener("unhandledrejection", (event) => { document.body.dataset.error = String(event.reason); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", render);
document.addEventListener("chose", render);
byId("statistics-at").addEventListener("toggle", render);
byId("plotly").addEventListener("load", redraw);
operate.askForName();
poll();
