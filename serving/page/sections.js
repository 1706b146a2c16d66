// One function for each part of the page, from the status to what is shown.

import { byId, children, element, fill, fillTiles, setSign, sign, write } from "./dom.js";
import { count, DASH, day, duration, fixed, milliseconds, moment, signed, time } from "./format.js";
import { colours } from "./plots.js";

const WORDS = { green: "holds", amber: "at risk", red: "broken" };
const FINAL = { ended: "Ended: these are the final figures", stopped: "Stopped: these are the last figures", failed: "Failed: these are the last figures" };
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const listed = (counts) => Object.entries(counts).filter(([, n]) => n).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${count(n)}`).join(" · ");
const worst = (items) => items.reduce((a, b) => ((b.lag_ms ?? -1) > (a?.lag_ms ?? -1) ? b : a), null);
const share = (lag, bound) => (bound && lag !== null ? lag / bound : undefined);
const breach = (lag, bound) => (bound && lag > bound ? "red" : "");

export function showClock({ clock }) {
  write(byId("day"), day(clock.app_ms));
  write(byId("time"), time(clock.app_ms));
  const span = clock.end_ms - clock.start_ms;
  const done = clock.end_ms && clock.app_ms && span > 0 ? Math.min(1, Math.max(0, (clock.app_ms - clock.start_ms) / span)) : null;
  const bar = byId("progress");
  bar.style.visibility = done === null ? "hidden" : "visible";
  bar.firstElementChild.style.width = 100 * (done ?? 0) + "%";
  bar.setAttribute("aria-valuenow", Math.round(100 * (done ?? 0)));
  write(byId("pace"), pace(clock, done));
}

function pace(clock, done) {
  const spent = duration(clock.wall_seconds * 1_000);
  if (done === null) return FINAL[clock.state] ?? `up for ${spent}`;
  const passed = clock.app_ms - clock.start_ms;
  const parts = [FINAL[clock.state], `${fixed(100 * done, 1)} %`, `${duration(passed)} of ${duration(clock.end_ms - clock.start_ms)}`, `${spent} elapsed`];
  if (clock.state === "running" && done > 0.01) parts.push(`about ${duration((1_000 * clock.wall_seconds * (1 - done)) / done)} left`);
  if (clock.wall_seconds > 1) parts.push(`${count(passed / 1_000 / clock.wall_seconds)} × real time`);
  if (clock.waits_for) parts.push(`waits for ${clock.waits_for}`);
  return parts.filter(Boolean).join(" · ");
}

export function showPromises({ promises }) {
  const made = children(byId("promises"), promises.length, () =>
    element("li", "", sign(), element("div", "", element("b"), " ", element("span", "word"), element("p"))));
  promises.forEach(({ name, state, reason }, i) => {
    const [svg, body] = made[i].children;
    made[i].dataset.state = state;
    setSign(svg, state);
    write(body.children[0], name);
    write(body.children[1], WORDS[state]);
    write(body.children[2], reason);
    body.children[2].title = reason;
  });
  const wrong = promises.filter((p) => p.state !== "green").length;
  const all = promises.length === 1 ? "The promise holds" : `All ${promises.length} promises hold`;
  write(byId("promises-title"), !promises.length ? "Promises" : wrong ? `${wrong} of ${promises.length} promises ${wrong === 1 ? "needs" : "need"} a look` : all);
}

export function showTiles({ events_per_second, topics, views, requests }) {
  const slowest = worst(views);
  fillTiles(byId("tiles"), [
    { label: "Events", value: count(events_per_second), unit: "/s", sub: `${count(sum(topics.map((t) => t.records)))} so far` },
    {
      label: "Worst feature lag", value: duration(slowest?.lag_ms ?? null), sub: slowest ? `${slowest.name}, bound ${duration(slowest.slo_ms)}` : "",
      meter: share(slowest?.lag_ms ?? null, slowest?.slo_ms), state: breach(slowest?.lag_ms, slowest?.slo_ms),
    },
    { label: "Request p99", value: milliseconds(requests.p99_ms), unit: "ms", sub: `near swaps ${milliseconds(requests.p99_swap_ms)} · p50 ${milliseconds(requests.p50_ms)}` },
    { label: "Failed requests", value: count(requests.failed), sub: `of ${count(requests.answered + requests.failed)} · ${count(requests.rows)} predictions`, state: requests.failed ? "red" : "" },
  ]);
}

export function showModel(section, model) {
  const part = (name) => section.querySelector(`[data-${name}]`);
  const { rolling, rolling_baseline: base, served } = model;
  const against = (kind) =>
    rolling[kind] === null || base[kind] === null ? "too few labels yet" : `baseline ${fixed(base[kind])} (${signed(rolling[kind] - base[kind])})`;
  write(part("name"), model.name);
  fillTiles(part("tiles"), [
    { label: "Served", value: served ? served.lineage : "nothing yet", sub: served ? `#${served.number}, this lineage since ${moment(served.since_ms)}` : "" },
    { label: "Normalised entropy", value: fixed(rolling.ne), sub: against("ne") },
    { label: "AUC", value: fixed(rolling.auc), sub: against("auc") },
    { label: "Calibration", value: fixed(rolling.calibration, 2), sub: `last ${count(rolling.n)} labelled` },
    { label: "Model lag", value: duration(model.lag_ms), sub: `bound ${duration(model.slo_ms)}`, meter: share(model.lag_ms, model.slo_ms), state: breach(model.lag_ms, model.slo_ms) },
  ]);
  showLegend(part("legend"), model);
  showLineages(part("lineages"), model);
  showSlices(part("slices"), model);
}

