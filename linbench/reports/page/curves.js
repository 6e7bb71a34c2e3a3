// Latency, memory or accuracy against resolution: a curve for each model, a band for its interval, and what failed
// at the resolution where it did.
const VIEWS = {
  latency: {
    words: 'Latency',
    unit: 'ms',
    value: (cell) => cell.median_ms,
    low: (cell) => cell.low_ms,
    high: (cell) => cell.high_ms,
    said: latencyWords,
  },
  memory: {
    words: 'Peak memory',
    unit: 'MiB',
    value: (cell) => cell.peak_mib,
    low: () => null,
    high: () => null,
    said: (cell) => `${digits(cell.peak_mib)} MiB`,
  },
  accuracy: {
    words: 'Accuracy',
    unit: '%',
    linear: true,
    value: (score) => score.value,
    low: (score) => score.low,
    high: (score) => score.high,
    said: scoreWords,
  },
};
const side = (cell) => Math.sqrt(area(cell));
const LANES = 8;

function curves() {
  const place = byId('curves'),
    accuracy = state.metric === 'accuracy',
    view = VIEWS[state.metric];
  options(
    byId('metric'),
    Object.entries(VIEWS).map(([name, of]) => [name, `${of.words}, ${of.unit}`]),
    state.metric,
  );
  byId('preset').closest('label').hidden = accuracy;
  const all = accuracy ? ofMeasure() : ofPreset();
  const known = all.filter((cell) => view.value(cell) > 0 && (accuracy || cell.status === 'ok'));
  if (!known.length) {
    place.replaceChildren(accuracy ? noAccuracy() : noLatency(`No ${view.words.toLowerCase()} is known here.`));
    return;
  }
  const labels = unique(all.map((cell) => cell.label)),
    visible = (cell) => !state.hidden.has(cell.label);
  const failed = accuracy ? [] : all.filter((cell) => cell.status !== 'ok' && visible(cell));
  const lanes = unique(failed.map((cell) => cell.label));
  const canvas = el('div', {}),
    legend = el('ul', { class: 'legend', 'aria-label': 'Models; a button hides or shows one' });
  place.replaceChildren(canvas, legend);
  const where = curveFrame(
    canvas,
    all,
    known.some(visible) ? known.filter(visible) : known,
    view,
    Math.min(lanes.length, LANES),
  );
  const light = (label) => {
    where.root.classList.toggle('dimmed', label != null);
    for (const group of where.root.querySelectorAll('g.model'))
      group.classList.toggle('lit', group.dataset.label === label);
  };
  const points = [];
  for (const label of labels.filter((name) => !state.hidden.has(name))) {
    const group = svg('g', { class: `model series-${looks.get(label).series}`, 'data-label': label });
    const mine = (found) => found.filter((cell) => cell.label === label).sort((a, b) => area(a) - area(b));
    where.root.append(group);
    points.push(...curve(group, label, mine(known), view, where));
    if (lanes.includes(label)) points.push(...lost(group, label, mine(failed), lanes.indexOf(label), where));
  }
  points.sort((a, b) => labels.indexOf(a.row) - labels.indexOf(b.row) || a.x - b.x);
  reachable(where.root, points, light);
  canvas.append(where.root);
  legend.append(
    ...labels.map((label, place) =>
      legendButton(
        label,
        fitted(label),
        !state.hidden.has(label),
        () => {
          if (!state.hidden.delete(label)) state.hidden.add(label);
          curves();
          front();
          byId('curves').querySelectorAll('.legend button')[place].focus();
        },
        light,
      ),
    ),
  );
}

function curveFrame(canvas, all, known, view, lanes) {
  const marks = sizes(all).map((size) => [side(all.find((found) => found.size === size)), size]);
  const values = known
    .flatMap((cell) => [view.value(cell), view.low(cell), view.high(cell)])
    .filter((value) => value > 0);
  const y = view === VIEWS.accuracy ? `${nameOf(measure())}, %` : `${view.words.toLowerCase()}, ${view.unit}`;
  const label = `${view.words} against resolution; arrow keys go from point to point`;
  const x = { range: around(marks.map(([value]) => value)), marks };
  return frame(
    canvas,
    x,
    { range: around(values, view.linear), linear: view.linear },
    { lanes, x: 'resolution, px', y, label },
  );
}

