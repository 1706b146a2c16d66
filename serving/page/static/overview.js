// The top of the page: what is wrong now, the clock, promises, alerts and the first figures.

import { byId, cards, fillTiles, write } from "./dom.js";
import { bound, breach, count, day, duration, fixed, milliseconds, moment, share, sum, time } from "./format.js";

const WORDS = { green: "holds", amber: "at risk", red: "broken" };
const FINAL = { ended: "Ended: these are the final figures", stopped: "Stopped: these are the last figures", failed: "Failed: these are the last figures" };
const worst = (items) => items.reduce((a, b) => ((b.lag_ms ?? -1) > (a?.lag_ms ?? -1) ? b : a), null);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");

/** What nobody may overlook: servers that are away, switches that somebody turned off, and another version that is built. */
export function showNotices({ outages, switches, applying, at_ms }) {
  const away = outages.map((o) => ({
    state: "red", title: `${capital(o.component)} is away`, word: `for ${duration(at_ms - o.since_ms)}`,
    lines: [["", `${o.resource}: ${o.cause}`], ["Meanwhile:", o.meanwhile], ["What to do:", o.next_step], ["Noticed by:", o.roles.join(", ")]],
  }));
  const off = switches.filter((s) => !s.on).map((s) => ({
    state: "amber", title: `The switch ${s.name} is off`, word: s.at_ms ? `for ${duration(at_ms - s.at_ms)}` : "",
    lines: [["", s.by ? `Turned off by ${s.by}, ${moment(s.at_ms)} UTC` : ""], ["What to do:", "Turn it on under Settings, once its reason is gone."]],
  }));
  const built = applying ? [{ state: "amber", title: "Another version is built beside this one", word: "", lines: [["", applying], ["To take it back:", "freshet apply --abort, until it answers"]] }] : [];
  byId("notices").hidden = !(away.length || off.length || built.length);
  cards(byId("notices"), [...away, ...off, ...built]);
}

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
  if (done === null) return FINAL[clock.state] ?? (clock.app_ms === null ? "No events yet" : `up for ${spent}`);
  const passed = clock.app_ms - clock.start_ms;
  const parts = [FINAL[clock.state], `${fixed(100 * done, 1)} %`, `${duration(passed)} of ${duration(clock.end_ms - clock.start_ms)}`, `${spent} elapsed`];
  if (clock.state === "running" && done > 0.01) parts.push(`about ${duration((1_000 * clock.wall_seconds * (1 - done)) / done)} left`);
  if (clock.wall_seconds > 1) parts.push(`${count(passed / 1_000 / clock.wall_seconds)} × real time`);
  return parts.filter(Boolean).join(" · ");
}

export function showPromises({ promises }) {
  cards(byId("promises"), promises.map(({ name, state, reason }) => ({ state, title: name, word: WORDS[state], lines: [["", reason]] })));
  const wrong = promises.filter((p) => p.state !== "green").length;
  const all = promises.length === 1 ? "The promise holds" : `All ${promises.length} promises hold`;
  write(byId("promises-title"), !promises.length ? "Promises" : wrong ? `${wrong} of ${promises.length} promises ${wrong === 1 ? "needs" : "need"} a look` : all);
}

const RESOLVED_SHOWN = 50;

export function showAlerts({ alerts, at_ms }) {
  const firing = alerts.filter((a) => a.state === "firing").sort((a, b) => (a.light === "red" ? 0 : 1) - (b.light === "red" ? 0 : 1) || b.since_ms - a.since_ms);
  const resolved = alerts.filter((a) => a.state !== "firing").sort((a, b) => (b.resolved_ms ?? 0) - (a.resolved_ms ?? 0));
  write(byId("alerts-title"), firing.length ? `${firing.length} alert${firing.length === 1 ? "" : "s"}` : "No alert");
  cards(byId("alerts"), firing.map((a) => ({
    state: a.light, title: `${capital(a.policy)}: ${a.subject}`, word: `for ${duration(at_ms - a.since_ms)}`,
    lines: [["", a.reason], ["It means:", a.meaning], ["Try:", a.next_step]],
  })));
  byId("resolved").hidden = !resolved.length;
  write(byId("resolved-title"), `${count(resolved.length)} resolved`);
  cards(byId("resolved-alerts"), resolved.slice(0, RESOLVED_SHOWN).map((a) => ({
    state: "green", title: `${capital(a.policy)}: ${a.subject}`, word: `over since ${moment(a.resolved_ms)}`,
    lines: [["", a.reason], ["It meant:", a.meaning], ["It lasted", duration(a.resolved_ms === null ? null : a.resolved_ms - a.since_ms)]],
  })));
}

export function showTiles({ events_per_second, topics, views, requests }) {
  const slowest = worst(views);
  const asked = requests.answered + requests.failed + requests.refused + requests.in_error;
  const refused = requests.refused ? ` · ${count(requests.refused)} refused on purpose` : "";
  const inError = requests.in_error ? ` · ${count(requests.in_error)} in error` : "";
  fillTiles(byId("tiles"), [
    { label: "Events", value: count(events_per_second), unit: "/s", sub: `${count(sum(topics.map((t) => t.records)))} so far` },
    {
      label: "Worst feature lag", value: duration(slowest?.lag_ms ?? null), sub: slowest ? `${slowest.name}, ${bound(slowest.slo_ms)}` : views.length ? "not known yet" : "no views",
      meter: share(slowest?.lag_ms ?? null, slowest?.slo_ms), state: breach(slowest?.lag_ms, slowest?.slo_ms),
    },
    { label: "Request p99", value: milliseconds(requests.p99_ms), unit: requests.p99_ms === null ? "" : "ms", sub: asked ? `near swaps ${milliseconds(requests.p99_swap_ms)} · p50 ${milliseconds(requests.p50_ms)}` : "no requests yet" },
    { label: "Failed requests", value: count(requests.failed), sub: `of ${count(asked)}${refused}${inError} · ${count(requests.rows)} predictions`, state: requests.failed ? "red" : "" },
  ]);
}
