// The page is patched, never rebuilt: what is selected or scrolled stays so. All text goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function write(node, text, className) {
  if (node.textContent !== text) node.textContent = text;
  if (className !== undefined && node.className !== className) node.className = className;
}

/** Makes `parent` have exactly `n` children, made by `make(i)`, and returns them. */
export function children(parent, n, make) {
  while (parent.children.length > n) parent.lastElementChild.remove();
  while (parent.children.length < n) parent.append(make(parent.children.length));
  return [...parent.children];
}

export function element(tag, className = "", ...inside) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...inside);
  return node;
}

export function button(text, press, className = "") {
  const node = element("button", className, text);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
}

/** Tells `app.js` that the reader chose to see something else. */
export const chose = () => document.dispatchEvent(new Event("chose"));

/** A row of buttons, one pressed: `names` of which `chosen`; `choose(name)` takes the reader's choice. */
export function choices(parent, names, chosen, choose) {
  const made = children(parent, names.length, () => button("", (event) => { parent.choose(event.currentTarget.value); chose(); }));
  parent.choose = choose;
  names.forEach((name, i) => {
    made[i].value = name;
    write(made[i], name);
    made[i].setAttribute("aria-pressed", String(name === chosen));
  });
}

/** The options of a select: [[value, text]…]. Its value stays the reader's as long as there is such an option. */
export function options(select, pairs) {
  const before = select.value;
  const made = children(select, pairs.length, () => document.createElement("option"));
  pairs.forEach(([value, text], i) => {
    if (made[i].getAttribute("value") !== value) made[i].setAttribute("value", value);
    write(made[i], text);
  });
  const kept = pairs.some(([value]) => value === before) ? before : pairs[0]?.[0] ?? "";
  if (select.value !== kept) select.value = kept;
  select.onchange = chose;
  return kept;
}

/** One of the three signs of index.html; `node.dataset.state` and the shape say the same as the colour. */
function sign() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  return svg;
}

/** Fills a list of cards: [{state: green, amber or red, title, word, lines: [[label, text]…]}]. */
export function cards(list, items) {
  const made = children(list, items.length, () =>
    element("li", "", sign(), element("div", "", element("b"), " ", element("span", "word"), element("div", "lines"))));
  items.forEach(({ state, title, word, lines }, i) => {
    const [svg, body] = made[i].children;
    made[i].dataset.state = state;
    svg.dataset.state = state;
    svg.firstElementChild.setAttribute("href", "#" + state);
    write(body.children[0], title);
    write(body.children[1], word);
    const told = lines.filter(([, text]) => text);
    const paragraphs = children(body.children[2], told.length, () => element("p", "", element("span", "label"), element("span")));
    told.forEach(([label, text], j) => {
      write(paragraphs[j].firstElementChild, label ? label + " " : "");
      write(paragraphs[j].lastElementChild, text);
      paragraphs[j].title = text;
    });
  });
}

/** Fills a `dl.tiles`: [{label, value, unit, sub, meter: share or null, state}]. */
export function fillTiles(list, tiles) {
  const made = children(list, tiles.length, () =>
    element("div", "tile", element("dt"), element("dd", "value", element("b"), element("span", "unit")), element("dd", "meter", element("i")), element("dd", "sub")));
  tiles.forEach(({ label, value, unit = "", sub = "", meter, state = "" }, i) => {
    const [dt, dd, bar, small] = made[i].children;
    made[i].dataset.state = state;
    write(dt, label);
    write(dd.firstElementChild, value, value.length > 15 ? "longer" : value.length > 9 ? "long" : "");
    dd.title = value;
    write(dd.lastElementChild, unit);
    bar.style.visibility = meter === undefined ? "hidden" : "visible";
    bar.firstElementChild.style.width = Math.min(100, 100 * (meter ?? 0)) + "%";
    write(small, sub);
  });
}
