// The head of the page, and its sections in order.
const KINDS = { continuous: "one model", finite: "a network a point", single: "baseline: one network", single_task: "baseline: a network a task" };

function controls() {
  const runs = h("fieldset", { class: "row", style: "border:0;padding:0;margin:.2rem 0" }, h("legend", { class: "unseen" }, "Runs that are shown"),
    RUNS.map((run, r) => {
      const box = h("input", { type: "checkbox", checked: true, id: `run-${r}`, onchange: () => {
        state.shown[r] = box.checked;
        changed();
      } });
      return h("label", {}, box, sample(r), h("span", {}, run.name), h("span", { class: "tag" }, `${run.solver} · ${KINDS[run.kind]}`));
    }));
  const split = choice("split", SPLITS.map((name) => [name, name]), state.split, (name) => {
    state.split = name;
    changed();
  });
  split.querySelector("select").id = "split";
  document.getElementById("controls").append(runs, h("div", { class: "row" }, split, themeButton()));
}

function themeButton() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = h("button", { type: "button", id: "theme" }, "Dark");
  const set = (on) => {
    root.dataset.theme = on ? "dark" : "light";
    button.setAttribute("aria-pressed", String(on));
  };
  let chosen = false;
  button.addEventListener("click", () => {
    chosen = true;
    set(root.dataset.theme !== "dark");
  });
  dark.addEventListener("change", () => chosen || set(dark.matches));
  set(dark.matches);
  return button;
}

controls();
frontSection();
dialSection();
boundsSection();
mapsSection();
courseSection();
indicatorsSection();
pointsSection();
timeSection();
runsSection();
