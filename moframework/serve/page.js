"use strict";
// Everything that a server or a file says is put in as text, never as markup.
const id = (name) => document.getElementById(name);
const make = (kind, attributes = {}, ...children) => {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) made[name] = value;
  made.append(...children);
  return made;
};
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const told = (value) =>
  typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value ?? "–");

let model;
let samples = [];
let weights = [];
let source = null;
let busy = false;
let again = false;

const preference = () => {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => (total > 0 ? weight / total : 1 / weights.length));
};

// -- the trade-off -------------------------------------------------------------------------------------------------

const setWeights = (given) => {
  weights = given.slice();
  showWeights();
  ask();
};

const showWeights = () => {
  const shares = preference();
  const ranges = [...document.querySelectorAll("#sliders input")];
  if (weights.length === 2) {
    ranges[0].value = String(Math.round(1000 * shares[1]));
    ranges[0].setAttribute("aria-valuetext", model.tasks.map((task, i) => `${task} ${percent(shares[i])}`).join(", "));
  } else {
    ranges.forEach((range, i) => {
      range.value = String(Math.round(1000 * weights[i]));
      range.setAttribute("aria-valuetext", percent(shares[i]));
      range.parentElement.querySelector("output").textContent = percent(shares[i]);
    });
  }
  id("preference").textContent = `λ = (${shares.map((share) => share.toFixed(3)).join(", ")})`;
  for (const button of document.querySelectorAll("#points button")) {
    const pressed = button.point.every((share, i) => Math.abs(share - shares[i]) < 5e-4);
    button.setAttribute("aria-pressed", String(pressed));
  }
};

const buildSliders = () => {
  const range = (label, moved) => {
    const made = make("input", { type: "range", min: "0", max: "1000", step: "5" });
    made.setAttribute("aria-label", label);
    made.addEventListener("input", () => moved(Number(made.value) / 1000));
    return made;
  };
  const [first, second] = model.tasks;
  if (model.tasks.length === 2) {
    const moved = (share) => setWeights([1 - share, share]);
    const slider = range(`Weight of ${second} against ${first}`, moved);
    id("sliders").append(make("div", { className: "slider" }, make("span", {}, first), slider, make("span", {}, second)));
    return;
  }
  model.tasks.forEach((task, i) => {
    const moved = (weight) => setWeights(weights.map((before, j) => (i === j ? weight : before)));
    const slider = range(`Weight of ${task}`, moved);
    id("sliders").append(make("div", { className: "slider" }, make("span", {}, task), slider, make("output")));
  });
};

const buildPoints = () => {
  const equal = model.tasks.map(() => 1 / model.tasks.length);
  const points = [...Object.entries(model.points), ["equal", equal]];
  if (model.tasks.length <= 8) {
    model.tasks.forEach((task, i) => points.push([`${task} alone`, model.tasks.map((_, j) => Number(i === j))]));
  }
  for (const [name, point] of points) {
    const button = make("button", { type: "button", point }, name);
    button.addEventListener("click", () => setWeights(point));
    id("points").append(button);
  }
};

// -- inputs --------------------------------------------------------------------------------------------------------

const imageShape = () => {
  const shape = model.inputs[""]?.shape;
  return shape && shape.length === 3 && [1, 3].includes(shape[0]) && shape[1] && shape[2] ? shape : null;
};

const typedRow = {
  label: "A row",
  build() {
    for (const column of model.columns) {
      const field =
        column.kind === "number"
          ? make("input", { type: "text", inputMode: "decimal", value: String(Number(column.typical.toPrecision(6))) })
          : make("select", {}, ...["", ...column.categories].map((name) => make("option", { value: name }, name || "unknown")));
      if (column.kind === "category" && column.categories.length) field.value = column.categories[0];
      field.addEventListener("input", ask);
      field.column = column.name;
      id("editor").append(make("label", {}, column.name, field));
    }
  },
  request() {
    const row = {};
    for (const field of document.querySelectorAll("#editor input, #editor select")) {
      Object.defineProperty(row, field.column, { value: field.value === "" ? null : field.value, enumerable: true });
    }
    return { rows: [row], unseen: "missing" };
  },
  cards: () => [{}],
};

