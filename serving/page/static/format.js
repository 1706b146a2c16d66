// Figures as text. Unknown (null, undefined) is always a dash, never 0.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const days = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

export const DASH = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : DASH);
export const fixed = (value, digits = 3) => (known(value) ? value.toFixed(digits) : DASH);
export const signed = (value, digits = 3) => (known(value) ? (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits) : DASH);
export const milliseconds = (value) => (known(value) ? (value < 10 ? value.toFixed(1) : whole.format(value)) : DASH);
export const figure = (value) => (known(value) ? (Math.abs(value) >= 1e7 ? compact : few).format(value).replace("-", "−") : DASH);
export const day = (ms) => (known(ms) ? days.format(ms) : DASH);
export const dated = (ms) => (known(ms) ? date.format(ms) : DASH);
export const time = (ms) => (known(ms) ? clock.format(ms) + " UTC" : "");
export const moment = (ms) => (known(ms) ? short.format(ms) : DASH);

/** A share in percent; what is not quite nothing or not quite all says so. */
export function percent(part, all) {
  if (!known(part) || !all) return DASH;
  const value = (100 * part) / all;
  if (!part) return "0 %";
  if (part < all && value >= 99.95) return ">99.9 %";
  return value < 0.01 ? "<0.01 %" : `${value.toFixed(value < 1 ? 2 : 1)} %`;
}

export const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const OTHER = "(other)";

/** Counts by name, the largest first, `most` of them; what has no name of its own comes last. */
export function listed({ [OTHER]: other = 0, ...counts }, most = Infinity) {
  const sorted = Object.entries(counts).filter(([, n]) => n).sort((a, b) => b[1] - a[1]);
  const told = sorted.slice(0, most).map(([name, n]) => `${name} ${count(n)}`);
  return [...told, ...(sorted.length > most ? [`${sorted.length - most} more`] : []), ...(other ? [`others ${count(other)}`] : [])].join(" · ");
}

export const share = (lag, bound) => (bound && lag !== null ? lag / bound : undefined);
export const breach = (lag, bound) => (bound && lag > bound ? "red" : "");

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1_000]];

export const bound = (ms) => (known(ms) ? `bound ${duration(ms)}` : "no bound known yet");

/** The two largest units of a duration: `3h 15m`, `45s`, `250ms`. */
export function duration(ms) {
  if (!known(ms)) return DASH;
  if (ms > 0 && ms < 1_000) return Math.round(ms) + "ms";
  let rest = Math.round(ms / 1_000) * 1_000;
  const parts = [];
  for (const [unit, size] of UNITS) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n) parts.push(n + unit);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0s";
}
