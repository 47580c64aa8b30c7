// What a preference does: columns over λ, as lines (two tasks), triangles (three), or rank correlations (more).
function mapsSection() {
  const runs = RUNS.map((_, r) => r).filter((r) => !isBaseline(r));
  if (!runs.length || M < 2) return;
  const box = h("div", { class: "panels" });
  if (M === 2) box.append(lineMap(runs, 0), lineMap(runs, 1));
  else if (M === 3) box.append(...[0, 1, 2].map((t) => triangleMap(columnOf(t, "loss"))));
  else box.append(matrixMap());
  const ranked = h("div", { class: "scroll low", tabindex: 0, role: "region", "aria-label": "Controllability, a table" });
  drawn(() => ranked.replaceChildren(controllability(runs)));
  section("maps", "What the preference does",
    "Controllability is the rank correlation of a task's weight and its loss over the front: at −1 more weight always "
    + "means less loss, near 0 the dial does nothing, above 0 it is reversed.",
    M > 2 ? h("div", { class: "row" }, runChoice()) : null, box, h("h3", {}, "Controllability"), ranked);
}

// Which run the dial and the maps of one run are about.
function runChoice() {
  const made = choice("run", RUNS.map((run, r) => [r, run.name]), state.dialRun, (r) => {
    state.dialRun = Number(r);
    changed();
  });
  const select = made.querySelector("select");
  listeners.push(() => (select.value = state.dialRun));
  return made;
}

function lineMap(runs, first) {
  const own = { column: first };
  return figure({
    label: "A column over the preference",
    head: [columnChoice("column", first, (c) => {
      own.column = c;
      changed();
    })],
    help: "The dashed line is where the dial stands.",
    draw: (svg, width) => {
      const c = own.column;
      const shown = runs.filter((r) => state.shown[r]);
      const all = shown.flatMap((run) => frontOf(run).values[c] || []);
      const plot = frame(svg, width, Math.min(Math.max(Math.round(width * 0.7), 240), 340), { x: [-0.02, 1.02], y: rangeOf(all), xTitle: `weight of ${TASKS[0]} (the rest for ${TASKS[1]})`, yTitle: titleOf(c, false) });
      for (const run of shown) {
        const points = pointsOf(run, [c]).sort((a, b) => a.preference[0] - b.preference[0]);
        const path = points.map((p, i) => `${i ? "L" : "M"}${plot.px(p.preference[0])} ${plot.py(p.at[0])}`).join("");
        if (RUNS[run].kind === "continuous") svg.append(s("path", { d: path, fill: "none", style: `stroke:${colorOf(run)}`, "stroke-width": 1.6 }));
        for (const p of points) svg.append(mark(run, plot.px(p.preference[0]), plot.py(p.at[0]), { radius: 4 }));
      }
      const x = plot.px(state.dial[0]);
      svg.append(s("path", { d: `M${x} ${plot.box.top}V${plot.box.bottom}`, stroke: "var(--text)", "stroke-dasharray": "4 3" }));
      return shown.map((run) => `${RUNS[run].name}: rank correlation of the weight of ${TASKS[0]} and ${COLUMNS[c].name} ${told(rankCorrelation(frontOf(run).preferences.map((p) => p[0]), frontOf(run).values[c] || []), 3)}.`).join(" ");
    },
  });
}

// The simplex of three tasks in a figure: corners, and where a preference lies.
function triangle(svg, width, height) {
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const side = Math.min(width - 90, (height - 60) / 0.87);
  const [left, bottom] = [(width - side) / 2, height - 30];
  const corners = [[left, bottom], [left + side, bottom], [left + side / 2, bottom - side * 0.866]];
  svg.append(s("path", { class: "axis", d: `M${corners.map((c) => c.join(" ")).join("L")}Z` }));
  corners.forEach(([x, y], t) => svg.append(s("text", { x, y: t < 2 ? y + 20 : y - 10, "text-anchor": "middle" }, cut(TASKS[t], t < 2 ? side / 14 : side / 7))));
  const place = (p) => [0, 1].map((i) => corners.reduce((sum, corner, t) => sum + p[t] * corner[i], 0));
  return { place, corners };
}

