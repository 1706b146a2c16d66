// What the values of the chosen topic are like, by source, beside those that they are compared with. Asked for only while the reader looks at it.

import { ask } from "./api.js";
import { byId, cards, chose, options, write } from "./dom.js";
import { count, figure, fixed, listed, moment, percent } from "./format.js";
import { chosenTopic } from "./stream.js";
import { fill } from "./table.js";

const ALL = "";
const EVERY_MS = 10_000;
const number = "number";
const FIELDS = [{ title: "Field" }, { title: "Events", className: number }, { title: "Missing", className: number }, { title: "Mean", className: number }, { title: "5 %", className: number }, { title: "Median", className: number }, { title: "95 %", className: number }, { title: "Values" }, { title: "Now", className: "sparks" }, { title: "Reference", className: "sparks" }, { title: "Distance", className: number }];
const MOST_BINS = 13;
const MOST_DRIFTS = 10;
const POINTS = 59;

let report = null;
let asked = null; // {key, at} of the newest question
let failure = "";

export function showStatistics(status) {
  const box = byId("statistics-at");
  const topic = chosenTopic(status);
  if (!box.open || !topic) return;
  const source = options(byId("statistics-source"), [[ALL, "all sources"], ...names(topic)]);
  refresh(topic.name, source);
  const found = report?.topic === topic.name && (report.source ?? ALL) === source ? report : null;
  write(byId("statistics-about"), about(topic.statistics, found));
  const shown = topic.statistics.drifts.slice(0, MOST_DRIFTS);
  cards(byId("statistics-drifts"), shown.map((d) => ({
    state: "amber", title: `${d.field} of ${d.source ?? "all sources"}`, word: `${moment(d.hour_ms)} UTC`,
    lines: [["", `${howFar(d)}; ${count(d.events)} events beside ${count(d.reference_events)}`], ["Most moved:", `${d.moved}: ${percent(d.share, 1)} in place of ${percent(d.usual_share, 1)}`]],
  })));
  fill(byId("statistics"), FIELDS, (found?.fields ?? []).map(row), failure || (found ? "no event of this day is known yet" : "asking"));
}

const names = (topic) => topic.sources.filter(({ name }) => name !== "(other)").map(({ name }) => [name, name]);

/** Asks when something else is chosen, and now and then. */
async function refresh(topic, source) {
  const key = `${topic}\n${source}`;
  if (asked?.key === key && Date.now() - asked.at < EVERY_MS) return;
  asked = { key, at: Date.now() };
  try {
    report = await ask(`v1/topics/${encodeURIComponent(topic)}/statistics${source === ALL ? "" : `?source=${encodeURIComponent(source)}`}`);
    failure = "";
  } catch (error) {
    failure = error.message;
  }
  chose();
}

// As the command and alerts say it (`serving/status/measures.py`).
const SHARES = {
  unseen: "of values unseen",
  new_values: "of different values new",
  outside: "far outside of all before",
  one_value: "more of one value",
  hour: "never at this hour before",
  missing: "more missing",
};
const SIZES = { level: "widths outside", magnitude: "doublings beyond" };
const howFar = ({ measure, distance, bound }) => {
  if (SHARES[measure]) return `${percent(distance, 1)} ${SHARES[measure]}, bound ${percent(Math.min(1, bound), 1)}`;
  if (SIZES[measure]) return `${fixed(distance, 1)} ${SIZES[measure]}, bound ${fixed(bound, 1)}`;
  return `${fixed(distance, 2)} apart, bound ${fixed(bound, 2)}`;
};

function about(statistics, found) {
  if (!statistics.reference) return "";  // None are kept, and the answer says so.
  const parts = [];
  if (found) parts.push(`${moment(found.from_ms)} to ${moment(found.to_ms)} UTC, event time`);
  if (statistics.weeks_missing === null) parts.push("drift is not watched yet: what it is compared with is not known");
  else if (statistics.weeks_missing) parts.push(`drift is watched once ${statistics.weeks_missing} more weeks are known`);
  else parts.push(`drift of ${count(statistics.watched)} fields of sources is watched`);
  parts.push(`distance: Jensen–Shannon, 0 to 1, from ${statistics.reference}`);
  return parts.join(" · ");
}

function row(field) {
  const { compared } = field;
  const bins = (compared?.bins ?? []).slice(0, MOST_BINS);
  const shares = (name, all) => bins.map((b) => b[name] / all);
  // Both to one scale, so that they can be laid side by side.
  const top = compared ? Math.max(...shares("events", compared.events), ...shares("reference_events", compared.reference_events)) : 1;
  // Of ids, times and the like it is only known how often they are there.
  const counted = field.kind === "presence" && field.present > 0;
  const bars = (name, all) => (compared && !counted ? { text: "", spark: { values: stepped(shares(name, all)), top } } : "");
  const texts = listed(Object.fromEntries(field.top), 3);
  const several = field.distinct === null ? "" : `${count(field.distinct)} different`;
  return [
    field.name, count(field.events), percent(field.missing, field.events), figure(field.mean), figure(field.quantiles["0.05"]), figure(field.quantiles["0.5"]), figure(field.quantiles["0.95"]),
    counted ? "only counted" : [several, texts].filter(Boolean).join(": "), bars("events", compared?.events), bars("reference_events", compared?.reference_events), fixed(compared?.jensen_shannon, 2),
  ];
}

/** Shares of bins as the steps of a line, as wide as a spark is. */
function stepped(shares) {
  const wide = Math.max(1, Math.floor(POINTS / shares.length) - 1);
  return shares.flatMap((share) => [0, ...Array(wide).fill(share)]).concat(0);
}
