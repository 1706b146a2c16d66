// A model: what is served, how good it is, its lineages and slices.

import { children, element, fillTiles, options, write } from "./dom.js";
import { bound, breach, count, DASH, duration, fixed, moment, percent, share, sum } from "./format.js";
import { colours } from "./colours.js";
import { fill } from "./table.js";
import { difference, taskOf } from "./tasks.js";

const number = "number";
const part = (section, name) => section.querySelector(`[data-${name}]`);

export function showModel(section, model, now) {
  const { served } = model;
  write(part(section, "name"), model.name);
  write(part(section, "about"), [model.past && past(model.past), model.description, model.owner && `owner: ${model.owner}`].filter(Boolean).join(" · "));
  const { tiles } = taskOf(model);
  // So many of the task, and two of every model, in whole rows.
  part(section, "tiles").className = `tiles ${tiles.length + 2 === 5 ? "five" : "seven"}`;
  fillTiles(part(section, "tiles"), [
    { label: "Served", value: served ? served.lineage : "nothing yet", sub: served ? `#${served.number}, this lineage since ${moment(served.since_ms)}` : "the first snapshot has to be approved" },
    ...tiles.map(([told, beside]) => ({ label: told.name, value: told.write(model.rolling[told.key]), sub: besides(model, told, beside) })),
    { label: "Model lag", value: duration(model.lag_ms), sub: bound(model.slo_ms), meter: share(model.lag_ms, model.slo_ms), state: breach(model.lag_ms, model.slo_ms) },
  ]);
  const lacks = model.missing.map((m) => `Lacks ${m.kind === "source" ? `topic ${m.topic} of view ${m.view}` : `feature ${m.name}`} since ${moment(m.since_ms)}: ${m.reason}.`);
  write(part(section, "rungs"), [...lacks, rungs(model.rungs)].join(" "));
  showLegend(part(section, "legend"), model);
  showLineages(part(section, "lineages"), model, now);
  write(part(section, "labels"), labelFates(model));
  showClasses(section, model);
  showSlices(section, model);
  showSkew(section, model);
}

/** What a figure of the newest labels stands beside. */
function besides(model, told, beside) {
  const { rolling, rolling_baseline: baseline } = model;
  const { prior, no_change } = model.rolling_references;
  const { key, write: written } = told;
  if (beside === "both") return prior[key] === null ? "too few labels yet" : `prior ${written(prior[key])} · no change ${written(no_change[key])}`;
  const other = { baseline, prior }[beside];
  if (!other) return rolling.n ? `${beside}, newest ${count(rolling.n)}` : "no labels yet";
  const apart = difference(told, rolling, other);
  if (beside === "baseline" && !model.baseline) return "no baseline declared";
  return apart === null ? "too few labels yet" : `${beside} ${written(other[key])} (${apart})`;
}

/** How far columns are that are computed of what was asked before anybody read them. */
function past({ state, columns, questions, questions_left, records_left, seconds_left, waits_for }) {
  const left = seconds_left === null ? "" : `, done in ${duration(seconds_left * 1_000)}`;
  const before = records_left ? `, ${count(records_left)} records of topics before them` : "";
  const why = waits_for ? `, waits for ${waits_for}` : "";
  return `${columns} columns from the past (${state}): ${count(questions)} questions done, about ${count(questions_left)} left${before}${left}${why}`;
}

