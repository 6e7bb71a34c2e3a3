// Points that a pointer and the keyboard reach: one stop of the tab key, arrows from point to point, Enter for more.
function tip(lines, x, y) {
  const box = byId('tip');
  box.replaceChildren(el('strong', {}, lines[0]), ...lines.slice(1).map((line) => el('div', {}, line)));
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const beyond = x + 14 + width > document.documentElement.clientWidth;
  box.style.left = `${Math.max(4, beyond ? Math.min(x - 14 - width, document.documentElement.clientWidth - width - 4) : x + 14)}px`;
  box.style.top = `${Math.max(4, Math.min(y - height / 2, window.innerHeight - height - 4))}px`;
}
const untip = () => {
  byId('tip').hidden = true;
};

// points: {x, y, lines, row, open, node}; row tells curves apart, and up and down go between them.
function reachable(root, points, light) {
  if (!points.length) return;
  const show = (point) => {
    const box = point.node.getBoundingClientRect();
    tip(point.lines, box.left + box.width / 2, box.top + box.height / 2);
    light(point.row);
  };
  const hide = () => {
    untip();
    light(null);
  };
  const go = (point) => {
    points.forEach((other) => other.node.setAttribute('tabindex', other === point ? '0' : '-1'));
    point.node.focus();
  };
  const near = (point, dx, dy) => {
    const others = points.filter((other) =>
      dx
        ? other.row === point.row && (other.x - point.x) * dx > 0.5
        : other.row !== point.row && (other.y - point.y) * dy > 0,
    );
    return others.sort(
      (a, b) =>
        Math.hypot(dy ? 4 * (a.x - point.x) : a.x - point.x, a.y - point.y) -
        Math.hypot(dy ? 4 * (b.x - point.x) : b.x - point.x, b.y - point.y),
    )[0];
  };
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  points.forEach((point, place) => {
    const group = svg(
      'g',
      {
        class: 'point',
        tabindex: place ? -1 : 0,
        role: 'button',
        'aria-label': point.lines.join(', '),
        onfocus: () => show(point),
        onblur: hide,
        onpointerenter: () => show(point),
        onpointerleave: hide,
        onclick: () => {
          hide();
          point.open();
        },
        onkeydown: (event) => {
          if (event.key === 'Enter' || event.key === ' ') {
            event.preventDefault();
            hide();
            point.open();
          }
          if (event.key === 'Escape') hide();
          if (!(event.key in STEPS)) return;
          event.preventDefault();
          const next = near(point, ...STEPS[event.key]);
          if (next) go(next);
        },
      },
      svg('circle', { class: 'hit', cx: point.x, cy: point.y, r: 11 }),
      svg('circle', { class: 'ring', cx: point.x, cy: point.y, r: 9 }),
      point.drawn,
    );
    point.node = group;
    point.into.append(group);
  });
}
