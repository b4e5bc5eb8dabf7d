// Keeps the page current from /api/status. Without it the page reloads itself instead.
"use strict";

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
const UNKNOWN = "–";

const grouped = (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = grouped(0);
const tenths = grouped(1);

function usd(micros) {
  const rest = String(micros % 1e6).padStart(6, "0");
  return `$${whole.format(Math.floor(micros / 1e6))}.${rest}`;
}

function time(ms) {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

// One entry for each kind in shown.py.
const SHOWN = {
  text: String,
  prose: String,
  state: String,
  count: whole.format,
  rate: whole.format,
  mb: whole.format,
  seconds: tenths.format,
  ms: tenths.format,
  usd,
  time,
  duration,
};

function shown(value, kind) {
  return value === null || value === undefined || value === "" ? UNKNOWN : SHOWN[kind](value);
}

// Only what changes is touched, so that nothing loses its selection and screen readers hear only news.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function resize(parent, length, make) {
  while (parent.children.length > length) parent.lastElementChild.remove();
  while (parent.children.length < length) parent.append(make());
}

function row(columns) {
  const made = document.createElement("tr");
  columns.forEach((column, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (!index) cell.scope = "row";
    cell.dataset.kind = column.dataset.kind;
    made.append(cell);
  });
  return made;
}

function fill(table, rows) {
  const columns = [...table.querySelectorAll("th[data-column]")];
  const body = table.tBodies[0];
  resize(body, rows.length, () => row(columns));
  rows.forEach((values, index) => {
    columns.forEach((column, place) => {
      const cell = body.children[index].children[place];
      const { column: name, kind } = column.dataset;
      write(cell, shown(values[name], kind));
      if (kind === "state") cell.dataset.state = values[name];
    });
  });
  table.hidden = rows.length === 0;
  document.querySelector(`[data-empty="${table.dataset.rows}"]`).hidden = rows.length > 0;
}

function at(status, path) {
  return path.split(".").reduce((value, name) => value[name], status);
}

function show(status) {
  document.getElementById("health").dataset.health = status.health;
  for (const element of document.querySelectorAll("[data-value]")) {
    write(element, shown(at(status, element.dataset.value), element.dataset.kind));
  }
  for (const list of document.querySelectorAll("[data-list]")) {
    const lines = at(status, list.dataset.list);
    resize(list, lines.length, () => document.createElement("li"));
    lines.forEach((line, index) => write(list.children[index], line));
  }
  for (const table of document.querySelectorAll("table[data-rows]")) {
    fill(table, at(status, table.dataset.rows));
  }
}

let heardMs = Date.now();

function say(silence) {
  const line = document.getElementById("silent");
  line.hidden = !silence;
  write(line, silence);
  document.body.classList.toggle("old", Boolean(silence));
}

async function refresh() {
  try {
    const answer = await fetch("/api/status", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(await answer.json());
    heardMs = Date.now();
    document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates || 0) + 1;
    say("");
  } catch {
    const age = Math.round((Date.now() - heardMs) / 1000);
    say(`This worker does not answer. What you see is ${age} s old; is the worker running?`);
  }
  setTimeout(refresh, PERIOD_MS);
}

refresh();
