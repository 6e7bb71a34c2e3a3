// Elements, tables and numbers as people read them. Text is always set as text.
const data = JSON.parse(document.getElementById('records').textContent);
const text = (index) => data.texts[index];
const byId = (id) => document.getElementById(id);
const MISSING = '–';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  const present = children.filter((child) => child != null);
  node.append(...present.map((child) => (child instanceof Node ? child : String(child))));
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);

// Columns of equal length as a list of objects; the named ones contain indices of texts.
function unpack(columns, textColumns) {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  const value = (name, i) => (textColumns.includes(name) ? text(columns[name][i]) : columns[name][i]);
  return Array.from({ length: count }, (_, i) => Object.fromEntries(names.map((name) => [name, value(name, i)])));
}
const pairs = (indices) =>
  Array.from({ length: indices.length / 2 }, (_, i) => [text(indices[2 * i]), text(indices[2 * i + 1])]);

// Three digits, or all before the decimal point, as in the other tables.
function digits(value) {
  if (value == null) return MISSING;
  if (value === 0) return '0';
  return value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(value))), 0), 9));
}
// Milliseconds in the unit that a person would write, as in the other tables; ``like`` decides the unit.
const inSeconds = (ms) => ms >= 10000;
const bareTime = (ms, like = ms) => digits(inSeconds(like) ? ms / 1000 : ms);
const unitOf = (ms) => (inSeconds(ms) ? 's' : 'ms');
const time = (ms) => `${bareTime(ms)} ${unitOf(ms)}`;
const percent = (value) => (value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : digits(value)) + ' %';
const clip = (name, longest) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name);
const unique = (values) => [...new Set(values)];
const announce = (message) => {
  byId('announcement').textContent = message;
};

function setOptions(select, entries, chosen) {
  const option = ([value, label]) => el('option', { value, selected: String(value) === String(chosen) }, label);
  select.replaceChildren(...entries.map(option));
  select.disabled = entries.length < 2;
  select.closest('label').hidden = !entries.length;
}

function facts(entries) {
  const present = entries.filter(([, value]) => value != null && value !== '' && value !== MISSING);
  return el('dl', { class: 'facts' }, ...present.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}
const noteList = (...items) => el('ul', { class: 'notes' }, ...items.map((item) => el('li', {}, ...[item].flat())));
const more = (label, open, ...parts) => el('details', { class: 'more', open }, el('summary', {}, label), ...parts);
const empty = (message, command) => el('p', { class: 'empty' }, message, ' ', command ? el('code', {}, command) : null);
const warning = (message) => el('p', { class: 'notice' }, message);
const badge = (label) => el('span', { class: 'badge' }, label);
const button = (attributes, ...children) => el('button', { type: 'button', ...attributes }, ...children);

// A table that scrolls sideways in its box. heads: texts or finished cells; rows: of cells, the first names the row.
function tableBox(label, caption, heads, rows) {
  const head = (cell) => (cell instanceof Node ? cell : el('th', { scope: 'col' }, cell));
  const body = ([name, ...cells]) =>
    el('tr', {}, el('th', { scope: 'row', title: name }, name), ...cells.map((cell) => el('td', {}, ...[cell].flat())));
  const table = el(
    'table',
    {},
    caption ? el('caption', {}, caption) : null,
    el('thead', {}, el('tr', {}, ...heads.map(head))),
    el('tbody', {}, ...rows.map(body)),
  );
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${label}; scrolls sideways` }, table);
}
