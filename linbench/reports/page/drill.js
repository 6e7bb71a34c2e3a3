// One cell in full: its numbers, some of its raw samples, and the conditions under which they were taken.
function drill(title, where, ...parts) {
  const box = byId('drill');
  box.replaceChildren(
    el(
      'div',
      { class: 'top' },
      el('div', {}, el('h2', { id: 'drill-heading' }, title), el('p', { class: 'quiet' }, where)),
      el('button', { type: 'button', onclick: () => box.close() }, 'Close'),
    ),
    ...parts.filter(Boolean),
  );
  untip();
  box.showModal();
  box.scrollTop = 0;
}
const more = (words, open, ...parts) => el('details', { class: 'more', open }, el('summary', {}, words), ...parts);
const seconds = (value) => (value == null ? null : `${digits(value)} s`);

function openCell(cell) {
  const column = columns[cell.column],
    here = scenes.find((found) => found.columns.includes(cell.column)),
    ok = cell.status === 'ok';
  const shared = new Set(pairs(column.conditions).map(([name]) => name));
  drill(
    `${cell.label} at ${cell.size}`,
    `${here.part}, preset ${column.name}, on ${here.device}`,
    ok
      ? el(
          'p',
          { class: 'headline' },
          `${digits(cell.median_ms)} ms `,
          el(
            'small',
            {},
            cell.low_ms == null
              ? 'without an interval'
              : `95 %: ${digits(cell.low_ms)}–${digits(cell.high_ms)} ms, over the ${cell.interval}`,
          ),
        )
      : el('p', { class: 'headline' }, badge(cell.status), ' ', el('small', {}, cell.reason)),
    cell.marks
      ? el(
          'ul',
          { class: 'notes' },
          ...[...cell.marks].map((letter) =>
            el(
              'li',
              {},
              el('strong', {}, `${MARKS[letter][0]} ${MARKS[letter][1]}`),
              `: ${letter === 't' ? cell.throttled : MARKS[letter][2]}`,
            ),
          ),
        )
      : null,
    ok ? strip(cell) : null,
    el('h3', {}, 'Numbers'),
    facts(
      [
        ['interquartile range', ok && `${digits(cell.iqr_ms)} ms`],
        ['5 % to 95 %', ok && `${digits(cell.p5_ms)}–${digits(cell.p95_ms)} ms`],
        ['99 %', cell.p99_ms && `${digits(cell.p99_ms)} ms`],
        ['samples', ok && `${cell.n} in ${cell.rounds} ${cell.rounds === 1 ? 'round' : 'rounds'}`],
        ['peak memory', cell.peak_mib && `${digits(cell.peak_mib)} MiB ${cell.peak_kind}`],
        ['reserved', cell.reserved_mib && `${digits(cell.reserved_mib)} MiB`],
        ['parameters', cell.parameters_m && `${digits(cell.parameters_m)} M`],
        ['work', cell.gflops && `${cell.gflops} GFLOP`],
        ['without a formula', cell.flops_missing],
        ['tokens', cell.tokens],
        ['to load', seconds(cell.load_s)],
        ['first forward', seconds(cell.first_forward_s)],
        ['kernel compilation', seconds(cell.kernel_compile_s)],
        ['compile, capture', seconds(cell.compile_s)],
        ['error of kernels', cell.kernel_error && cell.kernel_error.toExponential(1)],
        ['error of the dtype', cell.dtype_error && cell.dtype_error.toExponential(1)],
        ['energy', cell.joules_per_image && `${digits(cell.joules_per_image)} J an image`],
        ['cores taken by others', cell.others_share && percent(100 * cell.others_share)],
      ].filter(([, value]) => value),
    ),
    cell.chosen ? el('p', {}, `best: ${cell.chosen}.`) : null,
    cell.log ? more('Log', false, el('pre', { tabindex: 0 }, cell.log)) : null,
    more(
      'Conditions',
      true,
      facts([
        ...pairs(cell.own).filter(([name]) => !shared.has(name)),
        ...pairs(column.conditions),
        ['code', `${cell.code_hash}${cell.marks.includes('s') ? ', not the present' : ''}`],
        ['record', cell.key],
        ['last round started', cell.started],
      ]),
    ),
    more('Environment', false, facts(pairs(data.environments[cell.environment]))),
  );
}

