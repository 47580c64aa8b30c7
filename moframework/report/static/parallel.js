// More than three tasks: a line for each point over all tasks, each axis with its own range.
function parallelFigure(shown) {
  return figure({
    label: "Fronts as parallel coordinates, an axis for each task", wide: true,
    help: "Each line is a point; better is lower, for every column. Dashed lines are dominated. Pale lines miss a bound.",
    keys: (event) => moved(event, shownPoints(columnsOf(shown.what))),
    draw: (svg, width) => drawParallel(svg, width, columnsOf(shown.what)),
  });
}

function drawParallel(svg, width, columns) {
  const longest = Math.max(...TASKS.map((task) => task.length));
  const gap = (width - 60) / (columns.length - 1);
  const turned = gap < 7 * Math.min(longest, 18) + 10;
  const room = turned ? 8 + 6.2 * Math.min(longest, 18) : 34;
  const height = Math.round(Math.max(Math.min(width * 0.5, 420), 240)) + room;
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [top, bottom] = [24, height - room];
  const ranges = columnsRange(columns);
  const x = (i) => 30 + i * gap;
  const y = (value, i) => {
    const share = (value - ranges[i][0]) / (ranges[i][1] - ranges[i][0]);
    return bottom - (COLUMNS[columns[i]].up ? 1 - share : share) * (bottom - top);
  };
  const numbers = gap > 62;
  columns.forEach((column, i) => {
    const { up, task } = COLUMNS[column];
    svg.append(s("path", { class: "axis", d: `M${x(i)} ${top}V${bottom}` }));
    const [under, over] = up ? [ranges[i][1], ranges[i][0]] : ranges[i];
    const turn = turned ? `rotate(-60 ${x(i)} ${bottom + 14})` : null;
    svg.append(s("text", { x: x(i), y: bottom + (numbers && !turned ? 28 : 14), "text-anchor": turned ? "end" : "middle", transform: turn }, cut(TASKS[task], 18)));
    if (numbers) {
      svg.append(s("text", { class: "tick", x: x(i), y: top - 8, "text-anchor": "middle" }, told(over, 3)));
      if (!turned) svg.append(s("text", { class: "tick", x: x(i), y: bottom + 13, "text-anchor": "middle" }, told(under, 3)));
    }
  });
  const points = shownPoints(columns);
  const full = dominanceOf(points, columns);
  const picked = pickedPoint();
  points.forEach((p, k) => {
    const path = p.at.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value, i).toFixed(1)}`).join("");
    const special = [state.cursor, picked].some((one) => one && one.run === p.run && one.row === p.row);
    const faded = state.bounds.size > 0 && misses(p.run, p.row).length > 0;
    const made = s("path", {
      d: path, fill: "none", style: `stroke:${colorOf(p.run)}`, "stroke-width": special ? 4 : isBaseline(p.run) ? 2.6 : 1.3,
      "stroke-dasharray": full[k] ? null : "5 4", class: faded ? "faded" : null, opacity: special ? 1 : 0.8,
    }, s("title", {}, described(p.run, p.row)));
    made.addEventListener("click", () => {
      state.cursor = { run: p.run, row: p.row };
      changed();
    });
    svg.append(made);
    const end = columns.length - 1;
    svg.append(mark(p.run, x(end), y(p.at[end], end), { full: full[k], radius: 4, faded }), mark(p.run, x(0), y(p.at[0], 0), { full: full[k], radius: 4, faded }));
  });
  const dial = dialPlace(columns);
  if (dial) {
    const path = dial.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value, i).toFixed(1)}`).join("");
    svg.append(s("path", { d: path, fill: "none", style: "stroke:var(--text)", "stroke-width": 2.5, "stroke-dasharray": "2 4" }));
  }
  return summaryOf(columns.slice(0, 6), points, full);
}
