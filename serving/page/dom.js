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

/** One of the three signs of index.html; `node.dataset.state` and the shape say the same as the colour. */
export function sign() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  return svg;
}

export function setSign(svg, state) {
  svg.dataset.state = state;
  svg.firstElementChild.setAttribute("href", "#" + state);
}

/**
 * Fills a table. `columns`: [{title, className}]; `rows`: arrays of cells, each text or
 * {text, className}, with a `swatch` of a colour and `more` in small print, or in place of text a `bar` of parts
 * [[share, className]…] or a `spark` line {values, top}. A row may have `.note`, shown on a line below it.
 */
export function fill(table, columns, rows) {
  if (!table.tHead) {
    const head = table.createTHead().insertRow();
    for (const { title, className = "" } of columns) {
      const cell = element("th", className, title);
      cell.scope = "col";
      head.append(cell);
    }
    table.createTBody();
  }
  const lines = rows.flatMap((row) => (row.note === undefined ? [row] : [row, [row.note]]));
  const made = children(table.tBodies[0], lines.length, () => document.createElement("tr"));
  lines.forEach((line, i) => {
    const note = line.length === 1 && columns.length > 1;
    made[i].className = note ? "note" : "";
    if (made[i].cells[0]?.tagName !== (note ? "TD" : "TH")) made[i].replaceChildren();
    const cells = children(made[i], line.length, (j) => document.createElement(j || note ? "td" : "th"));
    if (note) {
      cells[0].colSpan = columns.length;
      setNote(cells[0], line[0]);
    } else {
      cells[0].scope = "row";
      cells.forEach((cell, j) => setCell(cell, line[j], columns[j].className ?? ""));
    }
  });
}

function setNote(cell, text) {
  const inside = cell.firstElementChild ?? cell.appendChild(element("p"));
  write(inside, text);
}

function setCell(cell, value, className) {
  const { text, className: own = "", bar, spark, swatch, more } = typeof value === "object" ? value : { text: value };
  cell.className = [className, own].filter(Boolean).join(" ");
  if (bar) return setBar(cell, bar);
  if (spark) return setSpark(cell, spark);
  if (swatch === undefined) return write(cell, text);
  if (!cell.firstElementChild) cell.append(element("i", "swatch"), element("span"), element("small"));
  cell.firstElementChild.style.background = swatch;
  write(cell.children[1], text);
  write(cell.lastElementChild, more);
}

const POINTS = 60;

/** The worst of each sixtieth, against `top` (or the peak, if that is higher). */
function setSpark(cell, { values, top }) {
  if (!cell.firstElementChild) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${POINTS} 20`);
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.append(document.createElementNS(SVG, "polyline"));
    cell.append(svg);
  }
  const step = Math.max(1, values.length / POINTS);
  const peaks = [];
  for (let i = 0; i < values.length; i += step) peaks.push(Math.max(0, ...values.slice(Math.floor(i), Math.floor(i + step))));
  const height = Math.max(top ?? 0, ...peaks) || 1;
  const points = peaks.map((v, i) => `${i},${(19 - (18 * v) / height).toFixed(1)}`).join(" ");
  cell.firstElementChild.firstElementChild.setAttribute("points", points);
}

function setBar(cell, parts) {
  const bar = cell.firstElementChild ?? cell.appendChild(element("div", "stack"));
  const made = children(bar, parts.length, () => element("i"));
  parts.forEach(([share, className], i) => {
    made[i].className = className;
    made[i].style.flexGrow = share;
    made[i].hidden = !share;
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
    write(dd.firstElementChild, value, value.length > 9 ? "long" : "");
    write(dd.lastElementChild, unit);
    bar.style.visibility = meter === undefined ? "hidden" : "visible";
    bar.firstElementChild.style.width = Math.min(100, 100 * (meter ?? 0)) + "%";
    write(small, sub);
  });
}
