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
const timeRange = (low, high) => `${bareTime(low, high)}–${time(high)}`;
const exponential = (value) => value && value.toExponential(1);

// The signs that follow a time's interval, for where the interval stands elsewhere.
const signsAfter = (cell) => (cell.text.includes(' ±') ? [...cell.marks].filter((sign) => sign !== '~').join('') : '');

function openCell(cell) {
  const column = columns[cell.column],
    { part, device } = scenes.find((other) => other.columns.includes(cell.column)),
    shared = new Set(pairs(column.conditions).map(([name]) => name)),
    isOk = cell.status === 'ok';
  const interval =
    cell.low_ms == null
      ? 'without an interval'
      : `95 %: ${timeRange(cell.low_ms, cell.high_ms)}, over the ${cell.interval}`;
  const meaning = (sign) => (sign === '§' ? cell.throttled : MARKS.get(sign).meaning);
  openDialog(
    `${cell.label} at ${cell.size}`,
    `${part}, preset ${column.name}, on ${device}`,
    isOk ? headline(cell.text.split(' ±')[0] + signsAfter(cell), interval) : headline(badge(cell.status), cell.reason),
    cell.doubt ? warning(`Nothing is derived from this time, and it is not ranked: ${cell.doubt}.`) : null,
    cell.marks ? noteList(...[...cell.marks].map((sign) => explain(sign, meaning(sign)))) : null,
    isOk ? samplesOf(cell) : null,
    el('h3', {}, 'Numbers'),
    cellNumbers(cell, isOk),
    cell.chosen ? el('p', {}, `best: ${cell.chosen}.`) : null,
    cell.log ? more('Log', false, el('pre', { tabindex: 0 }, cell.log)) : null,
    more(
      'Conditions',
      true,
      facts([
        ...pairs(data.settings[cell.settings]).filter(([name]) => !shared.has(name)),
        ...pairs(column.conditions),
        ['code', `${cell.code_hash}${cell.marks.includes('†') ? ', changed since' : ''}`],
        ['record', cell.key],
        ['last round started', cell.started],
      ]),
    ),
    more('Environment', false, facts(pairs(data.environments[cell.environment]))),
  );
}

function cellNumbers(cell, isOk) {
  const entries = [
    ['interquartile range', isOk && time(cell.iqr_ms)],
    ['5 % to 95 %', isOk && timeRange(cell.p5_ms, cell.p95_ms)],
    ['99 %', cell.p99_ms && time(cell.p99_ms)],
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

// Rows of dots, each with a bar at its middle; bounds: an interval behind them all, which may be null.
function dotPlot(rows, range, ticksAt, bounds, label) {
  const width = Math.min(640, innerWidth - 60),
    height = 34 + rows.length * 24,
    left = rows.some((row) => row.name) ? 64 : 8,
    at = scale(...range, left, width - 24, true);
  const plot = svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  if (bounds) {
    const [low, high] = bounds.map(at);
    plot.append(svg('rect', { class: 'interval', x: low, width: Math.max(1, high - low), y: 4, height: height - 30 }));
  }
  rows.forEach(({ name, values, middle }, i) => {
    const y = 18 + i * 24;
    const dot = (value, j) => svg('circle', { class: 'dot', cx: at(value), cy: y + ((j % 5) - 2) * 2.4, r: 2.6 });
    plot.append(
      svg('text', { x: 0, y: y + 4 }, name),
      svg('line', { class: 'grid', x1: left, x2: width - 12, y1: y, y2: y }),
      ...values.map(dot),
      svg('line', { class: 'median', x1: at(middle), x2: at(middle), y1: y - 9, y2: y + 9 }),
    );
  });
  for (const value of ticksAt(at, width / 100))
    plot.append(svg('text', { x: at(value), y: height - 6, 'text-anchor': 'middle' }, value));
  return plot;
}
const plotBox = (heading, plot, note, ...parts) =>
  el('div', {}, el('h3', {}, heading), plot, el('p', { class: 'quiet' }, note), ...parts);

function samplesOf(cell) {
  const unit = unitOf(cell.median_ms),
    inUnit = (ms) => (unit === 's' ? ms / 1000 : ms),
    middle = inUnit(cell.median_ms),
    rounds = cell.samples.map((round) => round.map((steps) => middle * (1 + steps / data.limits.step))),
    all = rounds.flat(),
    bounds = cell.low_ms == null ? null : [cell.low_ms, cell.high_ms].map(inUnit),
    isThinned = cell.samples.some((round, i) => round.length < cell.counts[i]);
  const plotRows = rounds.map((values, i) => ({ name: `round ${i + 1}`, values, middle: inUnit(cell.medians[i]) }));
  const range = `${digits(Math.min(...all))} to ${digits(Math.max(...all))} ${unit}`;
  const label = `Samples of ${rounds.length} rounds from ${range}; the table below has each round`;
  const kept = isThinned
    ? `The page has ${data.limits.samples} of each round’s samples, evenly spaced in the order in which they were taken`
    : 'The page has all samples';
  const heads = ['Round', `Median, ${unit}`, 'Samples', `${isThinned ? 'Some' : 'All'} of them, ${unit}`];
  const rows = rounds.map((round, i) => [i + 1, digits(inUnit(cell.medians[i])), cell.counts[i], round.map(digits).join(' ')]);
  return plotBox(
    `Raw samples, ${unit}`,
    dotPlot(plotRows, rangeOf([...all, ...(bounds || [middle])], true), ticks, bounds, label),
    `A dot is a sample, a bar its round’s median, the shaded area the 95 % interval. ${kept}, ` +
      `to the nearest ${100 / data.limits.step} % of the median; the record has them all.`,
    more('Samples as numbers', false, tableBox('Samples', '', heads, rows)),
  );
}

function openScore(score) {
  const entry = measures[score.measure];
  const interval = `95 % over images: ${score.low?.toFixed(2)}–${score.high?.toFixed(2)}, n = ${score.n}`;
  openDialog(
    `${score.label} at ${score.size}`,
    longMeasureName(entry),
    headline(`${score.value.toFixed(2)} %${score.marks}`, score.low == null ? '' : interval),
    entry.standing ? warning(`Comparable with nothing published: ${entry.standing}.`) : null,
    score.marks ? noteList(...[...score.marks].map((sign) => explain(sign))) : null,
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
    more('Protocol and data', true, facts(pairs(entry.facts))),
    more('Conditions', false, facts([...pairs(data.settings[score.settings]), ['record', score.key]])),
    more('Environment', false, facts(pairs(data.environments[score.environment]))),
  );
}

function imageScores(score) {
  const values = score.images.map((value) => value / 10);
  const range = `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} %`;
  const kept =
    values.length < score.n
      ? `The page has ${values.length} of ${score.n} images, evenly spaced in their order.`
      : 'The page has all images.';
  const rows = [{ name: '', values, middle: score.value }];
  const label = `Scores of ${values.length} images from ${range}`;
  const plot = dotPlot(rows, [0, 100], () => [0, 20, 40, 60, 80, 100], null, label);
  return plotBox('Scores of single images', plot, `In percent. A dot is an image, the bar the mean. ${kept}`);
}
