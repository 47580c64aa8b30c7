// The validation over the epochs: hypervolumes as lines, and the front of any validation that was kept.
function courseSection() {
  // The validations of single-task networks say little: each of them knows one task.
  const withPast = RUNS.map((run, r) => r).filter((r) => RUNS[r].kind !== "single_task" && RUNS[r].history && RUNS[r].history.curve.length);
  if (!withPast.length) {
    section("course", "Over the epochs", "None of these runs has kept validations: they were made by an earlier version, or validated never.");
    return;
  }
  const names = [...new Set(withPast.flatMap((r) => RUNS[r].history.curve.flatMap(([, , volumes]) => volumes.map(([name]) => name))))];
  const own = { name: names[0], share: 1, columns: M > 1 ? columnsOf("loss").slice(0, 2) : [0, 0] };
  const lines = figure({
    label: "Hypervolume of the validation front over the epochs",
    head: names.length ? [choice("hypervolume of", names.map((name) => [name, name]), own.name, (name) => {
      own.name = name;
      changed();
    })] : [],
    help: "Of the validation split; higher is better. The large mark is the best validation.",
    draw: (svg, width) => drawCurves(svg, width, withPast.filter((r) => state.shown[r]), own.name),
  });
  const said = h("output", {});
  const slider = h("input", { type: "range", min: 0, max: 100, value: 100, "aria-label": "How far training is", id: "course-slider",
    oninput: () => {
      own.share = Number(slider.value) / 100;
      changed();
    } });
  const then = figure({
    label: "The validation front at one time of the training",
    head: [...[0, 1].map((i) => columnChoice(["across", "upward"][i], own.columns[i], (c) => {
      own.columns[i] = c;
      changed();
    })), h("label", { style: "flex:1 1 15rem" }, h("span", { style: "flex:none" }, "training"), slider), said],
    help: "The front at the time that the slider says; fronts before it are pale dots, the last one small hollow marks.",
    draw: (svg, width) => drawPast(svg, width, withPast.filter((r) => state.shown[r]), own, said),
  });
  section("course", "Over the epochs", null, h("div", { class: "panels" }, lines, then));
}

function drawCurves(svg, width, runs, name) {
  const curves = runs.map((run) => [run, RUNS[run].history.curve
    .map(([epoch, best, volumes]) => [epoch, best, (volumes.find(([own]) => own === name) || [name, null])[1]])
    .filter(([, , value]) => value !== null)]);
  const all = curves.flatMap(([, curve]) => curve);
  const x = [0, Math.max(...all.map(([epoch]) => epoch), 1e-6)];
  const plot = frame(svg, width, Math.min(Math.max(Math.round(width * 0.72), 250), 360), { x, y: rangeOf(all.map(([, , value]) => value)), xTitle: "epoch", yTitle: width < 400 ? "hypervolume (↑ better)" : `hypervolume of ${name} (↑ better)` });
  for (const [run, curve] of curves) {
    const path = curve.map(([epoch, , value], i) => `${i ? "L" : "M"}${plot.px(epoch)} ${plot.py(value)}`).join("");
    if (path) svg.append(s("path", { d: path, fill: "none", style: `stroke:${colorOf(run)}`, "stroke-width": 1.8 }));
    const step = Math.ceil(curve.length / 12);
    curve.forEach(([epoch, best, value], i) => {
      if (best || i % step === 0 || i === curve.length - 1) svg.append(mark(run, plot.px(epoch), plot.py(value), { radius: best ? 7 : 3.5 }));
    });
  }
  return curves.map(([run, curve]) => (curve.length
    ? `${RUNS[run].name}: from ${told(curve[0][2])} at epoch ${told(curve[0][0])} to ${told(curve[curve.length - 1][2])} at epoch ${told(curve[curve.length - 1][0])}.` : "")).join(" ");
}

function drawPast(svg, width, runs, own, said) {
  const [a, b] = own.columns;
  const last = Math.max(...runs.map((run) => RUNS[run].history.fronts.at(-1)?.[0] || 0), 1e-6);
  const now = own.share * last;
  said.textContent = `epoch ${told(now, 3)} of ${told(last, 3)}`;
  const rows = (values) => (values[a] && values[b] ? values[a].map((x, i) => [x, values[b][i]]).filter(([x, y]) => x !== null && y !== null) : []);
  const courses = runs.map((run) => {
    const fronts = RUNS[run].history.fronts.map(([epoch, values]) => [epoch, rows(values)]);
    const at = fronts.reduce((best, [epoch], i) => (epoch <= now + 1e-9 ? i : best), 0);
    return { run, fronts, at };
  });
  const all = courses.flatMap(({ fronts }) => fronts.flatMap(([, points]) => points));
  const ranges = [0, 1].map((i) => rangeOf(all.map((point) => point[i])));
  const plot = frame(svg, width, Math.min(Math.max(Math.round(width * 0.72), 250), 360), { x: ranges[0], y: ranges[1], xTitle: titleOf(a, true), yTitle: titleOf(b, false) });
  for (const { run, fronts, at } of courses) {
    for (const [, points] of fronts.slice(0, at)) {
      for (const [x, y] of points) svg.append(s("circle", { cx: plot.px(x), cy: plot.py(y), r: 1.6, style: `fill:${colorOf(run)}`, opacity: 0.35 }));
    }
    for (const [x, y] of fronts.at(-1)?.[1] || []) svg.append(mark(run, plot.px(x), plot.py(y), { full: false, radius: 3 }));
    for (const [x, y] of fronts[at]?.[1] || []) svg.append(mark(run, plot.px(x), plot.py(y)));
  }
  return courses.map(({ run, fronts, at }) => (fronts.length ? `${RUNS[run].name} at epoch ${told(fronts[at][0], 3)}: ${fronts[at][1].map(([x, y]) => `${told(x, 3)}, ${told(y, 3)}`).join("; ")}.` : "")).join(" ");
}
