// Latency, memory or accuracy against resolution: the report's own figure, with points to reach and models to hide.
const staleSign = (cell) => (cell.marks.includes('†') ? '†' : '');
const peakText = (cell) => `${digits(cell.peak_mib)} MiB${staleSign(cell)}`;
const METRICS = {
  latency: { name: 'Latency', value: (cell) => cell.median_ms, text: (cell) => cell.text, inDoubt: (cell) => cell.doubt },
  memory: { name: 'Peak memory, MiB', value: (cell) => cell.peak_mib, text: peakText, inDoubt: () => false },
  accuracy: { name: 'Accuracy, %', value: (score) => score.value, text: scoreText, inDoubt: hasFewImages },
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
  const onTop = [...document.querySelectorAll('.headlines')].map((it) => it.textContent);
  const warnings = isAccuracy() ? [] : columns[state.preset].warnings.filter((it) => !onTop.includes(it));
  byId('warnings').replaceChildren(...warnings.map(warning));
  const all = isAccuracy() ? measureScores() : presetCells();
  const root = figureOf(state.metric).content.firstElementChild.cloneNode(true);
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
  legend.append(...labels.map((label) => legendButton(label, highlight)));
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
  const measured = modelCells.filter((cell) => metric.value(cell) > 0 && (isAccuracy() || cell.status === 'ok'));
  const failed = isAccuracy() ? [] : modelCells.filter((cell) => cell.status !== 'ok');
  const points = (part, list, kind, lines) => {
    const path = root.querySelector(`.${part}[data-model="${look.index}"] path`);
    const ends = path ? path.getAttribute('d').slice(1).split('L') : [];
    return ends.map((end, i) => {
      const [x, y] = end.split(' ').map(Number),
        cell = list[i];
      const open = () => (isAccuracy() ? openScore(cell) : openCell(cell));
      const texts = [`${label} at ${cell.size}`, ...lines(cell)].filter(Boolean);
      const drawn = mark(look, kind(cell), x, y, Math.min(unit, LARGEST));
      return { x, y, row: label, into: path.parentNode, mark: drawn, lines: texts, open };
    });
  };
  return [
    ...points('line', measured, (cell) => (metric.inDoubt(cell) ? 'hollow' : ''), (cell) => [
      metric.text(cell),
      ...(isAccuracy() ? [cell.weights, ...markNames(cell)] : markLines(cell)),
    ]),
    ...points('failed', failed, () => 'cross', (cell) => [cell.status, cell.reason, ...markNames(cell)]),
  ].sort((a, b) => a.x - b.x);
}

function legendButton(label, highlight) {
  const look = looks.get(label),
    isShown = !state.hidden.has(label),
    fit = state.metric === 'latency' ? columns[state.preset].fits.get(label) : '';
  const toggle = () => {
    if (!state.hidden.delete(label)) state.hidden.add(label);
    drawCurves();
    drawFront();
    const names = [...byId('curves').querySelectorAll('.legend .name')];
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
