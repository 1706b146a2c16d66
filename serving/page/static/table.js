// Tables: patched cell by cell, with bars, sparks, swatches, links, and notes that may fold. One that is wider than its
// place fades where there is more, and takes the keyboard's focus to be scrolled.

import { children, element, write } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Fills a table. `columns`: [{title, className}]; `rows`: arrays of cells, each text or
 * {text, className}, with a `swatch` of a colour and `more` in small print, or an `href`, or in place of text a `bar` of
 * parts [[share, className]…] or a `spark` line {values, top}. A row may have a `.note`, shown on a line below it: text, or
 * {summary, text} that folds. Without rows the table says `empty`.
 */
export function fill(table, columns, rows, empty = "nothing yet") {
  showHead(table, columns);
  table.classList.toggle("bare", !rows.length);
  const lines = rows.length ? rows.flatMap((row) => (row.note === undefined ? [row] : [row, [row.note]])) : [[empty]];
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

function showHead(table, columns) {
  if (!table.tHead) {
    table.createTHead().insertRow();
    table.createTBody();
    watch(table.parentElement);
  }
  const cells = children(table.tHead.rows[0], columns.length, () => document.createElement("th"));
  columns.forEach(({ title, className = "" }, i) => {
    cells[i].scope = "col";
    write(cells[i], title, className);
  });
}

/** Notes at which edges of `box` there is more of its table. */
function watch(box) {
  const look = () => {
    const room = box.scrollWidth - box.clientWidth;
    const edges = [box.scrollLeft > 1 && "left", room - box.scrollLeft > 1 && "right"].filter(Boolean).join(" ");
    if (box.dataset.more !== edges) box.dataset.more = edges;
    if (room > 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  };
  box.addEventListener("scroll", look, { passive: true });
  const observer = new ResizeObserver(look);
  observer.observe(box);
  observer.observe(box.firstElementChild);
}

function setNote(cell, note) {
  const tag = typeof note === "string" ? "P" : "DETAILS";
  if (cell.firstElementChild?.tagName !== tag) cell.replaceChildren(tag === "P" ? element("p") : element("details", "", element("summary"), element("p")));
  const inside = cell.firstElementChild;
  if (tag === "P") return write(inside, note);
  write(inside.firstElementChild, note.summary);
  write(inside.lastElementChild, note.text);
}

function setCell(cell, value, className) {
  const { text, className: own = "", bar, spark, swatch, more = "", href } = typeof value === "object" ? value : { text: value };
  cell.className = [className, own].filter(Boolean).join(" ");
  if (bar) return setBar(cell, bar);
  if (spark) return setSpark(cell, spark);
  if (href) return setLink(cell, text, href);
  if (swatch === undefined && !more) return write(cell, text);
  if (cell.children.length !== 3) cell.replaceChildren(element("i", "swatch"), element("span"), element("small"));
  cell.firstElementChild.hidden = swatch === undefined;
  cell.firstElementChild.style.background = swatch ?? "";
  write(cell.children[1], text);
  write(cell.lastElementChild, more);
}

function setLink(cell, text, href) {
  const link = cell.querySelector("a") ?? element("a");
  if (!link.isConnected) cell.replaceChildren(link);
  if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  write(link, text);
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