function showLegend(list, model) {
  const colour = colours(model);
  const lines = [["served", "var(--ink)", "thick"], ["baseline", "var(--baseline)", "dashed"]];
  for (const { name } of model.lineages) if (name !== model.baseline) lines.push([name, colour[name], ""]);
  lines.push(["band below: who served, ticks: swaps", "", "words"]);
  const made = children(list, lines.length, () => element("li", "", element("i"), element("span")));
  lines.forEach(([name, ink, style], i) => {
    made[i].firstElementChild.className = style;
    made[i].firstElementChild.style.borderColor = ink;
    write(made[i].lastElementChild, name);
  });
}

const number = "number";
const LINEAGES = [{ title: "Lineage" }, { title: "Examples", className: number }, { title: "AUC", className: number }, { title: "NE", className: number }, { title: "Calib.", className: number }, { title: "State" }];

function showLineages(table, model) {
  const colour = colours(model);
  const counts = `${count(model.snapshots)} snapshots: ${count(model.approvals)} approved, ${count(model.refusals)} refused · ${count(model.swaps)} swaps\n${count(model.asked)} asked: ${count(model.labelled)} labelled, ${count(model.expired)} expired`;
  const rows = model.lineages.map((l) => [
    {
      text: l.name, swatch: colour[l.name], className: l.name === model.served?.lineage ? "strong" : "",
      more: (l.number === null ? "" : ` #${l.number}`) + (l.alias ? ` ${l.alias}` : ""),
    },
    count(l.examples), fixed(l.overall.auc), fixed(l.overall.ne), fixed(l.overall.calibration, 2),
    { text: l.state, className: "state " + l.state },
  ]);
  if (rows.length) rows.at(-1).note = counts;
  fill(table, LINEAGES, rows);
}

const SLICES = [{ title: "Slice" }, { title: "Labelled", className: number }, { title: "AUC", className: number }, { title: "NE", className: number }, { title: "Baseline", className: number }, { title: "Difference", className: number }, { title: "Calib.", className: number }];

const MOST_SLICES = 24;

function showSlices(table, model) {
  const biggest = [...model.slices].sort((a, b) => b.served.n - a.served.n).slice(0, MOST_SLICES);
  const rows = biggest.map(({ field, value, served, baseline }) => {
    const difference = served.ne === null || baseline.ne === null ? null : served.ne - baseline.ne;
    return [
      `${field} ${value}`, count(served.n), fixed(served.auc), fixed(served.ne), fixed(baseline.ne),
      { text: signed(difference), className: difference === null ? "" : difference > 0 ? "worse" : "better" }, fixed(served.calibration, 2),
    ];
  });
  if (rows.length < model.slices.length) rows.at(-1).note = `the ${rows.length} largest of ${model.slices.length}`;
  fill(table, SLICES, rows);
}

const TOPICS = [{ title: "Topic" }, { title: "Fates", className: "bars" }, { title: "Records", className: number }, { title: "per second", className: number }, { title: "Applied", className: number }, { title: "Duplicates", className: number }, { title: "Dropped", className: number }, { title: "Dead", className: number }, { title: "Ticks", className: number }, { title: "Lag", className: number }];

export function showTopics({ topics }) {
  fill(byId("topics"), TOPICS, topics.map((t) => {
    const [dropped, dead] = [sum(t.dropped) + t.erased + t.expired, sum(t.dead)];
    const gone = { ...t.dropped, ...(t.erased ? { erased: t.erased } : {}), ...(t.expired ? { expired: t.expired } : {}) };
    const row = [
      t.name,
      { text: "", bar: [[t.applied, "applied"], [t.deduplicated, "deduplicated"], [dropped, "dropped"], [dead, "dead"]] },
      count(t.records), count(t.per_second), count(t.applied), count(t.deduplicated), count(dropped), count(dead), count(t.ticks), duration(t.lag_ms),
    ];
    row.note = [dropped ? `dropped: ${listed(gone)}` : "", dead ? `dead: ${listed(t.dead)}` : ""].filter(Boolean).join("   |   ") || "nothing dropped, nothing dead";
    return row;
  }));
}

const VIEWS = [{ title: "View" }, { title: "over" }, { title: "by" }, { title: "Rows", className: number }, { title: "Lag so far", className: "sparks" }, { title: "now", className: number }, { title: "Bound", className: number }];

export function showViews({ views }, history) {
  fill(byId("views"), VIEWS, views.map((v) => [
    v.name, v.topic, v.key, count(v.rows), { text: "", spark: { values: history.series[`feature_lag/${v.name}`] ?? [], top: v.slo_ms } },
    { text: duration(v.lag_ms), className: breach(v.lag_ms, v.slo_ms) }, duration(v.slo_ms),
  ]));
}

const ROLES = [{ title: "Role" }, { title: "Instance" }, { title: "State" }, { title: "MB", className: number }, { title: "Heard of", className: number }, { title: "Restarts", className: number }, { title: "Process", className: number }];

export function showRoles({ roles, at_ms }) {
  fill(byId("roles"), ROLES, roles.map((r) => [
    r.role, r.instance, { text: r.state, className: "state " + r.state }, count(r.memory_mb),
    r.seen_ms === null ? DASH : duration(Math.floor(Math.max(0, at_ms - r.seen_ms) / 1_000) * 1_000) + " ago", count(r.restarts), r.pid === null ? DASH : String(r.pid),
  ]));
}
