// Latency, memory or accuracy against resolution: the report's own figure, with points to reach and models to hide.
const staleSign = (cell) => (cell.marks.includes('†') ? '†' : '');
const peakText = (cell) => `${digits(cell.peak_mib)} MiB${staleSign(cell)}`;
// value, text, lines: of a point; inDoubt: whether its mark is hollow; open: shows it in full.
const ofCells = { hasFailures: true, inDoubt: () => false, lines: (cell) => markLines(cell), open: (cell) => openCell(cell) };
const METRICS = {
  latency: {
    ...ofCells,
    name: 'Latency',
    value: (cell) => cell.median_ms,
    text: (cell) => cell.text,
    inDoubt: (cell) => cell.doubt,
  },
  memory: { ...ofCells, name: 'Peak memory, MiB', value: (cell) => cell.peak_mib, text: peakText },
  accuracy: {
    name: 'Accuracy, %',
    hasFailures: false,
    value: (score) => score.value,
    text: scoreText,
    inDoubt: hasFewImages,
    lines: (score) => [score.weights, ...markNames(score)],
    open: (score) => openScore(score),
  },
};
const isAccuracy = () => state.metric === 'accuracy';
const figureOf = (metric) => byId(`${metric}-${metric === 'accuracy' ? state.measure : state.preset}`);
const TEXT_PX = 12,
  FIGURE_TEXT = 10, // px of text on the page, and in the figure's own lengths
  LARGEST = 1.3; // scale of marks: on a phone they are small, as the figure is

function drawCurves() {
  const known = Object.keys(METRICS).filter(figureOf),
    container = byId('curves');
  container.closest('section').hidden = !known.length;
  if (!known.length) return;
  if (!known.includes(state.metric)) state.metric = known[0];
  const metric = METRICS[state.metric];
  setOptions(byId('metric'), known.map((key) => [key, METRICS[key].name]), state.metric);
  byId('preset').closest('label').hidden = isAccuracy();
  const warnings = isAccuracy() ? [] : newWarnings(columns[state.preset].warnings);
  byId('warnings').replaceChildren(...warnings.map(warning));
  const fits = state.metric === 'latency' ? columns[state.preset].fits : new Map();
  drawFigure(container, figureOf(state.metric), metric, isAccuracy() ? measureScores() : presetCells(), fits);
}

// Warnings that do not stand on top of the page already.
function newWarnings(warnings) {
  const onTop = [...document.querySelectorAll('.headlines')].map((it) => it.textContent);
  return warnings.filter((it) => !onTop.includes(it));
}

// A figure of the report with points to reach, and a legend that hides models; fits: texts by model for the legend.
function drawFigure(container, figure, metric, all, fits = new Map()) {
  const root = figure.content.firstElementChild.cloneNode(true);
  const label = `${metric.name} against resolution; arrow keys go from point to point`;
  fill(root, { role: 'group', 'aria-label': label }, []);
  const legend = el('ul', { class: 'legend', 'aria-label': 'Models; a button hides or shows one' });
  container.replaceChildren(el('div', {}, root), legend);
  const unit = root.viewBox.baseVal.width / (root.clientWidth || root.viewBox.baseVal.width);
  fitTexts(root, unit);
  for (const label of state.hidden)
    for (const part of root.querySelectorAll(`[data-model="${looks.get(label).index}"]`)) part.remove();
  const highlight = (label) => {
    const index = state.hidden.has(label) || label == null ? null : String(looks.get(label).index);
    root.classList.toggle('dimmed', index != null);
    for (const part of root.querySelectorAll('g.model')) part.classList.toggle('lit', part.dataset.model === index);
  };
  const labels = unique(all.map((cell) => cell.label)),
    shown = labels.filter((label) => !state.hidden.has(label));
  makeReachable(root, shown.flatMap((label) => curvePoints(root, label, all, metric, unit)), highlight, unit);
  legend.append(...labels.map((label) => legendButton(container, label, highlight, fits.get(label))));
}

// Text keeps its size on the screen however wide the figure is; tick labels that would touch are dropped.
function fitTexts(root, unit) {
  const growth = (TEXT_PX * unit) / FIGURE_TEXT - 1,
    { width } = root.viewBox.baseVal;
  root.style.fontSize = `${TEXT_PX * unit}px`;
  let end = -Infinity;
  for (const label of root.querySelectorAll('text')) {
    const isSize = label.getAttribute('text-anchor') === 'middle',
      isTitle = label.getAttribute('text-anchor') === 'start' && label.parentNode === root;
    if (!isTitle) label.setAttribute('dy', growth * (isSize ? 8 : 3.7));
    if (!isSize) continue;
    const box = label.getBBox();
    const x = Math.min(box.x, width - box.width - 2);
    label.setAttribute('x', x + box.width / 2);
    if (x < end + 6 * unit) label.remove();
    else end = x + box.width;
  }
}

// One model's points, at those of its line: of its measured cells by size, then of its failed cells.
function curvePoints(root, label, all, metric, unit) {
  const look = looks.get(label),
    modelCells = bySize(all.filter((cell) => cell.label === label));
  const measured = modelCells.filter((cell) => metric.value(cell) > 0 && (!metric.hasFailures || cell.status === 'ok'));
  const failed = metric.hasFailures ? modelCells.filter((cell) => cell.status !== 'ok') : [];
  const points = (part, list, kind, lines) => {
    const path = root.querySelector(`.${part}[data-model="${look.index}"] path`);
    const ends = path ? path.getAttribute('d').slice(1).split('L') : [];
    return ends.map((end, i) => {
      const [x, y] = end.split(' ').map(Number),
        cell = list[i];
      const open = () => metric.open(cell);
      const texts = [`${label} at ${cell.size}`, ...lines(cell)].filter(Boolean);
      const drawn = mark(look, kind(cell), x, y, Math.min(unit, LARGEST));
      return { x, y, row: label, into: path.parentNode, mark: drawn, lines: texts, open };
    });
  };
  return [
    ...points('line', measured, (cell) => (metric.inDoubt(cell) ? 'hollow' : ''), (cell) => [
      metric.text(cell),
      ...metric.lines(cell),
    ]),
    ...points('failed', failed, () => 'cross', (cell) => [cell.status, cell.reason, ...markNames(cell)]),
  ].sort((a, b) => a.x - b.x);
}

function legendButton(container, label, highlight, fit) {
  const look = looks.get(label),
    isShown = !state.hidden.has(label);
  const toggle = () => {
    if (!state.hidden.delete(label)) state.hidden.add(label);
    drawCurves();
    drawThroughput();
    drawFront();
    const names = [...container.querySelectorAll('.legend .name')];
    names.find((name) => name.textContent === label).parentNode.focus();
  };
  // A finger's touch neither leaves nor blurs, so it must not dim: only a mouse above and the keyboard's focus do.
  const events = {
    onclick: toggle,
    onpointerenter: ({ pointerType }) => pointerType === 'mouse' && highlight(label),
    onpointerleave: () => highlight(null),
    onfocus: ({ target }) => target.matches(':focus-visible') && highlight(label),
    onblur: () => highlight(null),
  };
  const line = svg('path', { class: 'key', d: 'M1 8H35', 'stroke-dasharray': look.dash });
  const key = { viewBox: '0 0 36 16', 'aria-hidden': 'true', class: `series-${look.series}` };
  return el(
    'li',
    {},
    button(
      { 'aria-pressed': String(isShown), ...events },
      svg('svg', key, line, mark(look, '', 18, 8)),
      el('span', { class: 'name' }, label),
      fit ? el('small', {}, fit) : null,
    ),
  );
}
