// One cell in full: its numbers, some of its raw samples, and the conditions under which they were taken.
function openDialog(title, subtitle, ...parts) {
  const dialog = byId('details');
  const heading = el('div', {}, el('h2', { id: 'details-heading' }, title), el('p', { class: 'quiet' }, subtitle));
  const top = el('div', { class: 'top' }, heading, button({ onclick: () => dialog.close() }, 'Close'));
  dialog.replaceChildren(top, ...parts.filter(Boolean));
  hideTip();
  dialog.showModal();
  dialog.scrollTop = 0;
}
const headline = (value, detail) => el('p', { class: 'headline' }, value, ' ', el('small', {}, detail));
const seconds = (value) => (value == null ? null : `${digits(value)} s`);
const exponential = (value) => value && value.toExponential(1);

function openCell(cell) {
  const column = columns[cell.column],
    { part, device } = scenes.find((other) => other.columns.includes(cell.column)),
    shared = new Set(pairs(column.conditions).map(([name]) => name)),
    isOk = cell.status === 'ok';
  const interval =
    cell.low_ms == null
      ? 'without an interval'
      : `95 %: ${digits(cell.low_ms)}–${digits(cell.high_ms)} ms, over the ${cell.interval}`;
  const meaning = (letter) => (letter === 't' ? cell.throttled : MARKS[letter][2]);
  openDialog(
    `${cell.label} at ${cell.size}`,
    `${part}, preset ${column.name}, on ${device}`,
    isOk ? headline(`${digits(cell.median_ms)} ms`, interval) : headline(badge(cell.status), cell.reason),
    cell.marks ? noteList(...[...cell.marks].map((letter) => explain(letter, meaning(letter)))) : null,
    isOk ? samplesOf(cell) : null,
    el('h3', {}, 'Numbers'),
    cellNumbers(cell, isOk),
    cell.chosen ? el('p', {}, `best: ${cell.chosen}.`) : null,
    cell.log ? more('Log', false, el('pre', { tabindex: 0 }, cell.log)) : null,
    more(
      'Conditions',
      true,
      facts([
        ...pairs(cell.settings).filter(([name]) => !shared.has(name)),
        ...pairs(column.conditions),
        ['code', `${cell.code_hash}${cell.marks.includes('s') ? ', changed since' : ''}`],
        ['record', cell.key],
        ['last round started', cell.started],
      ]),
    ),
    more('Environment', false, facts(pairs(data.environments[cell.environment]))),
  );
}

function cellNumbers(cell, isOk) {
  const entries = [
    ['interquartile range', isOk && `${digits(cell.iqr_ms)} ms`],
    ['5 % to 95 %', isOk && `${digits(cell.p5_ms)}–${digits(cell.p95_ms)} ms`],
    ['99 %', cell.p99_ms && `${digits(cell.p99_ms)} ms`],
    ['samples', isOk && `${cell.n} in ${cell.rounds} ${cell.rounds === 1 ? 'round' : 'rounds'}`],
    ['peak memory', cell.peak_mib && `${digits(cell.peak_mib)} MiB ${cell.peak_kind}`],
    ['reserved memory', cell.reserved_mib && `${digits(cell.reserved_mib)} MiB`],
    ['parameters', cell.parameters_m && `${digits(cell.parameters_m)} M`],
    ['FLOPs', cell.gflops && `${cell.gflops} GFLOP`],
    ['operators without a formula', cell.flops_missing],
    ['tokens', cell.tokens],
    ['model load', seconds(cell.load_s)],
    ['first forward', seconds(cell.first_forward_s)],
    ['kernel compilation', seconds(cell.kernel_compile_s)],
    ['compile, capture', seconds(cell.compile_s)],
    ['error of kernels', exponential(cell.kernel_error)],
    ['error of the dtype', exponential(cell.dtype_error)],
    ['energy', cell.joules_per_image && `${digits(cell.joules_per_image)} J an image`],
    ['cores used by other processes', cell.others_share && percent(100 * cell.others_share)],
  ];
  return facts(entries.filter(([, value]) => value));
}

