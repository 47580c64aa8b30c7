// Marks of points. A run has a color and a shape, which is closed, so that it can be hollow: a dominated point is.
const SHAPES = [
  [0, 64], // a circle: no corners
  [4, 45], [3, -90], [4, 0], [3, 90], [5, -90], [6, 0], [3, 180], [3, 0], [8, 22.5],
]; // corners of a polygon, and the angle of the first one in degrees
const COLORS = 8;

function colorOf(run) {
  return `var(--c${run % COLORS})`;
}

function isBaseline(run) {
  return RUNS[run].kind === "single" || RUNS[run].kind === "single_task";
}

function shapePath(run, radius) {
  const [corners, first] = SHAPES[run % SHAPES.length];
  if (!corners) return `M${-radius} 0a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0Z`;
  const far = radius * (corners === 3 ? 1.35 : corners === 4 ? 1.2 : 1.1);
  const points = Array.from({ length: corners }, (_, i) => {
    const angle = ((first + (360 * i) / corners) * Math.PI) / 180;
    return `${(far * Math.cos(angle)).toFixed(2)} ${(far * Math.sin(angle)).toFixed(2)}`;
  });
  return `M${points.join("L")}Z`;
}

// The mark of a point of a run at (x, y): full, or hollow and smaller where it is dominated; a baseline is larger.
function mark(run, x, y, { full = true, radius = 5, faded = false } = {}) {
  const size = (isBaseline(run) ? radius * 1.5 : radius) * (full ? 1 : 0.85);
  return s("path", {
    d: shapePath(run, size), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, class: faded ? "faded" : null,
    style: full ? `fill:${colorOf(run)};stroke:var(--raised);stroke-width:1` : `fill:none;stroke:${colorOf(run)};stroke-width:1.6`,
  });
}

// A small picture of a run's mark, for lists.
function sample(run, full = true) {
  return s("svg", { width: 20, height: 16, style: "display:inline-block;width:20px;flex:none", "aria-hidden": "true" },
    mark(run, 10, 8, { full, radius: isBaseline(run) ? 4 : 5 }));
}

// A ring around a point: where the dial stands (dashed), what bounds picked (double), what is looked at (plain).
function ring(x, y, radius, style) {
  const made = s("g", { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, fill: "none", stroke: "var(--text)" });
  made.append(s("circle", { r: radius, "stroke-width": 2, "stroke-dasharray": style === "dial" ? "4 3" : null }));
  if (style === "picked") made.append(s("circle", { r: radius + 4, "stroke-width": 1.5 }));
  if (style === "dial") made.append(s("path", { d: `M0 ${-radius - 5}V${-radius + 3}M0 ${radius + 5}V${radius - 3}M${-radius - 5} 0H${-radius + 3}M${radius + 5} 0H${radius - 3}`, "stroke-width": 2 }));
  return made;
}

// Points that lie on one another: a count beside the first of them. Of counts that would cover each other the largest
// stands.
function counts(places) {
  const found = new Map();
  for (const [x, y] of places) {
    const key = `${Math.round(x / 3)} ${Math.round(y / 3)}`;
    const own = found.get(key) || { x, y, n: 0 };
    own.n += 1;
    found.set(key, own);
  }
  const shown = [];
  for (const own of [...found.values()].filter((each) => each.n > 1).sort((a, b) => b.n - a.n)) {
    if (shown.every((other) => Math.abs(other.x - own.x) > 26 || Math.abs(other.y - own.y) > 12)) shown.push(own);
  }
  return shown.map((own) => s("text", { x: own.x + 8, y: own.y - 7, class: "tick" }, `×${own.n}`));
}

// Low to high as a color, for maps; the numbers beside them say the same.
function shade(share) {
  return `color-mix(in oklab, var(--high) ${Math.round(100 * share)}%, var(--low))`;
}
