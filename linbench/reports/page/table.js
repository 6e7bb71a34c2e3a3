// The table of every cell: sorted, filtered, fifty rows at a time.
const ROWS = 50;

function tableRows() {
  const rows = new Map();
  const names = scene() ? scene().columns : [];
  for (const cell of shown()) {
    const key = JSON.stringify([cell.label, cell.size]);
    if (!rows.has(key))
      rows.set(key, { label: cell.label, size: cell.size, area: area(cell), order: rows.size, by: {} });
    rows.get(key).by[cell.column] = cell;
  }
  for (const row of rows.values()) {
    row.cells = names.map((column) => row.by[column]).filter(Boolean);
    row.scores = unique(row.cells.flatMap(scoresOf));
    row.words = [
      row.label,
      row.size,
      ...row.cells.flatMap((cell) => [cell.status, cell.reason, columns[cell.column].name, ...markWords(cell)]),
    ]
      .join(' ')
      .toLowerCase();
  }
  return [...rows.values()];
}

function heads() {
  const names = scene() ? scene().columns : [];
  const ms = (column) => (row) =>
    row.by[column] && row.by[column].status === 'ok' ? row.by[column].median_ms : null;
  const pair = ['paper', 'best'].map((name) => names.find((column) => columns[column].name === name));
  const gain = (row) => (ms(pair[0])(row) && ms(pair[1])(row) ? ms(pair[0])(row) / ms(pair[1])(row) : null);
  const any = (name) => (row) => row.cells.map((cell) => cell[name]).find((value) => value != null) ?? null;
  return [
    { key: 'model', words: 'Model', value: (row) => row.order },
    { key: 'size', words: 'Resolution', value: (row) => row.area, show: (row) => row.size },
    ...names.map((column) => ({
      key: `ms${column}`,
      words: `${columns[column].name} latency`,
      value: ms(column),
      show: (row) => latencyButton(row, column),
    })),
    ...(pair.includes(undefined)
      ? []
      : [
          {
            key: 'gain',
            words: 'paper ÷ best',
            value: gain,
            show: (row) => (gain(row) ? `${gain(row).toFixed(2)}×` : NONE),
          },
        ]),
    ...names.map((column) => ({
      key: `mib${column}`,
      words: `${columns[column].name} peak, MiB`,
      value: (row) => row.by[column]?.peak_mib ?? null,
      show: (row) => digits(row.by[column]?.peak_mib),
    })),
    {
      key: 'parameters',
      words: 'Params M',
      value: any('parameters_m'),
      show: (row) => digits(any('parameters_m')(row)),
    },
    {
      key: 'gflops',
      words: 'GFLOP',
      value: (row) => parseFloat((any('gflops')(row) || '').replace('≥ ', '')) || null,
      show: (row) => any('gflops')(row) || NONE,
    },
    ...(measure()
      ? [
          {
            key: 'score',
            words: `${measure().standing ? '⚠ ' : ''}${nameOf(measure())}, %`,
            value: (row) => row.scores[0]?.value ?? null,
            show: scoreCell,
          },
        ]
      : []),
  ];
}

function latencyButton(row, column) {
  const cell = row.by[column];
  if (!cell) return NONE;
  const ok = cell.status === 'ok',
    half = spread(cell);
  const label = `${row.label} at ${row.size}, ${columns[column].name}: ${latencyWords(cell)}${cell.marks ? `, ${markWords(cell).join(', ')}` : ''}. Details`;
  const words = ok
    ? [
        `${cell.marks.includes('c') ? '~' : ''}${digits(cell.median_ms)} ms`,
        half == null ? null : el('span', { class: 'spread' }, ` ±${percent(half)}`),
        sign(cell),
      ]
    : [badge(cell.status), cell.marks.includes('s') ? ' †' : null];
  return el(
    'button',
    { type: 'button', 'aria-label': label, title: markWords(cell).join(', ') || null, onclick: () => openCell(cell) },
    ...words,
  );
}

