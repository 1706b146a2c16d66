// Colours by name, from the style sheet: they follow light and dark.

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A lineage keeps its colour: by its place among the model's lineages, the baseline apart. */
export function colours(model) {
  const others = model.lineages.map((l) => l.name).filter((name) => name !== model.baseline);
  const found = Object.fromEntries(others.map((name, i) => [name, css(`--line-${(i % 6) + 1}`)]));
  found[model.baseline] = css("--baseline");
  return found;
}
