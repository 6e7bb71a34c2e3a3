// The Pareto front: latency or throughput against accuracy, or against parameters where no accuracy is known.
const SPEEDS = {
  latency: {
    cells: () => presetCells().filter((cell) => cell.status === 'ok'),
    values: (cell) => [cell.low_ms ?? cell.median_ms, cell.median_ms, cell.high_ms ?? cell.median_ms],
    axis: (slowest) => `latency at ${state.frontSize}, ${unitOf(slowest)} (${columns[state.preset].name})`,
    scale: (slowest) => (inSeconds(slowest) ? 1e-3 : 1),
    end: (plot) => plot.right,
    open: (cell) => openCell(cell),
  },
  throughput: {
    cells: () => chosenThroughputs().filter((cell) => cell.status === 'ok'),
    values: (cell) => [cell.low_per_s ?? cell.images_per_s, cell.images_per_s, cell.high_per_s ?? cell.images_per_s],
    axis: () => `images/s at ${state.frontSize}, at the best batch (right is better)`,
    scale: () => 1,
    end: (plot) => plot.left,
    open: (cell) => openThroughput(cell),
  },
};
const frontSpeed = () => SPEEDS[state.frontSpeed];
const frontCells = () => frontSpeed().cells();

function frontCandidates() {
  const measured = frontCells().filter((cell) => cell.size === state.frontSize && !state.hidden.has(cell.label));
  if (state.frontAxis === 'parameters')
    return measured.filter((cell) => cell.parameters_m > 0).map((cell) => ({ cell, value: cell.parameters_m }));
  return measured.flatMap((cell) => scoresOf(cell).map((score) => ({ cell, score, value: score.value })));
}

// The candidates from the fastest by milliseconds, of a throughput per image, each with the one that beats it, if any: faster beyond both intervals, and no
// worse. Of a time in doubt neither is known: it is drawn and not ranked.
function rank(candidates, isBetter) {
  const ranked = candidates.filter(({ cell }) => !cell.doubt).sort((a, b) => a.cell.median_ms - b.cell.median_ms);
  const beats = (other, candidate) =>
    other.cell.high_ms < candidate.cell.low_ms && !isBetter(candidate.value, other.value);
  for (const candidate of ranked) candidate.beatenBy = ranked.find((other) => beats(other, candidate));
  return ranked;
}

// Sets both choices to what is known; returns whether accuracy is known at the chosen size.
function drawFrontChoices() {
  const speeds = Object.keys(SPEEDS).filter((name) => SPEEDS[name].cells().length);
  if (!speeds.includes(state.frontSpeed)) state.frontSpeed = speeds[0] ?? 'latency';
  setOptions(byId('front-speed'), speeds.length > 1 ? speeds.map((name) => [name, name]) : [], state.frontSpeed);
  const measured = frontCells();
  const known = sizes(measured),
    scored = sizes(measured.filter((cell) => scoresOf(cell).length));
  if (!known.includes(state.frontSize)) state.frontSize = scored.at(-1) ?? known.at(-1) ?? null;
  const hasScores = scored.includes(state.frontSize);
  if (!hasScores && state.frontAxis === 'accuracy') state.frontAxis = 'parameters';
  setOptions(byId('front-size'), known.map((size) => [size, size]), state.frontSize);
  const axes = [...(hasScores ? [['accuracy', measureName(measure())]] : []), ['parameters', 'parameters, M']];
  setOptions(byId('front-axis'), axes, state.frontAxis);
  return hasScores;
}

function drawFront() {
  const container = byId('front'),
    hasScores = drawFrontChoices(),
    candidates = frontCandidates();
  container.closest('section').hidden = !frontCells().length;
  byId('front-text').replaceChildren();
  if (!candidates.length) {
    container.replaceChildren(empty('Nothing is known of the models that are shown here, so there is no front.'));
    return;
  }
  const accuracy = state.frontAxis === 'accuracy',
    isBetter = accuracy ? (a, b) => a > b : (a, b) => a < b;
  const best = rank(candidates, isBetter).filter(({ beatenBy }) => !beatenBy);
  const canvas = el('div', { class: 'alone' });
  container.replaceChildren(canvas);
  const speed = frontSpeed();
  const times = candidates.flatMap(({ cell }) => speed.values(cell));
  const values = candidates.flatMap(({ value, score }) => [score?.low ?? value, score?.high ?? value]);
  const slowest = Math.max(...times);
  const plot = frame(
    canvas,
    {
      range: rangeOf(times.map((value) => value * speed.scale(slowest))),
      name: speed.axis(slowest),
    },
    {
      range: rangeOf(values, accuracy),
      linear: accuracy,
      name: accuracy ? `${measureName(measure())}, % (up is better)` : 'parameters, M (down is better)',
    },
    'Pareto front; arrow keys go from point to point',
  );
  const xsOf = (cell) => speed.values(cell).map((value) => plot.atX(value * speed.scale(slowest)));
  const xy = ({ cell, value }) => [xsOf(cell)[1], plot.atY(value)];
  const corners = best.filter((point, i) => best.slice(0, i).every((other) => isBetter(point.value, other.value)));
  const steps = corners.map((point, i) => (i ? `H${xy(point)[0]}V${xy(point)[1]}` : `M${xy(point).join(' ')}`)).join('');
  if (steps) plot.root.append(svg('path', { class: 'step', d: `${steps}H${speed.end(plot)}` }));
  const points = candidates.map((candidate) => frontPoint(plot, candidate, ...xy(candidate), xsOf));
  nameFrontPoints(plot, points);
  makeReachable(plot.root, points.sort((a, b) => a.x - b.x), () => {});
  canvas.append(plot.root);
  describeFront(best, candidates, hasScores);
}

