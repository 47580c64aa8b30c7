// Three tasks in space: turned by dragging, or by the arrow keys.
function spaceFigure(shown) {
  const view = { yaw: -0.6, pitch: 0.4 };
  const turn = (yaw, pitch) => {
    view.yaw += yaw;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + pitch));
    changed();
  };
  const keys = (event) => {
    const by = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] }[event.key];
    if (event.key === "Home") Object.assign(view, { yaw: -0.6, pitch: 0.4 });
    else if (by) turn(...by);
    else return;
    event.preventDefault();
    changed();
  };
  const box = figure({
    label: "Fronts of three tasks in space", keys, help: "Drag, or use the arrow keys, to turn it; Home turns it back.",
    draw: (svg, width) => drawSpace(svg, width, columnsOf(shown.what), view),
  });
  const svg = box.querySelector("svg");
  svg.classList.add("turns");
  let from = null;
  svg.addEventListener("pointerdown", (event) => {
    from = [event.clientX, event.clientY];
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!from) return;
    turn((event.clientX - from[0]) / 120, (event.clientY - from[1]) / 120);
    from = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (from = null));
  return box;
}

function drawSpace(svg, width, columns, view) {
  const height = Math.min(Math.max(Math.round(width * 0.82), 270), 430);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const ranges = columnsRange(columns);
  const scale = Math.min(width * 0.6, height * 0.62);
  // Each column from −½ to ½, turned about the upright axis, then towards the eye; [x, y, depth].
  const project = (at) => {
    const [a, b, c] = at.map((value, i) => (value - ranges[i][0]) / (ranges[i][1] - ranges[i][0]) - 0.5);
    const x = a * Math.cos(view.yaw) - b * Math.sin(view.yaw);
    const y = a * Math.sin(view.yaw) + b * Math.cos(view.yaw);
    const up = c * Math.cos(view.pitch) - y * Math.sin(view.pitch);
    return [width / 2 + x * scale, height / 2 - up * scale, y * Math.cos(view.pitch) + c * Math.sin(view.pitch)];
  };
  const corner = (bits) => project(bits.map((bit, i) => ranges[i][bit]));
  const line = (a, b, name) => svg.append(s("path", { class: name, d: `M${a[0]} ${a[1]}L${b[0]} ${b[1]}` }));
  for (const bits of [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) {
    bits.forEach((bit, i) => bit === 0 && line(corner(bits), corner(bits.map((own, k) => (k === i ? 1 : own))), bits.some(Boolean) ? "grid" : "axis"));
  }
  const points = shownPoints(columns).map((p) => ({ ...p, seen: project(p.at) })).sort((a, b) => b.seen[2] - a.seen[2]);
  const full = dominanceOf(points, columns);
  const floor = (at) => project([at[0], at[1], ranges[2][0]]);
  for (const p of points) line(p.seen, floor(p.at), "grid");
  scatter(svg, points, full, (p) => p.seen.slice(0, 2));
  columns.forEach((column, i) => {
    const [x, y] = corner([0, 1, 2].map((k) => (k === i ? 1 : 0)));
    const anchor = x > width * 0.6 ? "end" : x < width * 0.4 ? "start" : "middle";
    const over = i === 2 || y < height * 0.4;
    svg.append(s("text", { class: "over", x: Math.max(6, Math.min(x, width - 6)), y: Math.max(14, Math.min(over ? y - 8 : y + 17, height - 6)), "text-anchor": anchor },
      cut(`${COLUMNS[column].name} ${told(ranges[i][0], 3)} → ${told(ranges[i][1], 3)}`, width / 7)));
  });
  const dial = dialPlace(columns);
  if (dial) svg.append(ring(...project(dial).slice(0, 2), 8, "dial"));
  return summaryOf(columns, points, full);
}