function scoreCell(row) {
  if (!row.scores.length) return NONE;
  const values = row.scores.map((score) => score.value),
    several = row.scores.length > 1;
  const words = several
    ? `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)} (${values.length} weights)`
    : scoreWords(row.scores[0]);
  return el(
    'button',
    { type: 'button', 'aria-label': `${row.label}: ${words}. Details`, onclick: () => openScore(row.scores[0]) },
    words,
  );
}

function sorted(rows, head) {
  const way = state.down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [head.value(a), head.value(b)];
    if (x == null || y == null) return (x == null) - (y == null) || a.order - b.order;
    return way * (x - y) || a.order - b.order;
  });
}

function headRow(list) {
  return el(
    'tr',
    {},
    ...list.map((head) => {
      const on = state.sort === head.key;
      return el(
        'th',
        { scope: 'col', 'aria-sort': on ? (state.down ? 'descending' : 'ascending') : 'none' },
        el(
          'button',
          {
            type: 'button',
            'data-sort': head.key,
            onclick: () => {
              state.down = on ? !state.down : false;
              state.sort = head.key;
              state.from = 0;
              table();
              byId('cells').querySelector(`[data-sort="${head.key}"]`).focus();
            },
          },
          head.words,
          el('span', { class: 'arrow', 'aria-hidden': 'true' }, on ? (state.down ? '▾' : '▴') : ''),
        ),
      );
    }),
  );
}

function table() {
  const place = byId('cells'),
    all = tableRows();
  options(
    byId('status'),
    [
      ['', 'any'],
      ...unique(shown().map((cell) => cell.status))
        .sort()
        .map((name) => [name, name]),
    ],
    state.status,
  );
  options(byId('size'), [['', 'all'], ...sizes(shown()).map((name) => [name, name])], state.size);
  if (!all.length) {
    place.replaceChildren(noLatency('No cell is known here.'));
    return;
  }
  const asked = state.filter
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean);
  const rows = all.filter(
    (row) =>
      asked.every((word) => row.words.includes(word)) &&
      (!state.size || row.size === state.size) &&
      (!state.status || row.cells.some((cell) => cell.status === state.status)),
  );
  const list = heads();
  const ordered = sorted(rows, list.find((head) => head.key === state.sort) || list[0]);
  state.from = Math.min(state.from, Math.max(0, Math.floor((rows.length - 1) / ROWS) * ROWS));
  const body = ordered
    .slice(state.from, state.from + ROWS)
    .map((row) =>
      el(
        'tr',
        {},
        el('th', { scope: 'row', title: row.label }, row.label),
        ...list.slice(1).map((head) => el('td', {}, head.show(row))),
      ),
    );
  const until = Math.min(state.from + ROWS, rows.length);
  const counted = rows.length
    ? `Rows ${state.from + 1}–${until} of ${rows.length}${rows.length < all.length ? `, of ${all.length} without a filter` : ''}`
    : `None of ${all.length} rows passes the filter`;
  const turn = (words, to, off) =>
    el(
      'button',
      {
        type: 'button',
        disabled: off,
        onclick: () => {
          state.from = to;
          table();
          byId('cells-heading').focus();
        },
      },
      words,
    );
  place.replaceChildren(
    el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of cells; scrolls sideways' },
      el(
        'table',
        {},
        el('caption', {}, `${scene().part} on ${scene().device}. A latency opens its samples and conditions.`),
        el('thead', {}, headRow(list)),
        el('tbody', {}, ...body),
      ),
    ),
    el(
      'div',
      { class: 'pager' },
      el('span', { id: 'counted' }, counted),
      rows.length > ROWS ? turn('Previous', state.from - ROWS, state.from === 0) : null,
      rows.length > ROWS ? turn('Next', state.from + ROWS, until >= rows.length) : null,
    ),
  );
  say(counted);
}
