// Every model's accuracy by the chosen measure, and the ops beside their yardsticks.
function scoreTable() {
  const place = byId('scores'),
    mine = scores.filter((score) => score.measure === state.measure);
  const lost = scores.filter((score) => score.value == null);
  if (!mine.some((score) => score.value != null)) {
    place.replaceChildren(noAccuracy(), ...failures(lost));
    return;
  }
  const list = sizes(mine),
    labels = unique(mine.map((score) => score.label));
  const cell = (label, size) => {
    const score = mine.find((found) => found.label === label && found.size === size);
    if (!score) return NONE;
    if (score.value == null) return badge(score.status);
    return el(
      'button',
      {
        type: 'button',
        'aria-label': `${label} at ${size}: ${scoreWords(score)}. Details`,
        onclick: () => openScore(score),
      },
      score.value.toFixed(2),
      score.low == null
        ? null
        : el('span', { class: 'spread' }, ` (${score.low.toFixed(1)}–${score.high.toFixed(1)})`),
      `${score.stale ? '†' : ''}${score.skipped ? '‡' : ''}`,
    );
  };
  const weights = (label) =>
    unique(mine.filter((score) => score.label === label).map((score) => score.weights)).join('; ');
  place.replaceChildren(
    el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of accuracies; scrolls sideways' },
      el(
        'table',
        {},
        el(
          'caption',
          {},
          `${longNameOf(measure())}; in percent, with the 95 % interval over images. Sizes are of the model’s input.`,
        ),
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Model', ...list, 'Weights'].map((words, i) =>
              el('th', { scope: 'col', class: i > list.length ? 'left' : null }, words),
            ),
          ),
        ),
        el(
          'tbody',
          {},
          ...labels.map((label) =>
            el(
              'tr',
              {},
              el('th', { scope: 'row' }, label),
              ...list.map((size) => el('td', {}, cell(label, size))),
              el('td', { class: 'left' }, weights(label)),
            ),
          ),
        ),
      ),
    ),
    ...failures(lost),
  );
}

function failures(lost) {
  if (!lost.length) return [];
  return [
    el('h3', {}, 'Evaluations without a number'),
    el(
      'ul',
      { class: 'notes' },
      ...lost.map((score) =>
        el(
          'li',
          {},
          `${measures[score.measure].suite}, ${score.label} at ${score.size}: ${score.status}, ${score.reason}`,
        ),
      ),
    ),
  ];
}

function kernelTable() {
  byId('kernels-section').hidden = !kernels.length;
  const here = scene() ? kernels.filter((row) => row.device === scene().device) : kernels;
  if (!here.length) {
    byId('kernels').replaceChildren(
      empty('No kernel was timed on this device. This command times them:', 'linbench run --suite kernels'),
    );
    return;
  }
  const row = (found) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row' }, found.label),
      el(
        'td',
        {},
        found.status === 'ok'
          ? `${found.converged ? '' : '~'}${digits(found.median_ms)} ms${found.stale ? '†' : ''}`
          : badge(found.status),
      ),
      ...['of_roofline', 'of_copy', 'of_linear', 'of_sdpa'].map((name) =>
        el('td', {}, found[name] == null ? NONE : `${digits(found[name])}×`),
      ),
      el('td', {}, found.bound || NONE),
      el('td', {}, found.kernel_error == null ? NONE : found.kernel_error.toExponential(0)),
    );
  const heads = [
    'Op, case, direction',
    'Time',
    'of roofline',
    'of a copy',
    'of a linear',
    'of SDPA',
    'Bound by',
    'Error',
  ];
  byId('kernels').replaceChildren(
    ...unique(here.map((found) => found.where)).map((where) =>
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Kernels on ${where}; scrolls sideways` },
        el(
          'table',
          {},
          el('caption', {}, where),
          el('thead', {}, el('tr', {}, ...heads.map((words) => el('th', { scope: 'col' }, words)))),
          el('tbody', {}, ...here.filter((found) => found.where === where).map(row)),
        ),
      ),
    ),
  );
}
