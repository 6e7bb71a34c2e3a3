// Plots: scales, axes, and points that a pointer and the keyboard reach.
function scale(low, high, from, to, linear) {
  const transform = linear ? (x) => x : Math.log;
  const span = transform(high) - transform(low) || 1;
  const position = (x) => from + ((transform(x) - transform(low)) / span) * (to - from);
  return Object.assign(position, { low, high, linear });
}

// The range of an axis that has room around the values.
function rangeOf(values, linear) {
  const low = Math.min(...values),
    high = Math.max(...values);
  if (linear) {
    const room = (high - low) * 0.12 || 2;
    return [low - room, high + room];
  }
  const room = Math.max((high / low) ** 0.07, low === high ? 1.5 : 1.08);
  return [low / room, high * room];
}

// A logarithmic axis has 1, 2 and 5 of each decade; a short one has more.
function ticks(scale, most) {
  const { low, high, linear } = scale;
  if (linear || high / low < 3) {
    const rough = (high - low) / most,
      power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    const first = Math.ceil(low / step);
    const count = Math.floor(high / step) - first + 1;
    return Array.from({ length: count }, (_, i) => +((first + i) * step).toPrecision(10));
  }
  const decades = Array.from({ length: Math.floor(Math.log10(high) - Math.floor(Math.log10(low))) + 1 }, (_, i) => i);
  const within = (steps) =>
    decades
      .flatMap((decade) => steps.map((step) => +(step * 10 ** (Math.floor(Math.log10(low)) + decade)).toPrecision(3)))
      .filter((value) => value >= low && value <= high);
  const choices = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map(within);
  return choices.find((values) => values.length <= most + 1) || choices.at(-1);
}

// The frame of a plot as wide as its container: scales, grid and the names of its axes.
function frame(container, x, y, label) {
  const width = Math.max(container.clientWidth || 640, 260),
    height = Math.round(Math.min(460, Math.max(300, width * 0.56)));
  const box = { left: 52, right: width - 16, top: 16, bottom: height - 44 };
  const atX = scale(...x.range, box.left, box.right, x.linear),
    atY = scale(...y.range, box.bottom, box.top, y.linear);
  const root = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'group', 'aria-label': label });
  const line = (kind, x1, x2, y1, y2) => svg('line', { class: kind, x1, x2, y1, y2 });
  for (const value of ticks(atY, 8))
    root.append(
      line('grid', box.left, box.right, atY(value), atY(value)),
      svg('text', { x: box.left - 8, y: atY(value) + 4, 'text-anchor': 'end' }, value),
    );
  for (const value of ticks(atX, Math.floor(width / 90)))
    root.append(
      line('grid', atX(value), atX(value), box.top, box.bottom),
      svg('text', { x: Math.min(atX(value), box.right - 8), y: box.bottom + 18, 'text-anchor': 'middle' }, value),
    );
  root.append(
    line('axis', box.left, box.right, box.bottom, box.bottom),
    svg('text', { x: box.right, y: height - 8, 'text-anchor': 'end' }, x.name),
    svg('text', { x: 6, y: 12 }, y.name),
  );
  return { root, atX, atY, ...box };
}

const mark = (look, kind, x, y, unit = 1) =>
  svg('use', {
    class: `mark ${kind}`,
    href: kind === 'cross' ? '#mark-failed' : `#${look.mark}`,
    transform: `translate(${x} ${y}) scale(${unit})`,
  });

function showTip(lines, x, y) {
  const tip = byId('tip'),
    page = document.documentElement.clientWidth;
  tip.replaceChildren(el('strong', {}, lines[0]), ...lines.slice(1).map((line) => el('div', {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 14 + width > page ? Math.min(x - 14 - width, page - width - 4) : x + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(y - height / 2, innerHeight - height - 4))}px`;
}
const hideTip = () => {
  byId('tip').hidden = true;
};
const REACH = 11; // px

// The point that an arrow key leads to: left and right along a row, up and down to another.
function neighbour(points, point, key) {
  const { x, y, row } = point;
  if (key === 'ArrowLeft' || key === 'ArrowRight') {
    const along = points.filter((other) => other.row === row).sort((a, b) => a.x - b.x || a.y - b.y);
    return along[along.indexOf(point) + (key === 'ArrowRight' ? 1 : -1)];
  }
  const direction = { ArrowUp: -1, ArrowDown: 1 }[key];
  const distance = (other) => Math.hypot(4 * (other.x - x), other.y - y);
  const others = points.filter((other) => other.row !== row && (other.y - y) * direction > 0);
  return others.sort((a, b) => distance(a) - distance(b))[0];
}

// The point within reach of the pointer; where points overlap, the nearest one.
function pointAt(root, points, event, unit) {
  const box = root.getBoundingClientRect(),
    px = root.viewBox.baseVal.width / box.width;
  const distance = ({ x, y }) => Math.hypot((event.clientX - box.left) * px - x, (event.clientY - box.top) * px - y);
  const closest = points.reduce((best, other) => (distance(other) < distance(best) ? other : best));
  return distance(closest) <= (REACH + 2) * unit ? closest : null;
}

// points: {x, y, lines, row, open, into, mark}. A plot is one stop of the Tab key. unit: lengths of the SVG for one px
// of the screen.
function makeReachable(root, points, highlight, unit = 1) {
  if (!points.length) return;
  const select = (current) => {
    points.forEach((point) => point.node.classList.toggle('current', point === current));
    highlight(current && current.row);
  };
  const show = (point) => {
    const box = point.node.getBoundingClientRect();
    showTip(point.lines, box.left + box.width / 2, box.top + box.height / 2);
    select(point);
  };
  const hide = () => {
    hideTip();
    select(null);
  };
  const go = (point) => {
    points.forEach((other) => other.node.setAttribute('tabindex', other === point ? '0' : '-1'));
    point.node.focus();
  };
  const open = (point) => {
    hide();
    go(point);
    point.open();
  };
  const press = (event, point) => {
    if (event.key === 'Escape') hide();
    else if (event.key === 'Enter' || event.key === ' ') open(point);
    else if (event.key.startsWith('Arrow')) go(neighbour(points, point, event.key) || point);
    else return;
    event.preventDefault();
  };
  points.forEach((point, index) => {
    const circle = (kind, r) => svg('circle', { class: kind, cx: point.x, cy: point.y, r: r * unit });
    const events = { onfocus: () => show(point), onblur: hide, onkeydown: (event) => press(event, point) };
    const label = { role: 'button', 'aria-label': point.lines.join(', '), tabindex: index ? -1 : 0 };
    point.node = svg('g', { class: 'point', ...label, ...events }, circle('hit', REACH), circle('halo', 9), point.mark);
    point.into.append(point.node);
  });
  root.addEventListener('pointermove', (event) => {
    const point = pointAt(root, points, event, unit);
    if (point) show(point);
    else hide();
  });
  root.addEventListener('pointerleave', hide);
  root.addEventListener('click', (event) => {
    const clicked = points.find((point) => point.node.contains(event.target)); // a screen reader's click is nowhere
    const point = event.clientX || event.clientY ? pointAt(root, points, event, unit) : clicked;
    if (point) open(point);
  });
}