function strip(cell) {
  const rounds = cell.samples.map((round) => round.map((away) => cell.median_ms * (1 + away / data.limits.step)));
  const few = cell.samples.some((round, i) => round.length < cell.counts[i]);
  const values = [...rounds.flat(), cell.low_ms ?? cell.median_ms, cell.high_ms ?? cell.median_ms];
  const width = Math.min(640, innerWidth - 60),
    height = 34 + rounds.length * 24,
    at = scale(...around(values, true), 64, width - 12, true);
  const drawn = svg('svg', {
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'aria-label': `Samples of ${rounds.length} rounds from ${digits(Math.min(...rounds.flat()))} to ${digits(Math.max(...rounds.flat()))} ms; the table below has each round`,
  });
  if (cell.low_ms != null)
    drawn.append(
      svg('rect', {
        class: 'between',
        x: at(cell.low_ms),
        width: Math.max(1, at(cell.high_ms) - at(cell.low_ms)),
        y: 4,
        height: height - 30,
      }),
    );
  rounds.forEach((round, i) => {
    const y = 18 + i * 24;
    drawn.append(
      svg('text', { x: 0, y: y + 4 }, `round ${i + 1}`),
      svg('line', { class: 'grid', x1: 64, x2: width - 12, y1: y, y2: y }),
      ...round.map((value, j) => svg('circle', { class: 'dot', cx: at(value), cy: y + ((j % 5) - 2) * 2.4, r: 2.6 })),
      svg('line', { class: 'middle', x1: at(cell.medians[i]), x2: at(cell.medians[i]), y1: y - 9, y2: y + 9 }),
    );
  });
  for (const value of ticks(at, width / 100))
    drawn.append(svg('text', { x: at(value), y: height - 6, 'text-anchor': 'middle' }, String(value)));
  const head = ['Round', 'Median, ms', 'Samples', few ? 'Some of them, ms' : 'All of them, ms'];
  return el(
    'div',
    {},
    el('h3', {}, 'Raw samples, ms'),
    drawn,
    el(
      'p',
      { class: 'quiet' },
      `A dot is a sample, a bar its round’s median, the shade the 95 % interval. ${few ? `${data.limits.samples} of each round’s samples are on this page, evenly spaced in the order in which they were taken` : 'All samples are on this page'}, to the nearest ${100 / data.limits.step} % of the median; the record holds them all.`,
    ),
    more(
      'Samples as numbers',
      false,
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Samples; scrolls sideways' },
        el(
          'table',
          {},
          el('thead', {}, el('tr', {}, ...head.map((words) => el('th', { scope: 'col' }, words)))),
          el(
            'tbody',
            {},
            ...rounds.map((round, i) =>
              el(
                'tr',
                {},
                el('th', { scope: 'row' }, String(i + 1)),
                el('td', {}, digits(cell.medians[i])),
                el('td', {}, String(cell.counts[i])),
                el('td', {}, round.map(digits).join(' ')),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

function openScore(score) {
  const of = measures[score.measure];
  drill(
    `${score.label} at ${score.size}`,
    longNameOf(of),
    el(
      'p',
      { class: 'headline' },
      `${score.value.toFixed(2)} % `,
      el(
        'small',
        {},
        score.low == null ? '' : `95 % over images: ${score.low.toFixed(2)}–${score.high.toFixed(2)}, n = ${score.n}`,
      ),
    ),
    of.standing ? el('p', { class: 'notice' }, `Compares with nothing published: ${of.standing}.`) : null,
    score.stale ? el('p', { class: 'notice' }, `† stale: ${MARKS.s[2]}.`) : null,
    score.images.length ? histogram(score) : null,
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
    more('Conditions', false, facts([...pairs(score.own), ['record', score.key]])),
    more('Environment', false, facts(pairs(data.environments[score.environment]))),
  );
}

function histogram(score) {
  const values = score.images.map((value) => value / 10),
    width = Math.min(640, innerWidth - 60),
    height = 76,
    at = scale(0, 100, 8, width - 8, true);
  const drawn = svg(
    'svg',
    {
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': `Scores of ${values.length} images from ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} %`,
    },
    svg('line', { class: 'grid', x1: 8, x2: width - 8, y1: 28, y2: 28 }),
    ...values.map((value, i) => svg('circle', { class: 'dot', cx: at(value), cy: 28 + ((i % 9) - 4) * 4.5, r: 2.6 })),
    svg('line', { class: 'middle', x1: at(score.value), x2: at(score.value), y1: 4, y2: 52 }),
    ...[0, 20, 40, 60, 80, 100].map((value) =>
      svg(
        'text',
        { x: at(value), y: 70, 'text-anchor': value === 100 ? 'end' : value ? 'middle' : 'start' },
        `${value} %`,
      ),
    ),
  );
  return el(
    'div',
    {},
    el('h3', {}, 'Scores of single images'),
    drawn,
    el(
      'p',
      { class: 'quiet' },
      `A dot is an image, the bar the mean. ${values.length < score.n ? `${values.length} of ${score.n} images are on this page, evenly spaced in their order.` : 'All images are on this page.'}`,
    ),
  );
}
