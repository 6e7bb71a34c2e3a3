// The Pareto front: latency against accuracy, or against parameters where no accuracy is known.
function frontCandidates() {
  const measured = presetCells().filter(
    (cell) => cell.status === 'ok' && cell.size === state.frontSize && !state.hidden.has(cell.label),
  );
  if (state.frontAxis === 'parameters')
    return measured.filter((cell) => cell.parameters_m > 0).map((cell) => ({ cell, value: cell.parameters_m }));
  return measured.flatMap((cell) => scoresOf(cell).map((score) => ({ cell, score, value: score.value })));
}

// Those that no other beats: as fast and as good, and better in one of the two.
function undominated(candidates, isBetter) {
  const beats = (other, candidate) =>
    other.cell.median_ms <= candidate.cell.median_ms &&
    !isBetter(candidate.value, other.value) &&
    (other.cell.median_ms < candidate.cell.median_ms || isBetter(other.value, candidate.value));
  return candidates.filter((candidate) => !candidates.some((other) => beats(other, candidate)));
}

// Sets both choices to what is known; returns whether accuracy is known at the chosen size.
function drawFrontChoices() {
  const measured = presetCells().filter((cell) => cell.status === 'ok');
  const known = sizes(measured),
    scored = sizes(measured.filter((cell) => scoresOf(cell).length));
  if (!known.includes(state.frontSize)) state.frontSize = scored.at(-1) ?? known.at(-1) ?? null;
  const hasScores = scored.includes(state.frontSize);
  if (!hasScores && state.frontAxis === 'accuracy') state.frontAxis = 'parameters';
  setOptions(byId('front-size'), known.length ? known.map((size) => [size, size]) : [['', 'none']], state.frontSize);
  const axes = [...(hasScores ? [['accuracy', measureName(measure())]] : []), ['parameters', 'parameters, M']];
  setOptions(byId('front-axis'), axes, state.frontAxis);
  return hasScores;
}

function drawFront() {
  const container = byId('front'),
    hasScores = drawFrontChoices(),
    candidates = frontCandidates();
  byId('front-text').replaceChildren();
  if (!candidates.length) {
    container.replaceChildren(empty('No latency is known here, so there is no front.'));
    return;
  }
  const accuracy = state.frontAxis === 'accuracy';
  const best = undominated(candidates, accuracy ? (a, b) => a > b : (a, b) => a < b);
  best.sort((a, b) => a.cell.median_ms - b.cell.median_ms);
  const canvas = el('div', { class: 'alone' });
  container.replaceChildren(canvas);
  const times = candidates.flatMap(({ cell }) => [cell.low_ms ?? cell.median_ms, cell.high_ms ?? cell.median_ms]);
  const values = candidates.flatMap(({ value, score }) => [score?.low ?? value, score?.high ?? value]);
  const plot = frame(
    canvas,
    { range: rangeOf(times), name: `latency at ${state.frontSize}, ms (${columns[state.preset].name})` },
    {
      range: rangeOf(values, accuracy),
      linear: accuracy,
      name: accuracy ? `${measureName(measure())}, % (up is better)` : 'parameters, M (down is better)',
    },
    'Pareto front; arrow keys go from point to point',
  );
  const xy = ({ cell, value }) => [plot.atX(cell.median_ms), plot.atY(value)];
  const steps = best.map((point, i) => (i ? `H${xy(point)[0]}V${xy(point)[1]}` : `M${xy(point).join(' ')}`)).join('');
  plot.root.append(svg('path', { class: 'step', d: `${steps}H${plot.right}` }));
  const points = candidates.map((candidate) => frontPoint(plot, candidate, ...xy(candidate), best.includes(candidate)));
  nameFrontPoints(plot, points);
  makeReachable(plot.root, points.sort((a, b) => a.x - b.x), () => {});
  canvas.append(plot.root);
  describeFront(best, candidates, hasScores);
}

function frontPoint(plot, { cell, score, value }, x, y, onFront) {
  const look = looks.get(cell.label);
  const into = svg('g', { class: `model series-${look.series}` });
  const bar = (x1, y1, x2, y2) => into.append(svg('line', { class: 'bar', x1, y1, x2, y2 }));
  if (cell.low_ms != null) bar(plot.atX(cell.low_ms), y, plot.atX(cell.high_ms), y);
  if (score && score.low != null) bar(x, plot.atY(score.low), x, plot.atY(score.high));
  plot.root.append(into);
  const name = score && scoresOf(cell).length > 1 ? score.label : cell.label;
  const lines = [
    name,
    cell.text,
    score ? `${measureName(measure())} ${scoreText(score)}` : `${digits(value)} M parameters`,
    onFront ? 'on the front' : 'another is faster and no worse',
    ...(score ? [score.weights] : []),
    ...markNames(cell),
  ];
  const open = () => openCell(cell);
  return { x, y, row: 'front', into, name, onFront, mark: mark(look, onFront ? '' : 'hollow', x, y), lines, open };
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
  const value = (point) => (accuracy ? `${point.value.toFixed(1)} %` : `${digits(point.value)} M`);
  const names = best.map((point) => `${point.cell.label} (${digits(point.cell.median_ms)} ms, ${value(point)})`);
  const parts = [`On the front, from the fastest: ${names.join('; ')}. Hollow marks are behind it. `];
  if (!accuracy && !hasScores)
    parts.push(
      'No accuracy of these models is known at this resolution, so the front shows parameters instead; ',
      el('code', {}, `linbench run --suite ${measure() ? measure().suite : 'dis'} --checkpoint FILE`),
      ' measures one. ',
    );
  const devices = accuracy ? unique(candidates.map(({ score }) => score.device)) : [];
  if (devices.some((name) => name !== scene().device)) parts.push(`Accuracy was computed on ${devices.join(', ')}. `);
  byId('front-text').append(...parts, 'Where intervals overlap the order is open: linbench compare tests it.');
}