// One model's line, band and marks; its points.
function curve(group, label, mine, view, where) {
  const look = looks.get(label),
    atX = (cell) => where.atX(side(cell)),
    atY = (value) => where.atY(Math.max(value, where.atY.low));
  const bounded = mine.filter((cell) => view.low(cell) != null);
  const edge = (of) => bounded.map((cell) => `${atX(cell)} ${atY(of(cell))}`);
  if (bounded.length > 1)
    group.append(
      svg('path', { class: 'band', d: `M${[...edge(view.high), ...edge(view.low).reverse()].join('L')}z` }),
    );
  for (const cell of bounded) {
    group.append(
      svg('line', {
        class: 'whisker',
        x1: atX(cell),
        x2: atX(cell),
        y1: atY(view.low(cell)),
        y2: atY(view.high(cell)),
      }),
    );
  }
  const through = mine.map((cell) => `${atX(cell)} ${atY(view.value(cell))}`).join('L');
  if (mine.length > 1) group.append(svg('path', { class: 'line', d: `M${through}`, 'stroke-dasharray': look.dash }));
  const accuracy = view === VIEWS.accuracy;
  return mine.map((cell) => {
    const x = atX(cell),
      y = atY(view.value(cell)),
      odd = accuracy ? cell.stale || measure().standing : cell.marks;
    const lines = [`${label} at ${cell.size}`, view.said(cell), ...(accuracy ? [cell.weights] : markWords(cell))];
    const drawn = marker(look, odd ? 'hollow' : '', `${x} ${y}`);
    return { x, y, row: label, into: group, drawn, lines, open: () => (accuracy ? openScore(cell) : openCell(cell)) };
  });
}

// One model's failed cells in a lane above the curves, each at its resolution; its points.
function lost(group, label, mine, lane, where) {
  const y = 20 + (lane % LANES) * 18,
    first = where.atX(side(mine[0])),
    last = where.atX(side(mine.at(-1)));
  const words = `${label}: ${unique(mine.map((cell) => cell.status)).join(', ')}`,
    leftwards = first > where.width / 2;
  if (lane < LANES) {
    const at = { x: leftwards ? first - 10 : last + 10, y: y + 4, 'text-anchor': leftwards ? 'end' : 'start' };
    group.append(svg('text', at, words.length > 34 ? `${words.slice(0, 33)}…` : words));
  }
  return mine.map((cell) => {
    const x = where.atX(side(cell)),
      drawn = marker(looks.get(label), 'cross', `${x} ${y}`);
    const lines = [`${label} at ${cell.size}`, cell.status, cell.reason, ...markWords(cell)].filter(Boolean);
    return { x, y, row: label, into: group, drawn, lines, open: () => openCell(cell) };
  });
}

// What the latency table says of a model's growth.
function fitted(label) {
  if (state.metric !== 'latency') return '';
  const [exponent, , crossing] = columns[state.preset].models.get(label) || [NONE, NONE, NONE];
  return [exponent !== NONE && `∝ tokens^${exponent}`, crossing !== NONE && `crossover with ViT: ${crossing} px`]
    .filter(Boolean)
    .join('; ');
}

const noLatency = (words) =>
  empty(`${words} This command measures some:`, 'linbench run --suite latency --res 512..2048');
const noAccuracy = () =>
  measure()
    ? empty(
        `No ${nameOf(measure())} is known here. This command measures it:`,
        `linbench run --suite ${measure().suite} --checkpoint FILE`,
      )
    : empty('No accuracy was measured yet. This command measures one:', 'linbench run --suite dis --checkpoint FILE');
