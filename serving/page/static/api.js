// Asking the app, and changing what it does. Errors are the server's own text.

const GIVE_UP_MS = 5_000;
const WHO = "freshet-user";

export async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(GIVE_UP_MS), cache: "no-store" });
  if (!answer.ok) throw new Error(await textOf(answer));
  return answer.json();
}

/** Puts `body` and answers what the server says, or throws its text. */
export async function change(path, body) {
  const headers = { "content-type": "application/json" };
  if (who()) headers["x-freshet-user"] = encodeURIComponent(who());
  let answer;
  try {
    answer = await fetch(path, { method: "PUT", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(2 * GIVE_UP_MS) });
  } catch (error) {
    throw new Error(`The app does not answer (${error.message}). Whether the change was made is not known: look at the changes.`);
  }
  if (!answer.ok) throw new Error(await textOf(answer));
  return answer.json();
}

async function textOf(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return answer.status === 404 || answer.status === 405 ? "This page can only show: its server takes no changes." : `The server answered ${answer.status}.`;
  }
}

/** The name that is recorded with changes made on this page. */
export function who() {
  try {
    return localStorage.getItem(WHO)?.trim() ?? "";
  } catch {
    return "";
  }
}

export function remember(name) {
  try {
    localStorage.setItem(WHO, name.trim());
  } catch { /* storage is switched off: the page's address is recorded */ }
}