function rungs(byRung) {
  const all = sum(byRung);
  if (!all) return "No answer yet.";
  return "Answers by rung: " + Object.entries(byRung).map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)} (${percent(n, all)})`).join(" · ");
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

const MOST_SKIPS = 3;
const titled = (figures) => figures.map(({ title }) => ({ title, className: number }));
const lineages = (task) => [{ title: "Lineage" }, { title: "Examples", className: number }, ...titled(task.columns), { title: "Snapshot" }, { title: "State" }];

function showLineages(table, model, now) {
  const colour = colours(model);
  const task = taskOf(model);
  const rows = model.lineages.map((l) => {
    const row = [
      { text: l.name, swatch: colour[l.name], className: l.name === model.served?.lineage ? "strong" : "", more: l.alias ? " " + l.alias : "" },
      count(l.examples), ...quality(task.columns, l.overall),
      { text: l.number === null ? DASH : "#" + l.number, more: l.cut_ms === null || now === null ? "" : ` ${duration(Math.max(0, now - l.cut_ms))} ago` },
      { text: l.state, className: "state " + l.state },
    ];
    const refused = l.refused ? `${count(l.refusals)} refused, the newest: ${l.refused}` : "";
    const decided = l.verdict ? `the newest verdict: ${l.verdict}` : "";
    const skipped = l.skips.slice(-MOST_SKIPS).map((s) => `skipped ${count(s.examples)} examples, ${moment(s.start_ms)} to ${s.until_ms === null ? "now" : moment(s.until_ms)}, by ${s.by}: ${s.why}`);
    const notes = [...skipped, decided, refused].filter(Boolean);
    if (notes.length) row.note = notes.join(" · ");
    return row;
  });
  fill(table, lineages(task), rows.length ? [...rows, ...references(model)] : rows, "no lineage yet");
  const counts = `${count(model.snapshots)} snapshots: ${count(model.approvals)} approved, ${count(model.refusals)} refused · ${count(model.swaps)} swaps · ${count(model.asked)} asked: ${count(model.labelled)} labelled, ${count(model.expired)} expired${model.decision ? ` · release: ${model.decision}` : ""}`;
  write(table.closest("[data-tables]").querySelector("[data-counts]"), counts);
}

const FATES = { used: "used", null: "without a value", bad: "bad, a dead letter each", without_id: "without an id" };

/** What became of the events that could be its labels, as intake saw them. */
function labelFates({ labels: { fates } }) {
  const told = Object.entries(FATES).filter(([fate]) => fates[fate]).map(([fate, text]) => `${count(fates[fate])} ${text}`);
  return told.length ? `Label events: ${told.join(" · ")}` : "";
}

const CLASSES = [{ title: "Class" }, { title: "Labels", className: number }, { title: "Share", className: number }, { title: "Answers", className: number }, { title: "Precision", className: number }, { title: "Recall", className: number }];
const MOST_CLASSES = 24;

/** How often each class came, was answered, and both, the most frequent first. */
function showClasses(section, { classes }) {
  part(section, "by-class").hidden = !classes.length;
  const all = classes.reduce((found, { labelled }) => found + labelled, 0);
  const sorted = [...classes].sort((a, b) => b.labelled - a.labelled);
  const rows = sorted.slice(0, MOST_CLASSES).map(({ name, labelled, answered, right }) => [
    name, count(labelled), percent(labelled, all), count(answered), percent(right, answered), percent(right, labelled),
  ]);
  if (rows.length < sorted.length) rows.at(-1).note = `the ${rows.length} most frequent of ${sorted.length}`;
  fill(part(section, "classes"), CLASSES, all ? rows : [], "no label has come yet");
}

const quality = (figures, q) => figures.map((told) => told.write(q[told.key]));

/** What needs no features, on the labels of the lineage that was judged by most. */
function references(model) {
  const { prior, no_change } = model.lineages.map((l) => l.references).reduce((a, b) => (b.prior.n > a.prior.n ? b : a));
  const task = taskOf(model);
  return [["prior", task.prior, prior], ["no change", " as the label before", no_change]].map(([text, more, q]) => [
    { text, more, className: "quiet" }, count(q.n), ...quality(task.columns, q), DASH, DASH,
  ]);
}

const slices = (task) => [{ title: "Slice" }, { title: "Labelled", className: number }, ...titled(task.slices), { title: task.besides, className: number }, { title: "Difference", className: number }, ...titled(task.ends)];
const MOST_SLICES = 24;
const SERVED = "";

/** The slices of one field, of what was served or of one lineage, as the reader chose. */
function showSlices(section, model) {
  const task = taskOf(model);
  const fields = [...new Set(model.slices.concat(...model.lineages.map((l) => l.slices)).map((s) => s.field))];
  const field = options(part(section, "field"), fields.map((name) => [name, name]));
  const whose = options(part(section, "whose"), [[SERVED, "what was served"], ...model.lineages.map((l) => [l.name, l.name])]);
  part(section, "field").hidden = !fields.length;
  const lineage = model.lineages.find((l) => l.name === whose);
  const baseline = new Map(model.slices.map((s) => [s.field + "\n" + s.value, s.baseline]));
  const all = (lineage?.slices ?? model.slices).filter((s) => s.field === field).sort((a, b) => b.served.n - a.served.n);
  const rows = all.slice(0, MOST_SLICES).map(({ value, served, baseline: own }) => {
    const base = baseline.get(field + "\n" + value) ?? own;
    const { loss } = task;
    const apart = difference(loss, served, base);
    const equal = apart === null || served[loss.key] === base[loss.key];
    const side = equal ? "" : served[loss.key] > base[loss.key] ? "worse" : "better";
    return [
      value || "(empty)", count(served.n), ...quality(task.slices, served), loss.write(base[loss.key]),
      { text: apart ?? DASH, className: side }, ...quality(task.ends, served),
    ];
  });
  if (rows.length < all.length) rows.at(-1).note = `the ${rows.length} largest of ${all.length}`;
  fill(part(section, "slices"), slices(task), rows, fields.length ? "no label of this yet" : "this model declares no slices, or no label has come yet");
}

const SKEW = [{ title: "Feature" }, { title: "Distance", className: number }, { title: "Bound", className: number }, { title: "PSI", className: number }, { title: "L∞", className: number }, { title: "Asked", className: number }, { title: "Learned", className: number }];
const MOST_SKEWED = 10;

/** The features whose values moved most from those that were learned from. */
function showSkew(section, model) {
  const furthest = [...model.skew].sort((a, b) => b.jensen_shannon - a.jensen_shannon).slice(0, MOST_SKEWED);
  const rows = furthest.map((f) => [f.feature, fixed(f.jensen_shannon, 2), fixed(f.bound, 2), fixed(f.psi, 2), fixed(f.largest, 2), count(f.asked), count(f.learned)]);
  if (rows.length < model.skew.length) rows.at(-1).note = `the ${rows.length} furthest of ${model.skew.length}`;
  fill(part(section, "skew"), SKEW, rows, "not a hundred vectors of each are known yet");
}
