// Throughput against resolution: figure and table of one comparison, and each number in full.
const throughputs = unpack(data.throughputs, [
  ...['label', 'backbone', 'options', 'fusion', 'size', 'status', 'reason', 'interval', 'batch', 'stopped'],
  ...['peak_kind', 'throttled', 'chosen', 'code_hash', 'text', 'doubt'],
]);
const comparisons = data.comparisons.map((entry) => ({
  ...withTexts(entry, ['name', 'device']),
  warnings: entry.warnings.map(text),
}));
const chosenThroughputs = () => throughputs.filter((cell) => cell.comparison === state.comparison);
const RATES = {
  throughput: {
    ...METRICS.latency,
    name: 'Throughput',
    value: (cell) => cell.images_per_s,
    lines: (cell) => [batchText(cell), ...markLines(cell)],
    open: openThroughput,
  },
  'throughput-memory': {
    ...METRICS.memory,
    name: 'Peak memory, MiB',
    lines: (cell) => [batchText(cell), ...markLines(cell)],
    open: openThroughput,
  },
};
const batchText = (cell) => `best batch ${cell.batch}`;
const deviceNote = (entry) => (unique(comparisons.map(({ device }) => device)).length > 1 ? ` · ${entry.device}` : '');

// The comparison of a device with the most throughputs; that of any device where it has none.
function chooseComparison(device) {
  const counts = comparisons.map(({ device: other }, index) => [
    throughputs.filter((cell) => cell.comparison === index).length + (other === device ? throughputs.length : 0),
    index,
  ]);
  state.comparison = counts.sort(([a, i], [b, j]) => b - a || i - j)[0]?.[1] ?? null;
}

function drawThroughput() {
  byId('throughput').closest('section').hidden = state.comparison == null;
  if (state.comparison == null) return;
  const entry = comparisons[state.comparison],
    figureOfRate = (rate) => byId(`${rate}-${state.comparison}`);
  setOptions(byId('comparison'), comparisons.map((other, i) => [i, other.name + deviceNote(other)]), state.comparison);
  const known = Object.keys(RATES).filter(figureOfRate);
  if (!known.includes(state.rate)) state.rate = known[0] ?? null;
  setOptions(byId('rate'), known.map((rate) => [rate, RATES[rate].name]), state.rate);
  byId('throughput-warnings').replaceChildren(...newWarnings(entry.warnings).map(warning));
  if (state.rate) drawFigure(byId('throughput'), figureOfRate(state.rate), RATES[state.rate], chosenThroughputs());
  else byId('throughput').replaceChildren(empty('No throughput was measured under these conditions.'));
  drawThroughputTable(entry);
}

function drawThroughputTable(entry) {
  const heads = ['Model', 'Resolution', 'images/s', 'Best batch', 'peak, MiB', 'Params M'];
  const rows = chosenThroughputs().map((cell) => [
    cell.label,
    cell.size,
    throughputButton(cell),
    cell.batch || MISSING,
    cell.peak_mib == null ? MISSING : digits(cell.peak_mib) + staleSign(cell),
    digits(cell.parameters_m),
  ]);
  const caption = `${entry.name} on ${entry.device}. A throughput opens its conditions.`;
  byId('throughput-table').replaceChildren(tableBox('Table of throughputs', caption, heads, rows));
}

function throughputButton(cell) {
  const marks = markLines(cell).filter(Boolean).join(', ');
  const label = `${cell.label} at ${cell.size}: ${cell.text}${marks && `, ${marks}`}. Details`;
  const [number, interval] = cell.text.replace(' images/s', '').split(' ±');
  const parts =
    cell.status === 'ok'
      ? [number, interval ? el('span', { class: 'spread' }, ` ±${interval}`) : null]
      : [badge(cell.status), cell.text.slice(cell.status.length)];
  return button({ 'aria-label': label, title: marks || null, onclick: () => openThroughput(cell) }, ...parts);
}

function openThroughput(cell) {
  const entry = comparisons[cell.comparison],
    isOk = cell.status === 'ok';
  const interval =
    cell.low_per_s == null
      ? 'without an interval'
      : `95 %: ${digits(cell.low_per_s)}–${digits(cell.high_per_s)} images/s, over the ${cell.interval}`;
  const meaning = (sign) => (sign === '§' ? cell.throttled : MARKS.get(sign).meaning);
  openDialog(
    `${cell.label} at ${cell.size}`,
    `throughput, ${entry.name}, on ${entry.device}`,
    isOk ? headline(cell.text.split(' ±')[0] + signsAfter(cell), interval) : headline(badge(cell.status), cell.reason),
    cell.doubt ? warning(`Nothing is derived from this throughput, and it is not ranked: ${cell.doubt}.`) : null,
    cell.marks ? noteList(...[...cell.marks].map((sign) => explain(sign, meaning(sign)))) : null,
    el('h3', {}, 'Numbers'),
    facts([
      ['best batch of each round', cell.batch],
      ['no larger batch, because', cell.stopped],
      ['time per image', isOk && time(cell.median_ms)],
      ['windows', isOk && `${cell.n} in ${cell.rounds} ${cell.rounds === 1 ? 'round' : 'rounds'}`],
      ['peak memory', cell.peak_mib && `${digits(cell.peak_mib)} MiB ${cell.peak_kind}`],
      ['reserved memory', cell.reserved_mib && `${digits(cell.reserved_mib)} MiB`],
      ['parameters', cell.parameters_m && `${digits(cell.parameters_m)} M`],
      ['cores used by other processes', cell.others_share && percent(100 * cell.others_share)],
    ].filter(([, value]) => value)),
    cell.chosen ? el('p', {}, `best: ${cell.chosen}.`) : null,
    more('Conditions', true, facts([...pairs(data.settings[cell.settings]), ...pairs(entry.conditions), ['record', cell.key]])),
    more('Environment', false, facts(pairs(data.environments[cell.environment]))),
  );
}
