// What all parts of the page share: the data, elements, the state and who listens to it.
const DATA = JSON.parse(document.getElementById("data").textContent);
const { tasks: TASKS, columns: COLUMNS, runs: RUNS, splits: SPLITS } = DATA;
const M = TASKS.length;
const MEASURES = [...new Set(COLUMNS.map((c) => c.what))];
const SHARED = MEASURES.filter((what) => TASKS.every((_, t) => columnOf(t, what) >= 0));

function columnOf(task, what) {
  return COLUMNS.findIndex((c) => c.task === task && c.what === what);
}

// The columns of a measure, one a task: those of the losses where not every task has it.
function columnsOf(what) {
  return TASKS.map((_, t) => columnOf(t, SHARED.includes(what) ? what : "loss"));
}

// An element of HTML. Text goes in as text: no name in the data can become an element.
function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// An element of SVG.
function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const state = {
  split: SPLITS[0],
  shown: RUNS.map(() => true),
  dialRun: Math.max(RUNS.findIndex((run) => run.kind === "continuous"), 0),
  dial: TASKS.map(() => 1 / M), // the preference that the dial is set to
  bounds: new Map(), // column → {min, max}
  by: 0, // the column that decides among the points within the bounds
  cursor: null, // {run, row}: the point that is looked at
};

const listeners = [];
let waiting = false;

// Something is drawn now, and again after every change of the state.
function drawn(draw) {
  listeners.push(draw);
  draw();
}

function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const draw of listeners) draw();
  });
}

function frontOf(run) {
  return RUNS[run].fronts[state.split];
}

function shownRuns() {
  return RUNS.map((_, r) => r).filter((r) => state.shown[r]);
}

// Rows of a run as points {run, row, x: numbers by column}, without those that have no number in one of the columns.
function pointsOf(run, columns) {
  const { preferences, values } = frontOf(run);
  return preferences
    .map((preference, row) => ({ run, row, preference, at: columns.map((c) => (values[c] ? values[c][row] : null)) }))
    .filter((point) => point.at.every((value) => value !== null));
}

function shownPoints(columns) {
  return shownRuns().flatMap((run) => pointsOf(run, columns));
}

function better(column) {
  return COLUMNS[column].up ? "higher is better" : "lower is better";
}

// A labelled choice among [value, words]; `change` gets the value.
function choice(words, options, value, change) {
  const select = h("select", { onchange: () => change(select.value) });
  for (const [own, text] of options) select.append(h("option", { value: own, selected: String(own) === String(value) }, text));
  return h("label", {}, h("span", {}, words), select);
}

function columnChoice(words, value, change) {
  return choice(words, COLUMNS.map((c, i) => [i, c.name]), value, (chosen) => change(Number(chosen)));
}

// A figure: its head, the drawing as a part that can be reached by Tab, and its text alternative, which `draw(svg, width)`
// returns. It is drawn again when the state or its width changes.
let figures = 0;
function figure({ label, head = [], draw, wide = false, keys = null, help = "" }) {
  const id = `figure-${(figures += 1)}`;
  const svg = s("svg", {
    role: "img", "aria-label": label, "aria-describedby": `${id}-text`, tabindex: 0, onkeydown: (event) => keys && keys(event, svg),
  });
  const text = h("p", { class: "unseen", id: `${id}-text` });
  const caption = h("figcaption", {}, help);
  const box = h("figure", { class: wide ? "wide" : null }, h("div", { class: "row" }, ...head), svg, caption, text);
  const again = () => {
    const width = Math.floor(svg.clientWidth || box.clientWidth - 22);
    if (width < 40) return;
    svg.replaceChildren();
    text.textContent = draw(svg, width) || "";
  };
  listeners.push(again);
  new ResizeObserver(() => again()).observe(box);
  return box;
}

function section(id, title, words, ...children) {
  const made = h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title));
  if (words) made.append(h("p", { class: "quiet" }, words));
  made.append(...children.filter(Boolean));
  document.getElementById("main").append(made);
  return made;
}
