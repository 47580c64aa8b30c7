// Mathematics of the page: dominance, ranks, ranges and ticks, and what lies between evaluated points.

function told(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
}

function toldPreference(preference) {
  return `λ = (${preference.map((weight) => told(weight, 3)).join(", ")})`;
}

// Whether each of some points, rows of numbers, is not dominated; `ups` says of each column whether larger is better.
function nondominated(rows, ups) {
  const cost = rows.map((row) => row.map((value, i) => (ups[i] ? -value : value)));
  return cost.map((own) => !cost.some((other) => other.every((v, i) => v <= own[i]) && other.some((v, i) => v < own[i])));
}

// The range of an axis. It spans at least 4 % of its largest number: a front that changes by less than 1 %, which counts
// as flat, takes a quarter of its axis at most.
function rangeOf(values, room = 0.06) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (!known.length) return [0, 1];
  let low = Infinity;
  let high = -Infinity;
  for (const value of known) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const least = Math.max(0.04 * Math.max(Math.abs(low), Math.abs(high)), 1e-9);
  const span = Math.max(high - low, least);
  const middle = (low + high) / 2;
  return [middle - span * (0.5 + room), middle + span * (0.5 + room)];
}

// Round numbers in a range, at most `most`.
function ticksOf([low, high], most) {
  const rough = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((f) => f >= rough) || 10 * power;
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-12 * Math.abs(high); i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  for (let i = 0; i < order.length;) {
    let j = i;
    while (j + 1 < order.length && values[order[j + 1]] === values[order[i]]) j += 1;
    for (let k = i; k <= j; k += 1) found[order[k]] = (i + j) / 2;
    i = j + 1;
  }
  return found;
}

// Rank correlation (Spearman), null where one of the two never changes.
function rankCorrelation(a, b) {
  const pairs = a.map((value, i) => [value, b[i]]).filter(([x, y]) => x !== null && y !== null);
  const [x, y] = [0, 1].map((i) => ranks(pairs.map((pair) => pair[i])));
  const mean = (pairs.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((value, i) => {
    xy += (value - mean) * (y[i] - mean);
    xx += (value - mean) ** 2;
    yy += (y[i] - mean) ** 2;
  });
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : null;
}

function distance(a, b) {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
}

// What a preference comes to by evaluated ones: [[row, share], …], and in words how. Between the points of a finite set
// there is nothing, so its nearest one is told.
function between(preferences, wanted, kind) {
  const near = preferences.map((own, row) => [row, distance(own, wanted)]).sort((a, b) => a[1] - b[1]);
  const [row, away] = near[0];
  if (away < 1e-6) return { parts: [[row, 1]], words: "evaluated at this preference" };
  const nearest = { parts: [[row, 1]], words: `of the nearest evaluated preference, ${toldPreference(preferences[row])}` };
  if (kind !== "continuous") return nearest;
  if (M === 2) return onLine(preferences, wanted) || nearest;
  return M === 3 ? inTriangle(preferences, wanted, near) || nearest : nearest;
}

function onLine(preferences, wanted) {
  const order = preferences.map((own, row) => [own[0], row]).sort((a, b) => a[0] - b[0]);
  for (let i = 0; i + 1 < order.length; i += 1) {
    const [[low, a], [high, b]] = [order[i], order[i + 1]];
    if (low <= wanted[0] && wanted[0] <= high && high > low) {
      const share = (wanted[0] - low) / (high - low);
      return { parts: [[a, 1 - share], [b, share]], words: "interpolated between the two neighbors that were evaluated" };
    }
  }
  return null;
}

// The smallest triangle of near evaluated preferences with the wanted one inside.
function inTriangle(preferences, wanted, near) {
  const some = near.slice(0, 16).map(([row]) => row);
  let best = null;
  for (let i = 0; i < some.length; i += 1) {
    for (let j = i + 1; j < some.length; j += 1) {
      for (let k = j + 1; k < some.length; k += 1) {
        const corners = [some[i], some[j], some[k]];
        const size = corners.reduce((sum, row, c) => sum + distance(preferences[row], preferences[corners[(c + 1) % 3]]), 0);
        if (best && size >= best.size) continue;
        const shares = barycentric(corners.map((row) => preferences[row]), wanted);
        if (shares && shares.every((share) => share >= -1e-9)) best = { size, parts: corners.map((row, c) => [row, shares[c]]) };
      }
    }
  }
  return best && { parts: best.parts, words: "interpolated between the three evaluated preferences around it" };
}

function barycentric([a, b, c], p) {
  const det = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1]);
  if (Math.abs(det) < 1e-12) return null;
  const first = ((b[1] - c[1]) * (p[0] - c[0]) + (c[0] - b[0]) * (p[1] - c[1])) / det;
  const second = ((c[1] - a[1]) * (p[0] - c[0]) + (a[0] - c[0]) * (p[1] - c[1])) / det;
  return [first, second, 1 - first - second];
}

// A column of a run where the dial stands.
function mixed(values, parts) {
  if (!values || parts.some(([row]) => values[row] === null)) return null;
  return parts.reduce((sum, [row, share]) => sum + share * values[row], 0);
}

// The preference with one weight set, the rest shared out as it was.
function withWeight(preference, task, weight) {
  const rest = 1 - preference[task];
  return preference.map((own, t) => (t === task ? weight : rest > 1e-9 ? (own / rest) * (1 - weight) : (1 - weight) / (M - 1)));
}

// Whether a point is within all bounds; the number of what misses, and by how much of each column's range.
function misses(run, row) {
  const { values } = frontOf(run);
  const found = [];
  for (const [column, { min, max }] of state.bounds) {
    const value = values[column] ? values[column][row] : null;
    const by = value === null ? Infinity : Math.max(min === null ? 0 : min - value, max === null ? 0 : value - max, 0);
    if (by > 0) found.push([column, by]);
  }
  return found;
}
