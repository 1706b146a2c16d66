// What operators change: the three switches, and the settings of a topic. Nothing changes without a second press.

import { ask, change, remember, who } from "./api.js";
import { byId, children, chose, element, write } from "./dom.js";
import { moment } from "./format.js";
import { chosenTopic, showTopicChoice } from "./stream.js";
import { fill } from "./table.js";

const SWITCHES = {
  learn: { on: "Trainers learn from new examples.", off: "Trainers stand still: what is served stays as it is, and models age." },
  release: { on: "Approved snapshots are released.", off: "Snapshots are cut, but none is judged or released." },
  answer: { on: "Models answer.", off: "The declared fallback answers, and no model." },
};

export function showSwitches({ switches }) {
  const made = children(byId("switches"), switches.length, () => {
    const node = element("li", "", element("b"), element("span", "state"), element("p"), element("button", "action"));
    node.lastElementChild.type = "button";
    return node;
  });
  switches.forEach((s, i) => {
    const [name, state, told, press] = made[i].children;
    const by = s.by ? ` Since ${moment(s.at_ms)} UTC, by ${s.by}.` : "";
    write(name, s.name);
    write(state, s.on ? "on" : "off", s.on ? "state running" : "state held");
    write(told, (SWITCHES[s.name]?.[s.on ? "on" : "off"] ?? "") + by);
    write(press, s.on ? "Turn off" : "Turn on");
    press.onclick = () => confirmed(s.name, !s.on);
  });
  byId("no-switches").hidden = switches.length > 0;
}

/** Turns a switch once the reader has said so again. */
function confirmed(name, on) {
  const dialog = byId("confirm");
  const error = byId("confirm-error");
  write(byId("confirm-title"), `Turn ${name} ${on ? "on" : "off"}?`);
  write(byId("confirm-text"), `${SWITCHES[name]?.[on ? "on" : "off"] ?? ""} This holds for all processes of the run and survives restarts. It is recorded as done by ${who() || "this page's address"}.`);
  write(byId("confirm-yes"), `Turn ${on ? "on" : "off"}`);
  write(error, "");
  byId("confirm-yes").onclick = async () => {
    byId("confirm-yes").disabled = true;
    try {
      await change(`v1/switches/${name}`, { on });
      dialog.close();
    } catch (failed) {
      write(error, failed.message);
    }
    byId("confirm-yes").disabled = false;
  };
  byId("confirm-no").onclick = () => dialog.close();
  dialog.showModal();
}

let editing = null; // {topic, allowed, before} while the form is open

export function showSettings(status) {
  showTopicChoice(byId("settings-choice"), status);
  const topic = chosenTopic(status);
  if (editing && editing.topic !== topic?.name) stop();
  const keys = Object.keys(topic?.settings ?? {});
  const rows = children(byId("settings"), keys.length, settingRow);
  keys.forEach((key, i) => showSetting(rows[i], key, topic));
  byId("no-settings").hidden = keys.length > 0;
  for (const id of ["apply", "cancel"]) byId(id).hidden = !editing;
  byId("change").hidden = Boolean(editing) || !keys.length;
  byId("change").onclick = () => start(topic);
  byId("cancel").onclick = () => { stop(); say(""); chose(); };
  byId("settings-form").onsubmit = (event) => { event.preventDefault(); if (editing) apply(); };
}

const settingRow = () => element("div", "setting", element("label", "", element("b"), element("small")), element("span", "now"), element("small", "about"));

function showSetting(row, key, topic) {
  const [label, now, about] = row.children;
  const rule = editing?.allowed[key];
  const [value, declared] = [topic.settings[key], topic.declared[key]];
  const same = value === declared;
  row.dataset.key = key;
  write(label.firstElementChild, key);
  write(label.lastElementChild, rule?.meaning ?? "");
  label.htmlFor = `setting-${key}`;
  const told = [same && !editing ? "as declared" : declared === undefined ? "" : `declared ${declared}`];
  if (rule) told.push(rule.one_of ? `one of ${rule.one_of.join(", ")}` : `${rule.least} to ${rule.most}`, `takes effect ${rule.effect}`);
  if (editing && value !== editing.before[key]) told.push(`meanwhile set to ${value}`);
  write(about, told.filter(Boolean).join(" · "));
  row.classList.toggle("live", !same);
  if (!editing) return write(now, value);
  if (!now.firstElementChild) now.replaceChildren(inputOf(key, value, rule));
  row.classList.toggle("changed", now.firstElementChild.value.trim() !== editing.before[key]);
}

function inputOf(key, value, rule) {
  const input = element(rule?.one_of ? "select" : "input");
  for (const option of rule?.one_of ?? []) input.append(element("option", "", option));
  if (!rule?.one_of) Object.assign(input, { type: "text", autocomplete: "off", spellcheck: false, autocapitalize: "off", maxLength: 40 });
  Object.assign(input, { id: `setting-${key}`, value, oninput: chose });
  return input;
}

async function start(topic) {
  say("");
  try {
    const { allowed } = await ask("v1/topics");
    editing = { topic: topic.name, allowed, before: { ...topic.settings } };
  } catch (error) {
    say(error.message, true);
  }
  chose();
}

function stop() {
  editing = null;
  for (const row of byId("settings").children) {
    row.children[1].replaceChildren();
    row.classList.remove("changed");
  }
}

async function apply() {
  const inputs = [...byId("settings").querySelectorAll("input, select")];
  const values = inputs.map((input) => [input.id.replace("setting-", ""), input.value.trim()]);
  const changes = Object.fromEntries(values.filter(([key, value]) => value !== editing.before[key]));
  const names = Object.keys(changes);
  if (!names.length) return say("Nothing is changed yet: edit a value first.", true);
  byId("apply").disabled = true;
  try {
    const { settings } = await change(`v1/topics/${encodeURIComponent(editing.topic)}/settings`, changes);
    const topic = editing.topic;
    stop();
    say(`${topic} now has ${names.map((key) => `${key} ${settings[key]}`).join(", ")}.`);
  } catch (error) {
    say(error.message, true);
  }
  byId("apply").disabled = false;
  chose();
}

function say(text, wrong = false) {
  write(byId("settings-said"), text, wrong ? "said wrong" : "said");
}

const CHANGES = [{ title: "When, UTC" }, { title: "Topic" }, { title: "Setting" }, { title: "Value" }, { title: "By" }];
const MOST_CHANGES = 100;

export function showChanges({ changes }) {
  const newest = changes.slice(-MOST_CHANGES).reverse();
  const rows = newest.map((c) => [moment(c.at_ms), c.topic, c.key, c.value, c.by]);
  if (rows.length < changes.length) rows.at(-1).note = `the newest ${rows.length} of ${changes.length}`;
  fill(byId("changes"), CHANGES, rows, "nobody has changed a setting yet");
}

export function askForName() {
  const input = byId("who");
  input.value = who();
  input.addEventListener("change", () => remember(input.value));
}
