// Bounds on columns, and the best point within them.
function pickedPoint() {
  if (!state.bounds.size) return null;
  const { up } = COLUMNS[state.by];
  let best = null;
  for (const point of shownPoints([state.by])) {
    if (misses(point.run, point.row).length) continue;
    if (!best || (up ? point.at[0] > best.at[0] : point.at[0] < best.at[0])) best = point;
  }
  return best;
}

function boundsSection() {
  const rows = COLUMNS.map((column, c) => {
    const input = (end) => {
      const made = h("input", { type: "number", step: "any", "aria-label": `${end === "min" ? "Smallest" : "Largest"} ${column.name}`, id: `bound-${end}-${c}`, placeholder: "any",
        oninput: () => setBound(c, end, made.value) });
      return made;
    };
    const span = h("td", { class: "number quiet" });
    drawn(() => {
      const values = shownPoints([c]).map((p) => p.at[0]);
      span.textContent = values.length ? `${told(Math.min(...values))} to ${told(Math.max(...values))}` : "–";
    });
    return h("tr", {}, h("th", { scope: "row" }, column.name), h("td", {}, input("min")), h("td", {}, input("max")), span);
  });
  const table = h("table", {}, h("thead", {}, h("tr", {}, ["column", "at least", "at most", "points have"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows));
  const clear = h("button", { type: "button", onclick: () => {
    state.bounds.clear();
    table.querySelectorAll("input").forEach((input) => (input.value = ""));
    changed();
  } }, "Clear");
  const by = columnChoice("best by", state.by, (c) => {
    state.by = c;
    changed();
  });
  by.querySelector("select").id = "bound-by";
  const said = h("p", { class: "readout", "aria-live": "polite", id: "picked" });
  drawn(() => (said.textContent = pickedWords()));
  section("bounds", "Pick within bounds", "Bound what matters: of the evaluated points of all runs shown that keep to every bound the best one by a column is picked.",
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Bounds" }, table), h("div", { class: "row" }, by, clear), said);
}

function setBound(column, end, text) {
  const bound = state.bounds.get(column) || { min: null, max: null };
  const value = text.trim() === "" ? null : Number(text);
  bound[end] = Number.isFinite(value) ? value : null;
  if (bound.min === null && bound.max === null) state.bounds.delete(column);
  else state.bounds.set(column, bound);
  changed();
}

function pickedWords() {
  if (!state.bounds.size) return "No bound is set.";
  const all = shownRuns().flatMap((run) => frontOf(run).preferences.map((_, row) => ({ run, row, by: misses(run, row) })));
  const within = all.filter((point) => !point.by.length);
  const picked = pickedPoint();
  if (picked) {
    return `${within.length} of ${all.length} points are within the bounds; picked: ${described(picked.run, picked.row)}. ${command(picked.run)}`;
  }
  if (!all.length) return "No run is shown.";
  if (within.length) return `${within.length} of ${all.length} points are within the bounds, but none of them has ${COLUMNS[state.by].name}: choose another column.`;
  const spans = new Map([...state.bounds.keys()].map((c) => {
    const [low, high] = rangeOf(shownPoints([c]).map((p) => p.at[0]), 0);
    return [c, high - low];
  }));
  const size = (point) => Math.max(...point.by.map(([c, by]) => by / spans.get(c)));
  const near = all.reduce((a, b) => (size(b) < size(a) ? b : a));
  const short = near.by.map(([c, by]) => `${COLUMNS[c].name} by ${told(by)}`).join(", ");
  return `None of ${all.length} points is within the bounds. The nearest misses ${short}: ${described(near.run, near.row)}. ${command(near.run)}`;
}

// The command that searches between the points, where there is something between them.
function command(run) {
  if (RUNS[run].kind !== "continuous") return "";
  const where = [...state.bounds].flatMap(([c, { min, max }]) => [
    min === null ? null : `--where '${COLUMNS[c].name} >= ${min}'`, max === null ? null : `--where '${COLUMNS[c].name} <= ${max}'`,
  ]).filter(Boolean);
  const { name, up } = COLUMNS[state.by];
  return `Between the points searches: moframework pick ${RUNS[run].path} ${where.join(" ")} --${up ? "maximize" : "minimize"} ${name}`;
}
