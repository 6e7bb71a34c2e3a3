// Scales and axes of a plot. A logarithmic axis shows 1, 2 and 5 of each decade; a short one shows more.
function scale(low, high, from, to, linear) {
  const of = linear ? (x) => x : Math.log;
  const span = of(high) - of(low) || 1;
  const at = (x) => from + ((of(x) - of(low)) / span) * (to - from);
  return Object.assign(at, { low, high, linear });
}

function around(values, linear) {
  const low = Math.min(...values),
    high = Math.max(...values);
  if (linear) {
    const room = (high - low) * 0.12 || 2;
    return [low - room, high + room];
  }
  const room = Math.max((high / low) ** 0.07, low === high ? 1.5 : 1.08);
  return [low / room, high * room];
}

function ticks(scale, most) {
  const { low, high, linear } = scale;
  if (linear || high / low < 3) {
    const rough = (high - low) / most,
      power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    const first = Math.ceil(low / step);
    return Array.from(
      { length: Math.floor(high / step) - first + 1 },
      (_, i) => +((first + i) * step).toPrecision(10),
    );
  }
  const found = (steps) => {
    const all = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
      for (const step of steps) {
        const value = step * 10 ** power;
        if (value >= low && value <= high) all.push(+value.toPrecision(3));
      }
    return all;
  };
  return (
    [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map(found).find((all) => all.length <= most + 1) || found([1])
  );
}

// The frame of a plot as wide as its place: scales, grid and the words at its axes.
function frame(place, x, y, words) {
  const width = Math.max(place.clientWidth || 640, 260),
    height = Math.round(Math.min(460, Math.max(300, width * 0.56)));
  const left = 52,
    right = width - 16,
    top = 16 + (words.lanes || 0) * 18,
    bottom = height - 44;
  const atX = scale(...x.range, left, right, x.linear),
    atY = scale(...y.range, bottom, top, y.linear);
  const root = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'group', 'aria-label': words.label });
  for (const value of ticks(atY, 8)) {
    root.append(
      svg('line', { class: 'grid', x1: left, x2: right, y1: atY(value), y2: atY(value) }),
      svg('text', { x: left - 8, y: atY(value) + 4, 'text-anchor': 'end' }, String(value)),
    );
  }
  let end = -Infinity;
  for (const [value, said] of x.marks || ticks(atX, Math.floor(width / 90)).map((value) => [value, String(value)])) {
    root.append(svg('line', { class: 'grid', x1: atX(value), x2: atX(value), y1: top, y2: bottom }));
    const half = said.length * 3.4;
    if (atX(value) - half < end + 6) continue;
    end = Math.min(atX(value), right - half + 12) + half;
    root.append(
      svg('text', { x: Math.min(atX(value), right - half + 12), y: bottom + 18, 'text-anchor': 'middle' }, said),
    );
  }
  root.append(
    svg('line', { class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom }),
    svg('text', { x: right, y: height - 8, 'text-anchor': 'end' }, words.x),
    svg('text', { x: 6, y: 12 }, words.y),
  );
  return { root, atX, atY, left, right, top, bottom, width, height };
}
