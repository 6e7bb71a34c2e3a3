// Latency, memory or accuracy against resolution: the report's own figure, with points to reach and models to hide.
const peakText = (cell) => `${digits(cell.peak_mib)} MiB`;
const METRICS = {
  latency: { name: 'Latency', unit: 'ms', value: (cell) => cell.median_ms, text: (cell) => cell.text },
  memory: { name: 'Peak memory', unit: 'MiB', value: (cell) => cell.peak_mib, text: peakText },
  accuracy: { name: 'Accuracy', unit: '%', value: (score) => score.value, text: scoreText },
};
const isAccuracy = () => state.metric === 'accuracy';
const TEXT_PX = 12,
  FIGURE_TEXT = 10, // px of text on the page, and in the figure's own lengths
  LARGEST = 1.3; // scale of marks: on a phone they are small, as the figure is

function drawCurves() {
  const container = byId('curves'),
    metric = METRICS[state.metric];
  setOptions(
    byId('metric'),
    Object.entries(METRICS).map(([key, { name, unit }]) => [key, `${name}, ${unit}`]),
    state.metric,
  );
  byId('preset').closest('label').hidden = isAccuracy();
  const template = byId(`${state.metric}-${isAccuracy() ? state.measure : state.preset}`);
  if (!template) {
    container.replaceChildren(
      isAccuracy() ? noAccuracy() : noLatency(`No ${metric.name.toLowerCase()} is known here.`),
    );
    return;
  }
  const all = isAccuracy() ? measureScores() : presetCells();
  const labels = unique(all.map((cell) => cell.label));
  const root = template.content.firstElementChild.cloneNode(true);
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
  const shown = labels.filter((label) => !state.hidden.has(label));
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

// One model's points at the figure's marks: of its measured cells by size, then of its failed cells.
function curvePoints(root, label, all, metric, unit) {
  const look = looks.get(label),
    modelCells = bySize(all.filter((cell) => cell.label === label));
  const measured = modelCells.filter((cell) => metric.value(cell) > 0 && (isAccuracy() || cell.status === 'ok'));
  const failed = isAccuracy() ? [] : modelCells.filter((cell) => cell.status !== 'ok');
  const points = (part, list, kind, lines) =>
    [...root.querySelectorAll(`.${part}[data-model="${look.index}"] use`)].map((use, i) => {
      const [x, y] = [Number(use.getAttribute('x')), Number(use.getAttribute('y'))],
        cell = list[i],
        into = use.parentNode;
      use.remove();
      const open = () => (isAccuracy() ? openScore(cell) : openCell(cell));
      const texts = [`${label} at ${cell.size}`, ...lines(cell)].filter(Boolean);
      const drawn = mark(look, kind(cell), x, y, Math.min(unit, LARGEST));
      return { x, y, row: label, into, mark: drawn, lines: texts, open };
    });
  const isMarked = (cell) => (isAccuracy() ? cell.stale || measure().standing : cell.marks);
  return [
    ...points('line', measured, (cell) => (isMarked(cell) ? 'hollow' : ''), (cell) => [
      metric.text(cell),
      ...(isAccuracy() ? [cell.weights] : markNames(cell)),
    ]),
    ...points('failed', failed, () => 'cross', (cell) => [cell.status, cell.reason, ...markNames(cell)]),
  ].sort((a, b) => a.x - b.x);
}

function legendButton(label, highlight) {
  const look = looks.get(label),
    isShown = !state.hidden.has(label),
    fit = fitText(label);
  const toggle = () => {
    if (!state.hidden.delete(label)) state.hidden.add(label);
    drawCurves();
    drawFront();
    const names = [...byId('curves').querySelectorAll('.legend .name')];
    names.find((name) => name.textContent === label).parentNode.focus();
  };
  const [on, off] = [() => highlight(label), () => highlight(null)];
  const events = { onclick: toggle, onmouseenter: on, onmouseleave: off, onfocus: on, onblur: off };
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

// A model's growth, as the latency table has it.
function fitText(label) {
  if (state.metric !== 'latency') return '';
  const [exponent, , crossing] = columns[state.preset].models.get(label) || [MISSING, MISSING, MISSING];
  const growth = exponent !== MISSING && `∝ tokens^${exponent}`;
  return [growth, crossing !== MISSING && `crossover with ViT: ${crossing} px`].filter(Boolean).join('; ');
}
