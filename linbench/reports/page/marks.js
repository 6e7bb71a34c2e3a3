// Marks: never a colour alone, always a sign and a word.
const MARKS = {
  c: ['~', 'not converged', 'the time was spent before the interval was within ±1 %'],
  f: ['¹', 'few rounds', 'fewer than three fresh processes: the interval holds only what differs within one'],
  d: ['‡', 'disturbed', 'other processes took more than a tenth of the machine’s cores'],
  t: ['§', 'throttled', 'the device was throttled, also when the round was repeated'],
  s: ['†', 'stale', 'measured by other code than the present; linbench run --redo stale measures it again'],
};
const sign = (cell) =>
  [...cell.marks]
    .filter((letter) => letter !== 'c')
    .map((letter) => MARKS[letter][0])
    .join('');
const markWords = (cell) => [...cell.marks].map((letter) => MARKS[letter][1]);

// Half of the interval, its wider side, in percent of the median.
function spread(cell) {
  if (cell.low_ms == null || cell.interval === 'none') return null;
  return (Math.max(cell.high_ms - cell.median_ms, cell.median_ms - cell.low_ms) / cell.median_ms) * 100;
}
function latencyWords(cell) {
  if (cell.status !== 'ok') return cell.status + (cell.marks.includes('s') ? ' †' : '');
  const half = spread(cell);
  return `${cell.marks.includes('c') ? '~' : ''}${digits(cell.median_ms)} ms${half == null ? '' : ` ±${percent(half)}`}${sign(cell)}`;
}
function scoreWords(score) {
  const between = score.low == null ? '' : ` (${score.low.toFixed(1)}–${score.high.toFixed(1)})`;
  return `${score.value.toFixed(2)} %${between}${score.stale ? '†' : ''}${score.skipped ? '‡' : ''}`;
}
const badge = (words) => el('span', { class: 'badge' }, words);

// Shapes around 0 0: a model is told by its shape as well as by its colour.
const SHAPES = [
  'M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z',
  'M-4 -4h8v8h-8z',
  'M0 -5.5L5.5 0L0 5.5L-5.5 0z',
  'M0 -5.5L5.2 4H-5.2z',
  'M0 5.5L5.2 -4H-5.2z',
  'M-1.8 -5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z',
  'M0 -5.5L5.3 -1.7L3.3 4.5H-3.3L-5.3 -1.7z',
];
const CROSS = 'M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5';
const marker = (look, kind, at) =>
  svg('path', {
    class: `mark ${kind}`,
    d: kind === 'cross' ? CROSS : SHAPES[look.shape],
    transform: at && `translate(${at})`,
  });

function legendButton(label, small, pressed, toggle, light) {
  const look = looks.get(label);
  const key = svg(
    'svg',
    { viewBox: '0 0 36 16', 'aria-hidden': 'true', class: `series-${look.series}` },
    svg('path', { class: 'line', d: 'M1 8H35', 'stroke-dasharray': look.dash }),
    marker(look, '', '18 8'),
  );
  return el(
    'li',
    {},
    el(
      'button',
      {
        type: 'button',
        'aria-pressed': String(pressed),
        onclick: toggle,
        onmouseenter: () => light(label),
        onmouseleave: () => light(null),
        onfocus: () => light(label),
        onblur: () => light(null),
      },
      key,
      el('span', { class: 'name' }, label),
      small ? el('small', {}, small) : null,
    ),
  );
}