function triangleMap(first) {
  const own = { column: first };
  return figure({
    label: "A column over the simplex of preferences",
    head: [columnChoice("column", first, (c) => {
      own.column = c;
      changed();
    })],
    draw: (svg, width) => {
      const c = own.column;
      const points = pointsOf(state.dialRun, [c]);
      const { place } = triangle(svg, width, Math.min(Math.round(width * 0.85), 330));
      const values = points.map((p) => p.at[0]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const [from, to] = rangeOf(values, 0);
      const many = points.length > 15 || width < 300;
      for (const p of points) {
        const [x, y] = place(p.preference);
        const share = (p.at[0] - from) / (to - from);
        svg.append(s("circle", { cx: x, cy: y, r: 4 + 6 * share, style: `fill:${shade(share)}` }, s("title", {}, described(p.run, p.row))));
        if (!many) svg.append(s("text", { class: "tick", x, y: y - 13, "text-anchor": "middle" }, told(p.at[0], 3)));
      }
      svg.append(ring(...place(state.dial), 9, "dial"));
      svg.append(s("circle", { cx: 12, cy: 14, r: 4, style: `fill:${shade(0)}` }), s("text", { class: "tick", x: 22, y: 18 }, `small: ${told(low, 3)}`));
      svg.append(s("circle", { cx: 12, cy: 34, r: 10, style: `fill:${shade(1)}` }), s("text", { class: "tick", x: 26, y: 38 }, `large: ${told(high, 3)}`));
      return `${RUNS[state.dialRun].name}, ${COLUMNS[c].name} (${better(c)}): ${points.map((p) => `${toldPreference(p.preference)} ${told(p.at[0], 3)}`).join("; ")}.`;
    },
  });
}

// Rank correlations of every task's weight with every task's column.
function matrixMap() {
  const own = { what: "loss" };
  return figure({
    label: "Rank correlations of weights and columns", wide: true,
    head: [choice("measure", SHARED.map((what) => [what, what]), "loss", (what) => {
      own.what = what;
      changed();
    })],
    help: "Rank correlation of the weight of the row's task with the column of each task. Large squares are strong; full ones negative, hollow ones positive. For losses the diagonal should be full and large.",
    draw: (svg, width) => {
      const columns = columnsOf(own.what);
      const { preferences, values } = frontOf(state.dialRun);
      const letters = Math.min(Math.max(...TASKS.map((task) => task.length)), width < 500 ? 9 : 16);
      const left = 8 + 6.8 * letters;
      const size = Math.min((width - left - 14) / M, 46);
      const top = 14 + 5.2 * letters;
      svg.setAttribute("height", Math.round(top + size * M + 10));
      svg.setAttribute("viewBox", `0 0 ${width} ${Math.round(top + size * M + 10)}`);
      const said = [];
      const skip = Math.ceil(13 / size);
      TASKS.forEach((task, t) => {
        const middle = top + (t + 0.5) * size;
        const across = left + (t + 0.5) * size;
        if (t % skip === 0) {
          svg.append(s("text", { class: "tick", x: left - 6, y: middle + 4, "text-anchor": "end" }, cut(task, letters)));
          svg.append(s("text", { class: "tick", x: across, y: top - 6, transform: `rotate(-50 ${across} ${top - 6})` }, cut(task, letters)));
        }
        columns.forEach((column, k) => {
          const found = values[column] ? rankCorrelation(preferences.map((p) => p[t]), values[column]) : null;
          if (t === k) said.push(`${task} ${told(found, 2)}`);
          if (found === null) return;
          const side = Math.max(Math.sqrt(Math.abs(found)) * (size - 3), 2);
          const look = found < 0 ? "fill:var(--high)" : "fill:none;stroke:var(--low);stroke-width:1.6";
          svg.append(s("rect", { x: left + (k + 0.5) * size - side / 2, y: middle - side / 2, width: side, height: side, style: look },
            s("title", {}, `weight of ${task}, ${COLUMNS[column].name}: ${told(found, 3)}`)));
          if (size > 34) svg.append(s("text", { class: "tick", x: left + (k + 0.5) * size, y: middle + 4, "text-anchor": "middle", style: found < -0.3 ? "fill:var(--ground)" : null }, found.toFixed(2)));
        });
      });
      return `${RUNS[state.dialRun].name}: rank correlation of each task's weight with its own ${own.what}: ${said.join(", ")}.`;
    },
  });
}

function controllability(runs) {
  const head = h("tr", {}, h("th", { scope: "col" }, "run"), TASKS.map((task) => h("th", { scope: "col", class: "number" }, task)));
  const rows = runs.map((r) => h("tr", {}, h("th", { scope: "row" }, RUNS[r].name),
    frontOf(r).controllability.map((value) => h("td", { class: "number" }, value === null ? "–" : value.toFixed(3)))));
  return h("table", {}, h("caption", { class: "unseen" }, "Rank correlation of weight and loss, by run and task"), h("thead", {}, head), h("tbody", {}, rows));
}
