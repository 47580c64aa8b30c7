// The dial: a preference is set by sliders, for three tasks in a triangle too, and what it comes to is read out.
function dialSection() {
  if (M < 2) return;
  const inputs = [];
  const set = (preference) => {
    state.dial = preference;
    changed();
  };
  const sliders = h("div", { class: "slider" });
  for (let t = 0; t < (M === 2 ? 1 : M); t += 1) {
    const input = h("input", { type: "range", min: 0, max: 1, step: 0.01, id: `dial-${t}`, "aria-label": `Weight of ${TASKS[t]}`,
      oninput: () => set(withWeight(state.dial, t, Number(input.value))) });
    const value = h("output", {});
    inputs.push([input, value, t]);
    sliders.append(h("label", { for: `dial-${t}` }, M === 2 ? `weight of ${TASKS[0]}` : TASKS[t]), input, value);
  }
  const table = h("div", { class: "scroll low", tabindex: 0, role: "region", "aria-label": "Readout of the dial" });
  const how = h("p", { class: "quiet", "aria-live": "polite", id: "dial-how" });
  drawn(() => {
    for (const [input, value, t] of inputs) {
      if (document.activeElement !== input || Math.abs(Number(input.value) - state.dial[t]) > 0.006) input.value = state.dial[t];
      value.textContent = state.dial[t].toFixed(2);
      input.setAttribute("aria-valuetext", `${TASKS[t]} ${state.dial[t].toFixed(2)}`);
    }
    readDial(table, how);
  });
  const left = h("div", {}, h("div", { class: "row" }, runChoice()), M === 3 ? dialTriangle(set) : null, sliders, how);
  section("dial", "Dial", "Set a preference, and read what it comes to on the split that is shown.", h("div", { class: "half" }, left, table));
}

function dialTriangle(set) {
  let geometry = null;
  const box = figure({
    label: "The preference in the triangle of three tasks", help: "Drag, or use the arrow keys, to set it.",
    keys: (event) => {
      const by = { ArrowLeft: [0.02, -0.02, 0], ArrowRight: [-0.02, 0.02, 0], ArrowUp: [-0.01, -0.01, 0.02], ArrowDown: [0.01, 0.01, -0.02] }[event.key];
      if (!by) return;
      event.preventDefault();
      set(onSimplex(state.dial.map((own, t) => own + by[t])));
    },
    draw: (svg, width) => {
      geometry = triangle(svg, width, Math.min(Math.round(width * 0.8), 280));
      for (const p of frontOf(state.dialRun).preferences) {
        const [x, y] = geometry.place(p);
        svg.append(s("circle", { cx: x, cy: y, r: 2.5, style: "fill:var(--quiet)" }));
      }
      svg.append(ring(...geometry.place(state.dial), 9, "dial"));
      return `The dial stands at ${toldPreference(state.dial)}.`;
    },
  });
  const svg = box.querySelector("svg");
  svg.classList.add("turns");
  const to = (event) => {
    const at = svg.getBoundingClientRect();
    const p = [event.clientX - at.left, event.clientY - at.top];
    set(onSimplex(barycentric(geometry.corners, p)));
  };
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    to(event);
  });
  svg.addEventListener("pointermove", (event) => event.buttons && to(event));
  return box;
}

function onSimplex(weights) {
  const kept = weights.map((weight) => Math.max(weight, 0));
  const sum = kept.reduce((a, b) => a + b, 0);
  return kept.map((weight) => weight / sum);
}

function readDial(table, how) {
  const run = state.dialRun;
  const { preferences, values } = frontOf(run);
  const head = (...words) => h("thead", {}, h("tr", {}, words.map((text, i) => h("th", { scope: "col", class: i ? "number" : null }, text))));
  let found;
  if (RUNS[run].kind === "single_task") found = { parts: [[0, 1]], words: "of each task's own network; there is no dial" };
  else found = between(preferences, state.dial, RUNS[run].kind);
  const rows = COLUMNS.map((column, c) => h("tr", {}, h("th", { scope: "row" }, column.name), h("td", { class: "number" }, told(mixed(values[c], found.parts))),
    h("td", { class: "number" }, found.parts.map(([row]) => told(values[c] ? values[c][row] : null)).join(" · "))));
  table.replaceChildren(h("table", {}, h("caption", { class: "unseen" }, `${RUNS[run].name} where the dial stands`),
    head("column", "at the dial", found.parts.length > 1 ? "at its neighbors" : "evaluated"), h("tbody", {}, rows)));
  how.textContent = `${RUNS[run].name} at ${toldPreference(state.dial)}: ${found.words}.`
    + (found.parts.length > 1 ? ` The model itself is asked by moframework evaluate ${RUNS[run].path} --preferences ${state.dial.map((w) => Number(w.toFixed(4))).join(",")}` : "");
}
