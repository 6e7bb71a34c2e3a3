// Elements, and numbers as people read them. Text is always set as text.
const data = JSON.parse(document.getElementById('records').textContent);
const text = (place) => data.texts[place];
const byId = (id) => document.getElementById(id);
const NONE = '–';

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(
    ...children.filter((child) => child != null).map((child) => (child instanceof Node ? child : String(child))),
  );
  return node;
}
const el = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);

// Columns of equal length as a list of objects; the named ones hold places of texts.
function unpacked(columns, words) {
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(names.map((name) => [name, words.includes(name) ? text(columns[name][i]) : columns[name][i]])),
  );
}

function pairs(places) {
  const found = [];
  for (let i = 0; i < places.length; i += 2) found.push([text(places[i]), text(places[i + 1])]);
  return found;
}

// Three digits, or all before the decimal point, as in the other tables.
function digits(value) {
  if (value == null) return NONE;
  if (value === 0) return '0';
  const after = Math.min(Math.max(2 - Math.floor(Math.log10(Math.abs(value))), 0), 9);
  return value.toFixed(after);
}
const percent = (value) => (value >= 10 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(1) : digits(value)) + ' %';
const unique = (values) => [...new Set(values)];
const say = (words) => {
  byId('said').textContent = words;
};

function options(select, entries, chosen) {
  select.replaceChildren(
    ...entries.map(([value, words]) => el('option', { value, selected: String(value) === String(chosen) }, words)),
  );
  select.disabled = entries.length < 2;
}

function facts(entries) {
  const kept = entries.filter(([, value]) => value != null && value !== '' && value !== NONE);
  return el('dl', { class: 'facts' }, ...kept.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

function empty(words, command) {
  return el('p', { class: 'empty' }, words, ' ', command ? el('code', {}, command) : null);
}