// A row of dots for each round, a bar at its median, and the cell's interval behind them.
function samplesOf(cell) {
  const rounds = cell.samples.map((round) => round.map((steps) => cell.median_ms * (1 + steps / data.limits.step))),
    all = rounds.flat(),
    isThinned = cell.samples.some((round, i) => round.length < cell.counts[i]);
  const values = [...all, cell.low_ms ?? cell.median_ms, cell.high_ms ?? cell.median_ms];
  const width = Math.min(640, innerWidth - 60),
    height = 34 + rounds.length * 24,
    at = scale(...rangeOf(values, true), 64, width - 12, true);
  const range = `${digits(Math.min(...all))} to ${digits(Math.max(...all))} ms`;
  const label = `Samples of ${rounds.length} rounds from ${range}; the table below has each round`;
  const plot = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  if (cell.low_ms != null) {
    const box = { x: at(cell.low_ms), width: Math.max(1, at(cell.high_ms) - at(cell.low_ms)), y: 4, height: height - 30 };
    plot.append(svg('rect', { class: 'interval', ...box }));
  }
  rounds.forEach((round, i) => {
    const y = 18 + i * 24,
      median = at(cell.medians[i]);
    plot.append(
      svg('text', { x: 0, y: y + 4 }, `round ${i + 1}`),
      svg('line', { class: 'grid', x1: 64, x2: width - 12, y1: y, y2: y }),
      ...round.map((value, j) => svg('circle', { class: 'dot', cx: at(value), cy: y + ((j % 5) - 2) * 2.4, r: 2.6 })),
      svg('line', { class: 'median', x1: median, x2: median, y1: y - 9, y2: y + 9 }),
    );
  });
  for (const value of ticks(at, width / 100))
    plot.append(svg('text', { x: at(value), y: height - 6, 'text-anchor': 'middle' }, value));
  const kept = isThinned
    ? `The page has ${data.limits.samples} of each round’s samples, evenly spaced in the order in which they were taken`
    : 'The page has all samples';
  const heads = ['Round', 'Median, ms', 'Samples', isThinned ? 'Some of them, ms' : 'All of them, ms'];
  const rows = rounds.map((round, i) => [i + 1, digits(cell.medians[i]), cell.counts[i], round.map(digits).join(' ')]);
  return el(
    'div',
    {},
    el('h3', {}, 'Raw samples, ms'),
    plot,
    el(
      'p',
      { class: 'quiet' },
      `A dot is a sample, a bar its round’s median, the shaded area the 95 % interval. ${kept}, ` +
        `to the nearest ${100 / data.limits.step} % of the median; the record has them all.`,
    ),
    more('Samples as numbers', false, tableBox('Samples', '', heads, rows)),
  );
}

function openScore(score) {
  const of = measures[score.measure];
  const warning = (message) => el('p', { class: 'notice' }, message);
  const interval = `95 % over images: ${score.low?.toFixed(2)}–${score.high?.toFixed(2)}, n = ${score.n}`;
  openDialog(
    `${score.label} at ${score.size}`,
    longMeasureName(of),
    headline(`${score.value.toFixed(2)} %`, score.low == null ? '' : interval),
    of.standing ? warning(`Comparable with nothing published: ${of.standing}.`) : null,
    score.stale ? warning(`† stale: ${MARKS.s[2]}.`) : null,
    score.images.length ? imageScores(score) : null,
    el('h3', {}, 'Numbers'),
    facts([
      ['weights', score.weights],
      ['recipe', score.recipe_hash],
      ['images', score.n],
      ['skipped', score.skipped || null],
      ['status', score.status],
      ['reason', score.reason],
      ['computed on', score.device],
    ]),
    more('Protocol and data', true, facts(pairs(of.facts))),
    more('Conditions', false, facts([...pairs(score.settings), ['record', score.key]])),
    more('Environment', false, facts(pairs(data.environments[score.environment]))),
  );
}

function imageScores(score) {
  const values = score.images.map((value) => value / 10),
    width = Math.min(640, innerWidth - 60),
    at = scale(0, 100, 8, width - 8, true);
  const anchor = (value) => (value === 100 ? 'end' : value ? 'middle' : 'start');
  const range = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} %`;
  const kept =
    values.length < score.n
      ? `The page has ${values.length} of ${score.n} images, evenly spaced in their order.`
      : 'The page has all images.';
  return el(
    'div',
    {},
    el('h3', {}, 'Scores of single images'),
    svg(
      'svg',
      { viewBox: `0 0 ${width} 76`, role: 'img', 'aria-label': `Scores of ${values.length} images from ${range}` },
      svg('line', { class: 'grid', x1: 8, x2: width - 8, y1: 28, y2: 28 }),
      ...values.map((value, i) => svg('circle', { class: 'dot', cx: at(value), cy: 28 + ((i % 9) - 4) * 4.5, r: 2.6 })),
      svg('line', { class: 'median', x1: at(score.value), x2: at(score.value), y1: 4, y2: 52 }),
      ...[0, 20, 40, 60, 80, 100].map((value) =>
        svg('text', { x: at(value), y: 70, 'text-anchor': anchor(value) }, `${value} %`),
      ),
    ),
    el('p', { class: 'quiet' }, `A dot is an image, the bar the mean. ${kept}`),
  );
}
