// The table of every cell, sorted, filtered, fifty rows at a time; the table of accuracies; kernels.
const ROWS = 50;

function cellRows() {
  const rows = new Map(),
    shown = scene() ? scene().columns : [];
  for (const cell of sceneCells()) {
    const key = JSON.stringify([cell.label, cell.size]);
    if (!rows.has(key))
      rows.set(key, { label: cell.label, size: cell.size, area: area(cell), order: rows.size, byColumn: {} });
    rows.get(key).byColumn[cell.column] = cell;
  }
  for (const row of rows.values()) {
    row.cells = shown.map((column) => row.byColumn[column]).filter(Boolean);
    row.scores = unique(row.cells.flatMap(scoresOf));
    const texts = row.cells.flatMap((cell) => [cell.status, cell.reason, columns[cell.column].name, ...markNames(cell)]);
    row.text = [row.label, row.size, ...texts].join(' ').toLowerCase();
  }
  return [...rows.values()];
}

// The table's columns: key, name, the value to sort by, and the cell if it is not the value in digits.
function cellColumns() {
  const shown = scene() ? scene().columns : [];
  const ms = (column) => (row) => (row.byColumn[column]?.status === 'ok' ? row.byColumn[column].median_ms : null);
  const mib = (column) => (row) => row.byColumn[column]?.peak_mib ?? null;
  const [paper, best] = ['paper', 'best'].map((name) => shown.find((column) => columns[column].name === name));
  const doubt = (row) => [paper, best].map((column) => row.byColumn[column]?.doubt).find(Boolean);
  const gain = (row) => (ms(paper)(row) && ms(best)(row) && !doubt(row) ? ms(paper)(row) / ms(best)(row) : null);
  const gainText = (row) => (gain(row) ? `${gain(row).toFixed(2)}×` : el('span', { title: doubt(row) }, MISSING));
  const first = (row, name) => row.cells.map((cell) => cell[name]).find((value) => value != null) ?? null;
  const perPreset = (key, name, value, show) =>
    shown.map((column) => ({
      key: `${key}${column}`,
      name: `${columns[column].name} ${name}`,
      value: value(column),
      show: show && ((row) => show(row, column)),
    }));
  return [
    { key: 'model', name: 'Model', value: (row) => row.order },
    { key: 'size', name: 'Resolution', value: (row) => row.area, show: (row) => row.size },
    ...perPreset('ms', 'latency', ms, latencyButton),
    ...(paper == null || best == null
      ? []
      : [{ key: 'gain', name: 'paper ÷ best', value: gain, show: gainText }]),
    ...perPreset('mib', 'peak, MiB', mib, (row, column) =>
      mib(column)(row) == null ? MISSING : digits(mib(column)(row)) + staleSign(row.byColumn[column]),
    ),
    { key: 'parameters', name: 'Params M', value: (row) => first(row, 'parameters_m') },
    {
      key: 'gflops',
      name: 'GFLOP',
      value: (row) => parseFloat((first(row, 'gflops') || '').replace('≥ ', '')) || null,
      show: (row) => first(row, 'gflops') || MISSING,
    },
    ...(measure()
      ? [
          {
            key: 'score',
            name: `${measure().standing ? '⚠ ' : ''}${measureName(measure())}, %`,
            value: (row) => row.scores[0]?.value ?? null,
            show: scoreButton,
          },
        ]
      : []),
  ];
}

function latencyButton(row, column) {
  const cell = row.byColumn[column];
  if (!cell) return MISSING;
  const marks = markLines(cell).filter(Boolean).join(', ');
  const label = `${row.label} at ${row.size}, ${columns[column].name}: ${cell.text}${marks && `, ${marks}`}. Details`;
  const [median, interval] = cell.text.split(' ±');
  const parts =
    cell.status === 'ok'
      ? [median, interval ? el('span', { class: 'spread' }, ` ±${interval}`) : null]
      : [badge(cell.status), cell.text.slice(cell.status.length)];
  return button({ 'aria-label': label, title: marks || null, onclick: () => openCell(cell) }, ...parts);
}

function scoreButton(row) {
  if (!row.scores.length) return MISSING;
  const values = row.scores.map((score) => score.value);
  const label =
    values.length > 1
      ? `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)} (${values.length} weights)`
      : scoreText(row.scores[0]);
  return button({ 'aria-label': `${row.label}: ${label}. Details`, onclick: () => openScore(row.scores[0]) }, label);
}

function sortRows(rows, column) {
  const direction = state.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (x == null || y == null) return (x == null) - (y == null) || a.order - b.order;
    return direction * (x - y) || a.order - b.order;
  });
}

function sortButton(column) {
  const isSorted = state.sort === column.key;
  const sort = () => {
    Object.assign(state, { descending: isSorted && !state.descending, sort: column.key, from: 0 });
    drawCells();
    byId('cells').querySelector(`[data-sort="${column.key}"]`).focus();
  };
  const arrow = el('span', { class: 'arrow', 'aria-hidden': 'true' }, isSorted ? (state.descending ? '▾' : '▴') : '');
  const order = isSorted ? (state.descending ? 'descending' : 'ascending') : 'none';
  const head = button({ 'data-sort': column.key, onclick: sort }, column.name, arrow);
  return el('th', { scope: 'col', 'aria-sort': order }, head);
}

