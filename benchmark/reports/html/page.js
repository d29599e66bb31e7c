"use strict";
// Filters and charts of the report. The tables are there without it; tables.js, which comes before, sorts them.
const numbers = JSON.parse(document.getElementById("numbers").textContent);
const HUES = 8;
const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- filters: name of a method, track, comparable rows, verdict
const verdicts = new Set();
function filter() {
  const text = document.getElementById("search").value.trim().toLowerCase();
  const track = document.getElementById("track").value;
  const comparable = document.getElementById("comparable").checked;
  for (const item of all("[data-method]")) {
    const fits = item.dataset.method.toLowerCase().includes(text);
    item.hidden = !fits || (comparable && item.classList.contains("apart"));
  }
  for (const section of all(".track")) section.hidden = track !== "" && section.dataset.track !== track;
  for (const task of all(".task")) task.querySelector(".none").hidden = all("tbody tr", task).some((row) => !row.hidden);
  for (const row of all("tr[data-verdict]")) row.hidden = verdicts.size > 0 && !verdicts.has(row.dataset.verdict);
}

// ---- charts: drawn when one scrolls to them, and again when their methods or the colours of the page change
function theme() {
  const [text, soft, line] = [css("--text"), css("--soft"), css("--line")];
  return {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, domainColor: line, tickColor: line, gridColor: line, gridOpacity: 0.7, titleFontWeight: "normal" },
    legend: { labelColor: text, titleColor: soft, titleFontWeight: "normal" },
    range: { category: [...Array(HUES).keys()].map((i) => css(`--c${i}`)) },
  };
}
const pending = new WeakMap();
const waiting = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    waiting.unobserve(entry.target);
    pending.get(entry.target)();
  }
}, { rootMargin: "300px" });
function draw(figure, rows) {
  pending.set(figure, async () => {
    const spec = structuredClone(numbers.charts[figure.dataset.chart]);
    delete spec.$schema;
    spec.datasets = { rows: rows() };
    if (spec.config) delete spec.config;
    const place = figure.querySelector(".chart");
    if (figure.view) figure.view.finalize();
    const made = await vegaEmbed(place, spec, { actions: false, renderer: "svg", config: theme(), tooltip: { theme: dark.matches ? "dark" : "light" } });
    figure.view = made.view;
    figure.dataset.drawn = String(Number(figure.dataset.drawn ?? 0) + 1);
  });
  waiting.unobserve(figure);
  waiting.observe(figure);
}

class Task {
  constructor(section) {
    this.section = section;
    this.numbers = numbers.tasks[section.dataset.task];
    this.slots = Array(HUES).fill(null);
    this.numbers.chosen.forEach((method, i) => { this.slots[i] = method; });
    this.order = [...this.numbers.chosen];
    section.querySelector(".drawn").hidden = this.numbers.methods.length === 0;
    section.querySelector("[data-chart=cost]").hidden = this.numbers.points.length === 0;
    this.select = section.querySelector("[data-chart=classes] select");
    for (const method of this.numbers.methods) this.select.add(new Option(method));
    this.select.value = this.numbers.methods.includes("fedavg") ? "fedavg" : this.numbers.methods[0];
    this.select.addEventListener("change", () => this.paint("classes"));
    this.devices = section.querySelector("[data-chart=time] select");
    this.devices.addEventListener("change", () => this.paint("time"));
    this.chips = this.numbers.methods.map((method) => this.chip(method));
    section.querySelector(".chips").append(...this.chips);
    this.show();
  }
  chip(method) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.dataset.name = method;
    chip.append(document.createElement("i"), method);
    chip.addEventListener("click", () => { this.toggle(method); this.show(); });
    return chip;
  }
  toggle(method) {
    const slot = this.slots.indexOf(method);
    if (slot >= 0) {
      this.slots[slot] = null;
      this.order = this.order.filter((name) => name !== method);
      return;
    }
    if (!this.slots.includes(null)) this.toggle(this.order[0]); // the one chosen first makes room
    this.slots[this.slots.indexOf(null)] = method;
    this.order.push(method);
  }
  look(method) {
    const slot = this.slots.indexOf(method);
    return { method, chosen: slot >= 0, color: slot >= 0 ? css(`--c${slot}`) : css("--quiet") };
  }
  show() {
    for (const chip of this.chips) {
      const slot = this.slots.indexOf(chip.dataset.name);
      chip.setAttribute("aria-pressed", String(slot >= 0));
      chip.style.setProperty("--hue", slot >= 0 ? `var(--c${slot})` : "var(--line)");
    }
    for (const name of ["learning", "forgetting", "time", "classes", "bytes"]) this.paint(name);
    if (this.numbers.points.length) this.paint("cost");
  }
  paint(name) {
    draw(this.section.querySelector(`[data-chart=${name}]`), () => this[name]());
  }
  steps(fields) {
    const rank = ([method]) => this.slots.indexOf(method);
    return Object.entries(this.numbers.curves).sort((a, b) => rank(a) - rank(b)).flatMap(([method, curve]) => {
      const look = this.look(method);
      return curve.round.map((round, i) => ({ ...look, round, ...Object.fromEntries(fields.map((field) => [field, curve[field][i]])) }));
    });
  }
  cost() { return this.numbers.points.map((point) => ({ ...point, ...this.look(point.method) })); }
  learning() { return this.steps(["accuracy", "low", "high", "mb"]); }
  forgetting() { return this.steps(["forgetting", "forgetting_low", "forgetting_high", "mb"]); }
  time() {
    return this.steps(["accuracy", "low", "high"]).flatMap((step) => {
      const place = this.numbers.curves[step.method].round.indexOf(step.round);
      const minutes = this.numbers.minutes[step.method][this.devices.value]?.[place];
      return minutes > 0 ? [{ ...step, minutes }] : []; // pooled data have none
    });
  }
  classes() {
    const curve = this.numbers.curves[this.select.value];
    return curve.round.flatMap((round, i) => curve.classes[i].map((accuracy, k) => ({ round, accuracy, class: this.numbers.classes[k] ?? String(k) })));
  }
  bytes() { return this.numbers.bytes; }
}

// ---- start
document.querySelector(".tools").hidden = false;
all("table").forEach(sortable);
for (const id of ["search", "track", "comparable"]) document.getElementById(id).addEventListener("input", filter);
for (const chip of all(".chip[data-verdict]")) {
  chip.addEventListener("click", () => {
    const { verdict } = chip.dataset;
    if (!verdicts.delete(verdict)) verdicts.add(verdict);
    chip.setAttribute("aria-pressed", String(verdicts.has(verdict)));
    filter();
  });
}
const tasks = all(".task").map((section) => new Task(section));
const scores = (figure) => numbers.scores[figure.dataset.track].map((row) => ({ ...row, color: css("--c0") }));
const rank = () => all("[data-chart=ranking]").forEach((figure) => draw(figure, () => scores(figure)));
rank();
dark.addEventListener("change", () => { tasks.forEach((task) => task.show()); rank(); });
function unfold() { // a link to a method opens its section
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.hidden = false; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();
