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
const REACH = 11; // px
const untip = () => {
  byId('tip').hidden = true;
};

// points: {x, y, lines, row, open, into, drawn}; row tells curves apart: left and right go along one, up and down to
// others.
function reachable(root, points, light) {
  if (!points.length) return;
  const show = (point) => {
    const box = point.node.getBoundingClientRect();
    tip(point.lines, box.left + box.width / 2, box.top + box.height / 2);
    points.forEach((other) => other.node.classList.toggle('at', other === point));
    light(point.row);
  };
  const hide = () => {
    untip();
    points.forEach((other) => other.node.classList.remove('at'));
    light(null);
  };
  const open = (point) => {
    hide();
    go(point);
    point.open();
  };
  const go = (point) => {
    points.forEach((other) => other.node.setAttribute('tabindex', other === point ? '0' : '-1'));
    point.node.focus();
  };
  const along = (point, step) => {
    const mine = points.filter((other) => other.row === point.row).sort((a, b) => a.x - b.x || a.y - b.y);
    return mine[mine.indexOf(point) + step];
  };
  const across = (point, step) => {
    const far = (other) => Math.hypot(4 * (other.x - point.x), other.y - point.y);
    const others = points.filter((other) => other.row !== point.row && (other.y - point.y) * step > 0);
    return others.sort((a, b) => far(a) - far(b))[0];
  };
  const STEPS = { ArrowLeft: [along, -1], ArrowRight: [along, 1], ArrowUp: [across, -1], ArrowDown: [across, 1] };
  const press = (event, point) => {
    if (event.key === 'Escape') hide();
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      open(point);
    } else if (event.key in STEPS) {
      event.preventDefault();
      const [to, step] = STEPS[event.key];
      const next = to(point, step);
      if (next) go(next);
    }
  };
  points.forEach((point, place) => {
    point.node = svg(
      'g',
      {
        class: 'point',
        tabindex: place ? -1 : 0,
        role: 'button',
        'aria-label': point.lines.join(', '),
        onfocus: () => show(point),
        onblur: hide,
        onkeydown: (event) => press(event, point),
      },
      svg('circle', { class: 'hit', cx: point.x, cy: point.y, r: REACH }),
      svg('circle', { class: 'ring', cx: point.x, cy: point.y, r: 9 }),
      point.drawn,
    );
    point.into.append(point.node);
  });
  // Where points lie on each other, the one nearest to the pointer is meant.
  const nearest = (event) => {
    const box = root.getBoundingClientRect(),
      scale = root.viewBox.baseVal.width / box.width;
    const far = (point) =>
      Math.hypot((event.clientX - box.left) * scale - point.x, (event.clientY - box.top) * scale - point.y);
    const found = points.reduce((one, other) => (far(other) < far(one) ? other : one));
    return far(found) <= REACH + 2 ? found : null;
  };
  root.addEventListener('pointermove', (event) => {
    const point = nearest(event);
    if (point) show(point);
    else hide();
  });
  root.addEventListener('pointerleave', hide);
  root.addEventListener('click', (event) => {
    const said = points.find((point) => point.node.contains(event.target)); // a screen reader's click has no place
    const point = event.clientX || event.clientY ? nearest(event) : said;
    if (point) open(point);
  });
}