function drawCells() {
  const container = byId('cells'),
    all = cellRows(),
    statuses = unique(sceneCells().map((cell) => cell.status)).sort();
  setOptions(byId('status'), [['', 'any'], ...statuses.map((name) => [name, name])], state.status);
  setOptions(byId('size'), [['', 'all'], ...sizes(sceneCells()).map((name) => [name, name])], state.size);
  container.closest('section').hidden = !all.length;
  if (!all.length) return;
  const terms = state.filter.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const rows = all.filter(
    (row) =>
      terms.every((term) => row.text.includes(term)) &&
      (!state.size || row.size === state.size) &&
      (!state.status || row.cells.some((cell) => cell.status === state.status)),
  );
  const list = cellColumns();
  const sorted = sortRows(rows, list.find((column) => column.key === state.sort) || list[0]);
  state.from = Math.min(state.from, Math.max(0, Math.floor((rows.length - 1) / ROWS) * ROWS));
  const show = (column) => column.show || ((row) => digits(column.value(row)));
  const until = Math.min(state.from + ROWS, rows.length);
  const body = sorted
    .slice(state.from, until)
    .map((row) => [row.label, ...list.slice(1).map((column) => show(column)(row))]);
  const caption = `${scene().part} on ${scene().device}. A latency opens its samples and conditions.`;
  container.replaceChildren(tableBox('Table of cells', caption, list.map(sortButton), body), pager(rows, all, until));
}

function pager(rows, all, until) {
  const filtered = rows.length < all.length ? `, of ${all.length} without a filter` : '';
  const count = rows.length
    ? `Rows ${state.from + 1}–${until} of ${rows.length}${filtered}`
    : `None of ${all.length} rows passes the filter`;
  const turn = (label, from, disabled) => {
    const onclick = () => {
      state.from = from;
      drawCells();
      byId('cells-heading').focus();
    };
    return rows.length > ROWS ? button({ disabled, onclick }, label) : null;
  };
  announce(count);
  const previous = turn('Previous', state.from - ROWS, state.from === 0),
    next = turn('Next', state.from + ROWS, until >= rows.length);
  return el('div', { class: 'pager' }, el('span', { id: 'count' }, count), previous, next);
}

// A table of all metrics whose numbers may stand beside each other: those of the chosen one's standing.
function drawScores() {
  const { standing } = measure() || measures[0] || {};
  const shown = measures.filter((entry) => entry.standing === standing),
    known = scores.filter((score) => measures[score.measure].standing === standing);
  byId('scores').closest('section').hidden = !scores.length;
  const failed = scores.filter((score) => score.value == null);
  const reasons = failed.map(
    (score) => `${measures[score.measure].suite}, ${score.label} at ${score.size}: ${score.status}, ${score.reason}`,
  );
  const failures = failed.length ? [el('h3', {}, 'Evaluations without a number'), noteList(...reasons)] : [];
  const list = shown.flatMap((entry) => {
    const ofEntry = known.filter((score) => score.measure === entry.index && score.value != null);
    return sizes(ofEntry).map((size) => ({ entry, size }));
  });
  const cell = (label, { entry, size }) => {
    const score = known.find((other) => other.measure === entry.index && other.label === label && other.size === size);
    if (!score) return MISSING;
    if (score.value == null) return badge(score.status);
    const name = `${label} at ${size}: ${measureName(entry)} ${scoreText(score)}. Details`;
    const interval = el('span', { class: 'spread' }, scoreInterval(score));
    const parts = [`${score.value.toFixed(2)}${score.marks}`, interval];
    return button({ 'aria-label': name, onclick: () => openScore(score) }, ...parts);
  };
  const weights = (label) =>
    unique(known.filter((score) => score.label === label).map((score) => score.weights)).join('; ');
  const rows = unique(known.filter((score) => score.value != null).map((score) => score.label)).map((label) => [
    label,
    ...list.map((column) => cell(label, column)),
    weights(label),
  ]);
  const head = ({ entry, size }) => {
    const details = `${entry.dataset}, ${entry.protocol}`;
    return el('th', { scope: 'col', title: details }, measureName(entry), el('small', {}, `${details}, ${size}`));
  };
  const caption =
    (standing ? `⚠ Comparable with nothing published: ${standing}. ` : '') +
    'In percent, with the 95 % interval over images. Sizes are of the model’s input.';
  const table = tableBox('Table of accuracies', caption, ['Model', ...list.map(head), 'Weights'], rows);
  byId('scores').replaceChildren(...(list.length ? [table] : []), ...failures);
}

// The kernels' tables are in the document; those of another device are hidden.
function drawKernels() {
  const tables = [...byId('kernels').querySelectorAll('.kernels')];
  for (const table of tables) table.hidden = scene() != null && table.dataset.device !== scene().device;
  byId('no-kernels').hidden = tables.some((table) => !table.hidden);
}
