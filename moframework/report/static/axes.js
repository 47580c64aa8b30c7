// The frame of a plot: axes with ticks that leave room for one another, and titles that say where better is.
function frame(svg, width, height, { x, y, xTitle, yTitle }) {
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const yTicks = ticksOf(y, Math.max(Math.floor((height - 60) / 42), 2));
  const left = 24 + 6.6 * Math.max(...yTicks.map((tick) => told(tick).length), 3);
  const box = { left, right: width - 10, top: 12, bottom: height - 42 };
  const longest = Math.max(...ticksOf(x, 4).map((tick) => told(tick).length), 3);
  const xTicks = ticksOf(x, Math.max(Math.floor((box.right - box.left) / (6.6 * longest + 22)), 2));
  const px = (value) => box.left + ((value - x[0]) / (x[1] - x[0])) * (box.right - box.left);
  const py = (value) => box.bottom - ((value - y[0]) / (y[1] - y[0])) * (box.bottom - box.top);
  for (const tick of xTicks) {
    svg.append(s("path", { class: "grid", d: `M${px(tick)} ${box.top}V${box.bottom}` }));
    svg.append(s("text", { class: "tick", x: px(tick), y: box.bottom + 15, "text-anchor": "middle" }, told(tick)));
  }
  for (const tick of yTicks) {
    svg.append(s("path", { class: "grid", d: `M${box.left} ${py(tick)}H${box.right}` }));
    svg.append(s("text", { class: "tick", x: box.left - 6, y: py(tick) + 4, "text-anchor": "end" }, told(tick)));
  }
  svg.append(s("path", { class: "axis", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }));
  const room = (box.right - box.left) / 6.6;
  svg.append(s("text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, cut(xTitle, room)));
  const middle = (box.top + box.bottom) / 2;
  const tall = (box.bottom - box.top) / 6.6;
  svg.append(s("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, cut(yTitle, tall)));
  return { px, py, box };
}

// A text in so many letters, its end cut off where it is longer.
function cut(text, letters) {
  return text.length <= letters ? text : `${text.slice(0, Math.max(Math.floor(letters) - 1, 3))}…`;
}

function titleOf(column, horizontal) {
  const { name, up } = COLUMNS[column];
  return `${name} (${horizontal ? (up ? "→" : "←") : up ? "↑" : "↓"} better)`;
}

// The next point for an arrow key, in the order of runs and rows; Home, End and Escape too. Null: not such a key.
function moved(event, points) {
  if (!points.length) return null;
  const now = state.cursor ? points.findIndex((p) => p.run === state.cursor.run && p.row === state.cursor.row) : -1;
  const last = points.length - 1;
  const next = {
    ArrowRight: Math.min(now + 1, last), ArrowDown: Math.min(now + 1, last), ArrowLeft: Math.max(now - 1, 0),
    ArrowUp: Math.max(now - 1, 0), Home: 0, End: last,
  }[event.key];
  if (event.key === "Escape") state.cursor = null;
  else if (next === undefined) return false;
  else state.cursor = { run: points[next].run, row: points[next].row };
  event.preventDefault();
  changed();
  return true;
}

// What is to be said of a point, all columns with it.
function described(run, row) {
  const { preferences, values } = frontOf(run);
  const where = RUNS[run].kind === "single_task" ? "each task's own network" : toldPreference(preferences[row]);
  const rest = COLUMNS.map((c, i) => (values[i] ? `${c.name} ${told(values[i][row])}` : null)).filter(Boolean);
  return `${RUNS[run].name}, ${where}: ${rest.join(", ")}`;
}