const testSamples = {
  label: "Test samples",
  build: () => {},
  request: () => ({ samples: samples.map((sample) => sample.sample) }),
  cards: () => samples,
};

const fileOf = {
  label: "A file",
  given: null,
  shown: [{}],
  build() {
    const image = imageShape() || model.give.includes("images");
    const field = make("input", { type: "file", accept: image ? ".json,image/*" : ".json" });
    field.addEventListener("change", () => this.read(field.files[0]));
    const what = `${model.give.filter((key) => key !== "samples").join(" or ")} as JSON${image ? ", or an image" : ""}`;
    id("editor").append(make("label", {}, what, field));
  },
  async read(file) {
    this.given = null;
    if (!file) return;
    try {
      if (file.type.startsWith("image/")) await this.readImage(file);
      else {
        const plain = JSON.parse(await file.text());
        this.given = Array.isArray(plain) ? { [model.columns ? "rows" : "inputs"]: plain } : plain;
        delete this.given.preference;
        delete this.given.point;
        this.shown = [];
      }
    } catch (error) {
      say(`The file cannot be read: ${error.message}`, true);
      return;
    }
    ask();
  },
  async readImage(file) {
    if (model.give.includes("images")) {
      const bytes = new Uint8Array(await file.arrayBuffer());
      let text = "";
      for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
      this.given = { images: [btoa(text)] };
      this.shown = [{}];
      return;
    }
    const [channels, height, width] = imageShape();
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(await createImageBitmap(file), 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height).data;
    const value = (y, x, channel) => {
      const at = 4 * (y * width + x);
      const gray = 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
      return Number(((channels === 1 ? gray : pixels[at + channel]) / 255).toFixed(4));
    };
    const count = (n) => [...Array(n).keys()];
    const one = count(channels).map((c) => count(height).map((y) => count(width).map((x) => value(y, x, c))));
    this.given = { inputs: [one] };
    this.shown = [{ inputs: { "": one.flat(2) }, shapes: { "": [channels, height, width] } }];
  },
  request() {
    return this.given;
  },
  cards() {
    return this.shown;
  },
};

const buildSources = () => {
  const sources = [];
  if (samples.length) sources.push(testSamples);
  if (model.columns) sources.push(typedRow);
  sources.push(fileOf);
  for (const each of sources) {
    const button = make("button", { type: "button" }, each.label);
    button.addEventListener("click", () => choose(each));
    each.button = button;
    id("sources").append(button);
  }
  choose(sources[0]);
};

const choose = (chosen) => {
  source?.button.setAttribute("aria-pressed", "false");
  source = chosen;
  source.button.setAttribute("aria-pressed", "true");
  id("editor").replaceChildren();
  id("answers").replaceChildren();
  source.build();
  ask();
};

// -- answers -------------------------------------------------------------------------------------------------------

const say = (text, wrong = false) => {
  id("status").textContent = text;
  id("status").className = wrong ? "error" : "quiet";
};

// One request at a time; what moved meanwhile is asked for after it.
const ask = async () => {
  if (busy) {
    again = true;
    return;
  }
  const given = source?.request();
  if (!given) {
    say("Choose a file.");
    return;
  }
  busy = true;
  const began = performance.now();
  try {
    const answer = await fetch("predict", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...given, preference: preference() }),
    });
    const found = await answer.json();
    if (answer.ok) {
      show(found.answers);
      say([`${found.answers.length} answered in ${Math.round(performance.now() - began)} ms`, ...(found.notes ?? [])].join(". "));
    } else {
      say((found.errors?.map((fault) => `${fault.pointer}: ${fault.detail}`) ?? [found.detail]).join("\n"), true);
    }
  } catch (error) {
    say(`The server cannot be reached: ${error.message}`, true);
  } finally {
    busy = false;
  }
  if (again) {
    again = false;
    ask();
  }
};

