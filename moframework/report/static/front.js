// The fronts of all runs, two columns against each other.
function columnsRange(columns) {
  return columns.map((c) => rangeOf(shownRuns().flatMap((run) => frontOf(run).values[c] || [])));
}

// Marks of points in a plot: hollow where dominated, pale where bounds rule them out; rings for what is special.
function scatter(svg, points, full, place) {
  const bounded = state.bounds.size > 0;
  const radius = points.length > 150 ? 3.4 : points.length > 40 ? 4.2 : 5;
  const places = points.map(place);
  const order = points.map((_, i) => i).sort((a, b) => full[a] - full[b] || isBaseline(points[a].run) - isBaseline(points[b].run));
  for (const i of order) {
    const { run, row } = points[i];
    const made = mark(run, places[i][0], places[i][1], { full: full[i], radius, faded: bounded && misses(run, row).length > 0 });
    made.append(s("title", {}, described(run, row)));
    made.addEventListener("click", () => {
      state.cursor = { run, row };
      changed();
    });
    svg.append(made);
  }
  svg.append(...counts(places));
  const picked = pickedPoint();
  points.forEach(({ run, row }, i) => {
    if (picked && picked.run === run && picked.row === row) svg.append(ring(...places[i], 9, "picked"));
    if (state.cursor && state.cursor.run === run && state.cursor.row === row) svg.append(ring(...places[i], 11, "cursor"));
  });
}

// Where the dial stands between evaluated points, in some columns; null where a run has no such column.
function dialPlace(columns) {
  if (!state.shown[state.dialRun]) return null;
  const { preferences, values } = frontOf(state.dialRun);
  const { parts } = between(preferences, state.dial, RUNS[state.dialRun].kind);
  const at = columns.map((c) => mixed(values[c], parts));
  return at.includes(null) ? null : at;
}

// The border of what two columns dominate, as steps.
function staircase(points, full, ups, place) {
  const best = points.filter((_, i) => full[i]).sort((a, b) => a.at[0] - b.at[0] || a.at[1] - b.at[1]);
  if (best.length < 2) return null;
  let path = "";
  best.forEach((point, i) => {
    const [x, y] = place(point);
    if (i === 0) path += `M${x} ${y}`;
    // The corner between two neighbors is the worse of both in each column.
    else {
      const [a, b] = [best[i - 1].at, point.at];
      const corner = [0, 1].map((c) => (ups[c] ? Math.min(a[c], b[c]) : Math.max(a[c], b[c])));
      const [cx, cy] = place({ at: corner });
      path += `L${cx} ${cy}L${x} ${y}`;
    }
  });
  return path;
}

function dominanceOf(points, columns) {
  const full = new Array(points.length);
  for (const run of shownRuns()) {
    const own = points.map((p, i) => [p, i]).filter(([p]) => p.run === run);
    const kept = nondominated(own.map(([p]) => p.at), columns.map((c) => COLUMNS[c].up));
    own.forEach(([, i], k) => {
      full[i] = kept[k];
    });
  }
  return full;
}

// A panel of two columns, each of which can be chosen. Points count as dominated by the measure of all tasks that both
// columns are of, else by the two columns.
function pairPanel(first, second) {
  const panel = { columns: [first, second] };
  const judged = () => {
    const [a, b] = panel.columns.map((c) => COLUMNS[c].what);
    return a === b && SHARED.includes(a) ? columnsOf(a) : panel.columns;
  };
  const heads = [0, 1].map((i) => columnChoice(["across", "upward"][i], panel.columns[i], (c) => {
    panel.columns[i] = c;
    changed();
  }));
  panel.set = (columns) => {
    panel.columns = columns;
    heads.forEach((head, i) => {
      head.querySelector("select").value = columns[i];
    });
  };
  panel.box = figure({
    label: `Fronts, two columns against each other`,
    head: heads,
    keys: (event) => moved(event, shownPoints(panel.columns)),
    draw: (svg, width) => {
      const columns = panel.columns;
      const points = shownPoints(columns);
      const all = shownPoints(judged());
      const fullOf = dominanceOf(all, judged());
      const keep = new Map(all.map((p, i) => [`${p.run} ${p.row}`, fullOf[i]]));
      const full = points.map((p) => keep.get(`${p.run} ${p.row}`) ?? true);
      const [x, y] = columnsRange(columns);
      const plot = frame(svg, width, Math.min(Math.max(Math.round(width * 0.82), 270), 430), { x, y, xTitle: titleOf(columns[0], true), yTitle: titleOf(columns[1], false) });
      const place = ({ at }) => [plot.px(at[0]), plot.py(at[1])];
      trueFront(svg, columns, plot, x, y);
      for (const run of M === 2 ? shownRuns() : []) {
        const own = points.map((p, i) => [p, full[i]]).filter(([p]) => p.run === run);
        const path = staircase(own.map(([p]) => p), own.map(([, kept]) => kept), columns.map((c) => COLUMNS[c].up), place);
        if (path) svg.append(s("path", { d: path, fill: "none", style: `stroke:${colorOf(run)}`, opacity: 0.55, "stroke-width": 1.2 }));
      }
      scatter(svg, points, full, place);
      const dial = dialPlace(columns);
      if (dial) svg.append(ring(plot.px(dial[0]), plot.py(dial[1]), 8, "dial"));
      return summaryOf(columns, points, full);
    },
  });
  return panel;
}

