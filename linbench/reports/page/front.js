// The Pareto front: latency against accuracy, or against parameters where no accuracy is known.
function frontPoints() {
  const good = ofPreset().filter(
    (cell) => cell.status === 'ok' && cell.size === state.frontSize && !state.hidden.has(cell.label),
  );
  if (state.frontAxis === 'parameters')
    return good.filter((cell) => cell.parameters_m > 0).map((cell) => ({ cell, value: cell.parameters_m }));
  return good.flatMap((cell) => scoresOf(cell).map((score) => ({ cell, score, value: score.value })));
}

// No other is as fast and as good, and better in one of them.
function undominated(found, better) {
  return found.filter(
    (one) =>
      !found.some(
        (other) =>
          other !== one &&
          other.cell.median_ms <= one.cell.median_ms &&
          !better(one.value, other.value) &&
          (other.cell.median_ms < one.cell.median_ms || better(other.value, one.value)),
      ),
  );
}

function front() {
  const place = byId('front'),
    words = byId('front-words');
  const known = sizes(ofPreset().filter((cell) => cell.status === 'ok'));
  const withScore = known.filter((size) =>
    ofPreset().some((cell) => cell.size === size && cell.status === 'ok' && scoresOf(cell).length),
  );
  if (!known.includes(state.frontSize)) state.frontSize = withScore.at(-1) ?? known.at(-1) ?? null;
  const scored = withScore.includes(state.frontSize);
  if (!scored && state.frontAxis === 'accuracy') state.frontAxis = 'parameters';
  options(byId('front-size'), known.length ? known.map((size) => [size, size]) : [['', 'none']], state.frontSize);
  options(
    byId('front-axis'),
    [...(scored ? [['accuracy', nameOf(measure())]] : []), ['parameters', 'parameters, M']],
    state.frontAxis,
  );
  words.replaceChildren();
  const found = frontPoints();
  if (!found.length) {
    place.replaceChildren(empty('No latency is known here, so there is no front.', null));
    return;
  }
  const accuracy = state.frontAxis === 'accuracy',
    better = accuracy ? (a, b) => a > b : (a, b) => a < b;
  const best = undominated(found, better).sort((a, b) => a.cell.median_ms - b.cell.median_ms);
  const canvas = el('div', { class: 'alone' });
  place.replaceChildren(canvas);
  const where = frame(
    canvas,
    { range: around(found.flatMap(({ cell }) => [cell.low_ms ?? cell.median_ms, cell.high_ms ?? cell.median_ms])) },
    {
      range: around(
        found.flatMap(({ value, score }) => (accuracy ? [score.low ?? value, score.high ?? value] : [value])),
        accuracy,
      ),
      linear: accuracy,
    },
    {
      x: `latency at ${state.frontSize}, ms (${columns[state.preset].name})`,
      y: accuracy ? `${nameOf(measure())}, % (up is better)` : 'parameters, M (down is better)',
      label: 'Pareto front; arrow keys go from point to point',
    },
  );
  const xy = ({ cell, value }) => [where.atX(cell.median_ms), where.atY(value)];
  const steps = best.map((one, i) => (i ? `H${xy(one)[0]}V${xy(one)[1]}` : `M${xy(one).join(' ')}`)).join('');
  where.root.append(svg('path', { class: 'step', d: `${steps}H${where.right}` }));
  const taken = [];
  const points = found.map((one) => {
    const { cell, score, value } = one,
      look = looks.get(cell.label),
      [x, y] = xy(one),
      on = best.includes(one);
    const group = svg('g', { class: `model series-${look.series}`, 'data-label': cell.label });
    const across = (x1, y1, x2, y2) => group.append(svg('line', { class: 'whisker', x1, y1, x2, y2 }));
    if (cell.low_ms != null) across(where.atX(cell.low_ms), y, where.atX(cell.high_ms), y);
    if (score && score.low != null) across(x, where.atY(score.low), x, where.atY(score.high));
    where.root.append(group);
    const name = score && scoresOf(cell).length > 1 ? score.label : cell.label;
    return {
      x,
      y,
      row: 'front',
      into: group,
      name,
      on,
      drawn: marker(look, on ? '' : 'hollow', `${x} ${y}`),
      lines: [
        name,
        latencyWords(cell),
        accuracy ? `${nameOf(measure())} ${scoreWords(score)}` : `${digits(value)} M parameters`,
        on ? 'on the front' : 'another is faster and no worse',
        ...(score ? [score.weights] : []),
        ...markWords(cell),
      ],
      open: () => openCell(cell),
    };
  });
  for (const { x, y, name, on } of [...points].sort((a, b) => b.on - a.on)) {
    const short = name.length > 26 ? `${name.slice(0, 25)}…` : name,
      long = short.length * 6.4,
      leftwards = x + 12 + long > where.right;
    const spots = [-10, 18, -24, 32].map((dy) => [leftwards ? x - 10 - long : x + 10, y + dy]);
    const free = spots.find(
      ([x0, y0]) =>
        y0 > where.top - 4 &&
        y0 < where.bottom &&
        !taken.some(([x1, y1, long1]) => x0 < x1 + long1 && x1 < x0 + long && Math.abs(y0 - y1) < 13),
    );
    if (!free) continue;
    taken.push([...free, long]);
    where.root.append(svg('text', { x: free[0], y: free[1], class: on ? 'strong' : '' }, short));
  }
  reachable(
    where.root,
    points.sort((a, b) => a.x - b.x),
    () => {},
  );
  canvas.append(where.root);
  const told = best.map(
    ({ cell, value }) =>
      `${cell.label} (${digits(cell.median_ms)} ms, ${accuracy ? `${value.toFixed(1)} %` : `${digits(value)} M`})`,
  );
  words.append(`On the front, from the fastest: ${told.join('; ')}. Hollow marks are behind it. `);
  if (!accuracy && !scored)
    words.append(
      'No accuracy of these models is known at this resolution, so parameters stand in for it; ',
      el('code', {}, `linbench run --suite ${measure() ? measure().suite : 'dis'} --checkpoint FILE`),
      ' measures one. ',
    );
  if (accuracy && unique(found.map(({ score }) => score.device)).some((name) => name !== scene().device))
    words.append(`Accuracy was computed on ${unique(found.map(({ score }) => score.device)).join(', ')}. `);
  words.append('Intervals that overlap leave the order open: linbench compare says what is certain.');
}