const show = (answers) => {
  const cards = source.cards();
  const list = id("answers");
  while (list.children.length > answers.length) list.lastChild.remove();
  answers.slice(0, 100).forEach((answer, i) => {
    let item = list.children[i];
    if (!item) {
      item = make("li", {}, ...pictures(cards[i] ?? {}), make("dl"));
      list.append(item);
    }
    item.querySelector("dl").replaceChildren(...model.answers.flatMap((each) => answerOf(each, answer, cards[i]?.targets)));
  });
};

const answerOf = (each, answer, targets) => {
  const rows = Object.entries(answer).filter(([name]) => name.startsWith(`${each.task}/`));
  const shares = rows.map(([name, value]) => [name.slice(each.task.length + 1), value]);
  const value = Object.hasOwn(answer, each.task) ? answer[each.task] : undefined;
  const made = make("dd");
  if (Array.isArray(value)) made.append(mapOf(value, each.categories));
  else if (value !== undefined) {
    made.append(make("span", { className: "told" }, told(value)));
    if (targets && Object.hasOwn(targets, each.task) && targets[each.task] !== null) {
      const truth = targets[each.task];
      const right = String(truth) === String(value);
      const mark = each.kind === "numbers" ? "" : right ? " ✓" : " ✗";
      made.append(make("span", { className: "quiet" }, `${mark} (true: ${told(truth)})`));
    }
  }
  if (each.kind === "numbers") shares.forEach(([name, number]) => made.append(` ${name}: ${told(number)}`));
  else {
    const largest = shares.filter(([, share]) => typeof share === "number").sort((a, b) => b[1] - a[1]);
    made.append(...largest.slice(0, 3).map(([name, share]) => bar(name, share)));
  }
  return [make("dt", {}, each.task), made];
};

const bar = (name, share) => {
  const fill = make("span", { className: "fill" });
  fill.style.width = `${100 * share}%`;
  const track = make("span", { className: "track" }, fill);
  return make("div", { className: "bar" }, make("span", {}, name), track, make("span", { className: "share" }, percent(share)));
};

const pictures = (card) =>
  Object.entries(card.shapes ?? {}).map(([path, shape]) => {
    const numbers = card.inputs[path];
    if (!numbers) return make("p", { className: "quiet" }, `${path} ${shape.join(" × ")}`);
    if (shape.length === 3 && [1, 3].includes(shape[0])) return picture(numbers, ...shape);
    return make("p", { className: "numbers" }, `${path} ${numbers.map(told).join(" ")}`.trim());
  });

const picture = (numbers, channels, height, width) => {
  const canvas = make("canvas", { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "input image");
  const image = new ImageData(width, height);
  const low = Math.min(0, ...numbers.slice(0, 1), numbers.reduce((a, b) => Math.min(a, b), 0));
  const high = Math.max(1, numbers.reduce((a, b) => Math.max(a, b), 1));
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      const value = numbers[(channels === 3 ? c : 0) * width * height + i];
      image.data[4 * i + c] = (255 * (value - low)) / (high - low);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
};

// An answer for each pixel, as shades of gray from the smallest to the largest.
const mapOf = (values, categories) => {
  if (!Array.isArray(values[0]) || Array.isArray(values[0][0])) return make("span", { className: "quiet" }, "many values");
  const numbers = values.flat().map((value) => (typeof value === "number" ? value : categories.indexOf(value)));
  const low = numbers.reduce((a, b) => Math.min(a, b), Infinity);
  const high = numbers.reduce((a, b) => Math.max(a, b), -Infinity);
  return picture(numbers.map((value) => (value - low) / (high - low || 1)), 1, values.length, values[0].length);
};

const begin = async () => {
  try {
    [model, samples] = await Promise.all(["model", "samples"].map(async (path) => (await fetch(path)).json()));
  } catch (error) {
    say(`The server cannot be reached: ${error.message}`, true);
    return;
  }
  document.title = model.name;
  id("name").textContent = model.name;
  const networks = model.networks ? ` It has ${model.networks.length} networks, of which the nearest to λ answers.` : "";
  id("about").textContent = `One model for every trade-off between ${model.tasks.join(", ")}.${networks}`;
  weights = model.tasks.map(() => 1 / model.tasks.length);
  buildSliders();
  buildPoints();
  showWeights();
  buildSources();
};
begin();
