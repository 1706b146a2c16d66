// The page's copy of a tier of the app's history (serving/status/history.py), kept up by parts.

export const emptyHistory = () => ({ cursor: null, times: [], series: {}, swaps: [], tiers: {}, begun: null });

/**
 * Replaces what `history` has from `part.start` on. Series that appear late are unknown before. Arrays are made anew,
 * since plotly takes the same array for the same data.
 */
export function merge(history, part) {
  history.times = history.times.slice(0, part.start).concat(part.times);
  for (const name of Object.keys(history.series)) if (!(name in part.series)) delete history.series[name];
  for (const [name, values] of Object.entries(part.series)) {
    const kept = (history.series[name] ?? []).slice(0, part.start);
    while (kept.length < part.start) kept.push(null);
    history.series[name] = kept.concat(values);
  }
  history.swaps.length = Math.min(part.first_swap, history.swaps.length);
  for (const [at, model, lineage, number] of part.swaps) history.swaps.push({ at, model, lineage, number });
  history.cursor = part.cursor;
  history.tiers = part.tiers;
  history.begun = part.begun_ms;
  return history;
}

/** When each lineage was served: [{from, to, lineage}], up to `end`. */
export function spans(swaps, model, end) {
  const found = [];
  for (const swap of swaps) {
    if (swap.model !== model) continue;
    const last = found.at(-1);
    if (last?.lineage === swap.lineage) continue;
    if (last) last.to = swap.at;
    found.push({ from: swap.at, to: end, lineage: swap.lineage });
  }
  if (found.length) found.at(-1).to = Math.max(end, found.at(-1).from);
  return found;
}

/** For each time the swap that was in force then, or null. */
export function inForce(times, swaps) {
  let next = 0;
  return times.map((time) => {
    while (next < swaps.length && swaps[next].at <= time) next += 1;
    return next ? swaps[next - 1] : null;
  });
}