function frontPoint(plot, { cell, score, value, beatenBy }, x, y, xsOf) {
  const look = looks.get(cell.label),
    onFront = !cell.doubt && !beatenBy;
  const into = svg('g', { class: `model series-${look.series} ${beatenBy ? 'behind' : ''}` });
  const bar = (x1, y1, x2, y2) => into.append(svg('line', { class: 'bar', x1, y1, x2, y2 }));
  const [low, , high] = xsOf(cell);
  if (cell.low_ms != null) bar(low, y, high, y);
  if (score && score.low != null) bar(x, plot.atY(score.low), x, plot.atY(score.high));
  plot.root.append(into);
  const name = score && scoresOf(cell).length > 1 ? score.label : cell.label;
  const worth = state.frontAxis === 'accuracy' ? 'its score is no lower' : 'it has no more parameters';
  const lines = [
    name,
    cell.text,
    score ? `${measureName(measure())} ${scoreText(score)}` : `${digits(value)} M parameters`,
    onFront ? 'on the front' : null,
    beatenBy ? `behind ${beatenBy.cell.label}: that is faster, and ${worth}` : null,
    ...(score ? [score.weights, ...markNames(score)] : []),
    ...markLines(cell),
  ].filter(Boolean);
  const kind = cell.doubt || (score && hasFewImages(score)) ? 'hollow' : '';
  return { x, y, row: 'front', into, name, onFront, mark: mark(look, kind, x, y), lines, open: () => frontSpeed().open(cell) };
}

// Names beside the points, those on the front first; a name that would cover another is left to the pointer.
function nameFrontPoints(plot, points) {
  const taken = [];
  for (const { x, y, name, onFront } of [...points].sort((a, b) => b.onFront - a.onFront)) {
    const short = clip(name, 26),
      width = short.length * 6.4,
      left = x + 12 + width > plot.right ? x - 10 - width : x + 10;
    const overlaps = (top) =>
      taken.some(([x1, y1, width1]) => left < x1 + width1 && x1 < left + width && Math.abs(top - y1) < 13);
    const free = [-10, 18, -24, 32]
      .map((dy) => y + dy)
      .find((top) => top > plot.top - 4 && top < plot.bottom && !overlaps(top));
    if (free == null) continue;
    taken.push([left, free, width]);
    plot.root.append(svg('text', { x: left, y: free, class: onFront ? 'strong' : '' }, short));
  }
}

function describeFront(best, candidates, hasScores) {
  const accuracy = state.frontAxis === 'accuracy';
  const value = (point) => (accuracy ? `${point.value.toFixed(1)} %${point.score.marks}` : `${digits(point.value)} M`);
  const names = best.map((point) => `${point.cell.label} (${point.cell.text}, ${value(point)})`);
  const parts = names.length ? [`On the front, from the fastest: ${names.join('; ')}. `] : [];
  if (candidates.some(({ beatenBy }) => beatenBy))
    parts.push(
      `Pale marks are behind it: another is faster beyond both intervals and ${accuracy ? 'scores' : 'has'} no ` +
        `${accuracy ? 'less' : 'more parameters'}. `,
    );
  for (const reason of unique(candidates.map(({ cell }) => cell.doubt).filter(Boolean))) {
    const left = unique(candidates.filter(({ cell }) => cell.doubt === reason).map(({ cell }) => cell.label));
    parts.push(`Not ranked, ${reason}: ${left.join(', ')}. `);
  }
  if (!accuracy && !hasScores)
    parts.push(
      'No accuracy of these models is known at this resolution, so the front shows parameters instead; ',
      el('code', {}, `linbench run --suite ${measure() ? measure().suite : 'dis'} --checkpoint FILE`),
      ' measures one. ',
    );
  const devices = accuracy ? unique(candidates.map(({ score }) => score.device)) : [];
  const timedOn = state.frontSpeed === 'latency' ? scene().device : comparisons[state.comparison].device;
  if (devices.some((name) => name !== timedOn)) parts.push(`Accuracy was computed on ${devices.join(', ')}. `);
  byId('front-text').append(...parts);
}
