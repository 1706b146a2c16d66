// Topics, views and roles.

import { byId, choices } from "./dom.js";
import { breach, count, DASH, dated, duration, figure, listed, percent, sum } from "./format.js";
import { fill } from "./table.js";

const number = "number";
const numbers = (...titles) => titles.map((title) => ({ title, className: number }));
const ago = (since, now) => (since === null || now === null ? DASH : duration(Math.floor(Math.max(0, now - since) / 1_000) * 1_000) + " ago");

let chosen = null;

/** The topic that the reader looks at, or the first one. */
export const chosenTopic = ({ topics }) => topics.find((t) => t.name === chosen) ?? topics[0] ?? null;

/** A row of buttons that chooses the topic. */
export function showTopicChoice(node, status) {
  choices(node, status.topics.map((t) => t.name), chosenTopic(status)?.name, (name) => { chosen = name; });
}

const TOPICS = [{ title: "Topic" }, { title: "Fates", className: "fates" }, ...numbers("Records", "per second", "Applied", "Duplicates", "Late", "Dropped", "Dead", "Lag")];

export function showTopics({ topics }) {
  fill(byId("topics"), TOPICS, topics.map((t) => {
    const { late = 0, ...gone } = t.dropped;
    const [dropped, dead] = [sum(gone), sum(t.dead)];
    const row = [
      t.name,
      { text: "", bar: [[t.applied, "applied"], [t.deduplicated, "deduplicated"], [late + dropped + t.tombstones + t.empty, "dropped"], [dead, "dead"]] },
      count(t.records), count(t.per_second), count(t.applied), count(t.deduplicated), count(late), count(dropped), count(dead), duration(t.lag_ms),
    ];
    row.note = dropped ? `dropped: ${listed(gone)}` : t.records ? "nothing dropped by a filter" : "no events yet";
    if (t.tombstones) row.note += ` · ${count(t.tombstones)} tombstones`;
    if (t.empty) row.note += ` · ${count(t.empty)} records without an event`;
    return row;
  }), "this app declares no topics");
}

/** A column for each reason that any topic has letters of, the most frequent first. */
export function showDead({ topics }) {
  const totals = {};
  for (const { dead } of topics) for (const [reason, n] of Object.entries(dead)) totals[reason] = (totals[reason] ?? 0) + n;
  const reasons = Object.keys(totals).filter((reason) => totals[reason]).sort((a, b) => totals[b] - totals[a]);
  const columns = [{ title: "Topic" }, ...numbers("Letters", "of its records", ...reasons.map((r) => r.replaceAll("_", " ")))];
  const rows = topics.map((t) => {
    const all = sum(t.dead);
    return [t.name, count(all), percent(all, t.records), ...reasons.map((reason) => count(t.dead[reason] ?? 0))];
  });
  fill(byId("dead"), columns, rows, "this app declares no topics");
}

const SOURCES = [{ title: "Source" }, ...numbers("Applied", "Late", "Dead", "Newest", "usually an hour")];
const FIELDS = [{ title: "Field" }, { title: "Type" }, ...numbers("Missing", "Imputed", "Least", "Mean", "Most", "Deviation")];
const MOST_SOURCES = 30;
const MOST_VALUES = 8;

/** What is known of the chosen topic's sources and fields. */
export function showTopic(status) {
  showTopicChoice(byId("topic-choice"), status);
  const topic = chosenTopic(status);
  byId("topic-about").textContent = topic ? [topic.description, topic.owner && `owner: ${topic.owner}`, `${topic.partitions} partition${topic.partitions === 1 ? "" : "s"}`].filter(Boolean).join(" · ") : "";
  const sources = [...(topic?.sources ?? [])].sort((a, b) => b.events - a.events);
  const rows = sources.slice(0, MOST_SOURCES).map((s) => [
    s.name, count(s.events), count(s.late), count(s.dead), ago(s.newest_ms, status.clock.app_ms), s.rate_per_hour === null ? DASH : figure(s.rate_per_hour),
  ]);
  if (rows.length < sources.length) rows.at(-1).note = `the ${rows.length} largest of ${count(sources.length)}`;
  fill(byId("sources"), SOURCES, rows, topic?.records ? "this topic names no source field" : "no events yet");
  fill(byId("fields"), FIELDS, (topic?.fields ?? []).map(fieldRow), "no events yet");
}

const isMoment = (f) => f.kind === "long" && f.min > 1e11 && f.max < 1e13;

function fieldRow(f) {
  const all = f.seen + f.missing;
  const told = isMoment(f) ? [dated(f.min), dated(f.mean), dated(f.max), duration(f.deviation)] : [f.min, f.mean, f.max, f.deviation].map(figure);
  const row = [f.name, f.kind, percent(f.missing, all), percent(f.imputed, all), ...told];
  if (Object.keys(f.values).length) row.note = listed(f.values, MOST_VALUES);
  return row;
}

const VIEWS = [{ title: "View" }, { title: "over" }, { title: "by" }, ...numbers("Rows", "Max age"), { title: "Lag so far", className: "sparks" }, ...numbers("now", "Bound")];

export function showViews({ views }, history) {
  fill(byId("views"), VIEWS, views.map((v) => {
    const row = [
      v.name, v.topics.join(", "), v.key || "—", count(v.rows), duration(v.max_age_ms), { text: "", spark: { values: history.series[`feature_lag/${v.name}`] ?? [], top: v.slo_ms } },
      { text: duration(v.lag_ms), className: breach(v.lag_ms, v.slo_ms) }, duration(v.slo_ms),
    ];
    const about = [v.past && past(v.past), v.on_disk && `memory has no room for ${count(v.on_disk)} of the rows`, v.refused && `${count(v.refused)} rows are refused by the store, ${v.refusal}`, v.description, v.owner && `owner: ${v.owner}`].filter(Boolean).join(" · ");
    const n = v.features.length;
    if (n) row.note = { summary: [`${n} feature${n === 1 ? "" : "s"}`, about].filter(Boolean).join(" · "), text: v.features.join(", ") };
    else if (about) row.note = about;
    return row;
  }), "this app declares no views");
}

/** How far a view is that is being built from the past. */
function past({ state, records, records_left, seconds_left, waits_for }) {
  const left = seconds_left === null ? "" : `, done in ${duration(seconds_left * 1_000)}`;
  const why = waits_for ? `, waits for ${waits_for}` : "";
  return `built from the past (${state}): ${count(records)} records read, ${count(records_left)} left${left}${why}`;
}

const ROLES = [{ title: "Role" }, { title: "Instance" }, { title: "State" }, ...numbers("MB", "CPU", "Up", "Heard of", "Restarts", "Process"), { title: "Metrics" }];

export function showRoles({ roles, at_ms }) {
  fill(byId("roles"), ROLES, roles.map((r) => [
    r.role, r.instance, { text: r.state, className: "state " + r.state }, count(r.memory_mb), r.cpu_seconds === null ? DASH : duration(r.cpu_seconds * 1_000),
    r.started_ms === null ? DASH : duration(at_ms - r.started_ms), ago(r.seen_ms, at_ms), count(r.restarts), r.pid === null ? DASH : String(r.pid), metrics(r.metrics),
  ]), "no role has been heard of yet");
}

const metrics = (address) => (/^https?:\/\//.test(address) ? { text: "metrics", href: address } : address || DASH);