// Losses of a known front, as small dots behind.
function trueFront(svg, columns, plot, x, y) {
  const known = shownRuns().map((run) => frontOf(run).true).find(Boolean);
  if (!known || columns.some((c) => COLUMNS[c].what !== "loss")) return;
  for (const row of known) {
    const [a, b] = columns.map((c) => row[COLUMNS[c].task]);
    if (a >= x[0] && a <= x[1] && b >= y[0] && b <= y[1]) svg.append(s("circle", { cx: plot.px(a), cy: plot.py(b), r: 1.3, style: "fill:var(--quiet)" }));
  }
}

// The text alternative of a plot of points.
function summaryOf(columns, points, full) {
  const runs = shownRuns().map((run) => {
    const own = points.map((p, i) => [p, full[i]]).filter(([p]) => p.run === run);
    if (!own.length) return `${RUNS[run].name}: no values.`;
    const spans = columns.map((c, i) => {
      const values = own.map(([p]) => p.at[i]);
      return `${COLUMNS[c].name} from ${told(Math.min(...values))} to ${told(Math.max(...values))}`;
    });
    return `${RUNS[run].name}: ${own.length} points, ${own.filter(([, kept]) => kept).length} not dominated, ${spans.join(", ")}.`;
  });
  return `${runs.join(" ")} All numbers are in the table of points.`;
}

function frontSection() {
  const panels = [];
  const pairs = M === 2 ? [[0, 1]] : M === 3 ? [[0, 1], [0, 2], [1, 2]] : [[0, 1]];
  const measures = M === 2 ? ["loss", ...SHARED.filter((what) => what !== "loss").slice(0, 1)] : ["loss"];
  for (const what of measures) {
    for (const [a, b] of pairs) panels.push(pairPanel(columnsOf(what)[a], columnsOf(what)[b]));
  }
  const measured = M > 2 && SHARED.length > 1
    ? choice("measure of all tasks", SHARED.map((what) => [what, what]), "loss", (what) => {
      panels.forEach((panel, i) => panel.set(pairs[i].map((t) => columnsOf(what)[t])));
      space.what = what;
      changed();
    }) : null;
  const space = { what: "loss" };
  const box = h("div", { class: M === 3 ? "panels large" : "panels" });
  if (M === 3) box.append(spaceFigure(space));
  if (M > 3) box.append(parallelFigure(space));
  box.append(...panels.map((panel) => panel.box));
  const readout = h("p", { class: "readout", "aria-live": "polite", id: "looked-at" });
  drawn(() => {
    readout.textContent = state.cursor ? described(state.cursor.run, state.cursor.row)
      : "Click a point, or go to a figure by Tab and use the arrow keys: what it has is told here.";
  });
  section("front", M === 1 ? "Losses" : "Fronts",
    "Each point is one preference. Full marks are not dominated by others of their run, hollow ones are. Large marks are "
    + "baselines: single networks. The dashed ring is where the dial below stands, the double ring what the bounds pick.",
    measured ? h("div", { class: "row" }, measured) : null, box, readout);
}
