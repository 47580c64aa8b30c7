// All numbers as a table to take along, and what else a run has to tell.
function tableRows() {
  return shownRuns().flatMap((run) => {
    const { preferences, values } = frontOf(run);
    const losses = columnsOf("loss");
    const kept = nondominated(preferences.map((_, row) => losses.map((c) => values[c][row])), losses.map(() => false));
    return preferences.map((preference, row) => ({ run, row, preference, kept: kept[row], values: values.map((column) => (column ? column[row] : null)) }));
  });
}

const MOST_ROWS = 400;

function pointsSection() {
  const box = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of points" });
  const more = h("p", { class: "quiet" });
  drawn(() => {
    const rows = tableRows();
    const picked = pickedPoint();
    const is = (one, row) => one && one.run === row.run && one.row === row.row;
    box.replaceChildren(h("table", { id: "points-table" },
      h("caption", { class: "unseen" }, `Points of the ${state.split} split`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "run"), TASKS.map((task) => h("th", { scope: "col", class: "number" }, `λ ${task}`)),
        COLUMNS.map((c) => h("th", { scope: "col", class: "number" }, `${c.name} ${c.up ? "↑" : "↓"}`)), h("th", { scope: "col" }, "dominated"))),
      h("tbody", {}, rows.slice(0, MOST_ROWS).map((row) => h("tr", { class: is(picked, row) || is(state.cursor, row) ? "chosen" : null },
        h("th", { scope: "row" }, h("span", { class: "row", style: "gap:.3rem;flex-wrap:nowrap;margin:0" }, sample(row.run, row.kept), RUNS[row.run].name)),
        row.preference.map((weight) => h("td", { class: "number" }, RUNS[row.run].kind === "single_task" ? "own" : told(weight, 3))),
        row.values.map((value) => h("td", { class: "number" }, told(value))), h("td", {}, row.kept ? "" : "dominated"))))));
    more.textContent = rows.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${rows.length} points; CSV and LaTeX have all.` : "";
  });
  const text = h("textarea", { readonly: true, hidden: true, "aria-label": "Text to copy", id: "copied" });
  const said = h("span", { class: "quiet", "aria-live": "polite" });
  const copy = (words, made) => h("button", { type: "button", class: "copy", onclick: async () => {
    text.hidden = false;
    text.value = made();
    text.select();
    said.textContent = await toClipboard(text.value) ? `${words} is in the clipboard.` : "Copy the selected text below.";
  } }, `Copy as ${words}`);
  section("points", "Points", null, box, more, h("div", { class: "row" }, copy("CSV", asCSV), copy("LaTeX", asLatex), said), text);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function asCSV() {
  // A name that begins like a formula is one to a spreadsheet, so it gets a quote mark in front.
  const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const number = (value) => (value === null ? "" : String(value));
  const head = ["run", ...TASKS.map((task) => `${task}/preference`), ...COLUMNS.map((c) => c.name), "dominated"].map(cell).join(",");
  const rows = tableRows().map((row) => [cell(RUNS[row.run].name), ...row.preference.map((weight) => (RUNS[row.run].kind === "single_task" ? "" : number(weight))), ...row.values.map(number), row.kept ? "no" : "yes"].join(","));
  return `${[head, ...rows].join("\n")}\n`;
}

function asLatex() {
  const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}" };
  const cell = (text) => text.replace(/[\\~^<>&%$#_{}]/g, (c) => special[c] || `\\${c}`);
  const number = (value) => (value === null ? "--" : told(value));
  const head = ["run", ...TASKS.map((task) => `$\\lambda$ ${cell(task)}`), ...COLUMNS.map((c) => `${cell(c.name)} $\\${c.up ? "uparrow" : "downarrow"}$`)].join(" & ");
  const rows = tableRows().map((row) => [cell(RUNS[row.run].name), ...row.preference.map((w) => (RUNS[row.run].kind === "single_task" ? "--" : number(w))), ...row.values.map(number)].join(" & "));
  return ["% \\usepackage{booktabs}", `\\begin{tabular}{l${"r".repeat(M + COLUMNS.length)}}`, "\\toprule", `${head} \\\\`, "\\midrule",
    ...rows.map((row) => `${row} \\\\`), "\\bottomrule", "\\end{tabular}", ""].join("\n");
}

function indicatorsSection() {
  const box = h("div", { class: "scroll low", tabindex: 0, role: "region", "aria-label": "Hypervolumes" });
  drawn(() => {
    const rows = shownRuns().flatMap((r) => frontOf(r).hypervolumes.map(([name, value, reference]) => h("tr", {},
      h("th", { scope: "row" }, h("span", { class: "row", style: "gap:.3rem;margin:0;flex-wrap:nowrap" }, sample(r), RUNS[r].name)), h("td", {}, name), h("td", { class: "number" }, told(value)),
      h("td", { class: "quiet" }, reference.length > 4 ? `${reference.slice(0, 3).map((v) => told(v, 3)).join(", ")}, …` : reference.map((v) => told(v, 3)).join(", ")))));
    box.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["run", "hypervolume of", "value ↑", "reference point"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)));
  });
  section("indicators", "Hypervolumes", "Compare values of the same reference point only.", box);
}

function timeSection() {
  const words = new Map(DATA.parts);
  const most = Math.max(...RUNS.flatMap((run) => run.seconds.map(([, value]) => value)), 1e-9);
  const runs = RUNS.map((run, r) => {
    const whole = run.seconds.reduce((sum, [, value]) => sum + value, 0);
    if (!whole) return h("p", {}, `${run.name}: not known.`);
    const rows = run.seconds.map(([part, value]) => h("tr", {}, h("th", { scope: "row" }, part.replaceAll("_", " ")),
      h("td", { class: "number" }, `${value.toFixed(1)} s`), h("td", { class: "number" }, `${((100 * value) / whole).toFixed(0)} %`),
      h("td", { style: "width:35%" }, h("div", { class: "bar", style: `width:${((100 * value) / most).toFixed(1)}%;background:${colorOf(r)}` })), h("td", { class: "quiet" }, words.get(part) || "")));
    return h("details", { open: RUNS.length <= 2 }, h("summary", {}, `${run.name}: ${whole.toFixed(1)} s in all`),
      h("div", { class: "scroll low", tabindex: 0, role: "region", "aria-label": `Time of ${run.name}` }, h("table", {}, h("tbody", {}, rows))), run.remarks.map((text) => h("p", { class: "quiet" }, text)));
  });
  section("time", "Where the time went", null, ...runs);
}

function runsSection() {
  const made = RUNS.map((run) => h("details", { open: RUNS.length === 1 }, h("summary", {}, run.name, " ", h("span", { class: "tag" }, run.solver)),
    h("h3", {}, "Notes"), run.notes.length ? h("ul", {}, run.notes.map((note) => h("li", {}, note))) : h("p", {}, "None."),
    h("h3", {}, "What ran"), h("div", { class: "scroll low", tabindex: 0, role: "region", "aria-label": `Facts of ${run.name}` }, h("table", {}, h("tbody", {}, [["folder", run.path], ["status", run.status], ...run.facts].map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, value)))))),
    h("h3", {}, "Spec"), h("pre", { tabindex: 0, "aria-label": `Spec of ${run.name}` }, run.spec)));
  section("runs", "Runs: notes, facts, specs", null, ...made);
}
