// Draws everything, and again after each choice.
function drawNotes() {
  const seen = [...sceneCells(), ...chosenThroughputs(), ...scores],
    used = unique(seen.flatMap((cell) => [...cell.marks]));
  const drawn = (selector) => [...document.querySelectorAll('template')].some((it) => it.content.querySelector(selector));
  const general = [
    ...(cells.length
      ? [
          'A latency is the median over rounds (fresh processes) of each round’s median; bands, bars and ± are its ' +
            '95 % interval. Lines join measured points; nothing is extrapolated.',
          'An exponent, a crossover, a ratio or a place on the front is stated only where each time behind it has ' +
            'three rounds and was not disturbed.',
        ]
      : []),
    drawn('.ring') && 'Rings are crossovers with ViT.',
    drawn('.failed') && 'A cross above the curves is a failure at that resolution.',
    throughputs.length &&
      'A throughput is 1 / the median time per image over rounds, at the batch that each round finds best: forwards ' +
        'are queued and waited for once a window.',
    ([...cells, ...throughputs].some((cell) => cell.doubt) || scores.some(hasFewImages)) &&
      'A hollow mark is a number in doubt: it has few rounds or images, or was disturbed. Nothing is derived from it.',
    scenes.length > 1 &&
      'Devices, parts and conditions are never ranked together: the choices on top show one of each.',
  ].filter(Boolean);
  const details = (scene() ? scene().columns : []).map((column) =>
    more(`All notes on ${columns[column].name}`, false, noteList(...columns[column].notes.map(text))),
  );
  if (state.comparison != null) {
    const notes = comparisons[state.comparison].notes.map(text);
    details.push(more('All notes on throughput', false, noteList(...notes)));
  }
  const absent = [
    [cells.length, 'latency', 'linbench run --suite latency --res 512..2048'],
    [scores.length, 'accuracy', 'linbench run --suite dis --checkpoint FILE'],
  ];
  const hints = absent
    .filter(([count]) => !count)
    .map(([, name, command]) => [`No ${name} is measured yet. This command measures some: `, el('code', {}, command)]);
  byId('notes').replaceChildren(noteList(...general, ...used.map((sign) => explain(sign)), ...hints), ...details);
}

function drawStanding() {
  const standing = measure() && measure().standing;
  byId('standing').hidden = !standing;
  byId('standing').textContent = standing ? `⚠ The chosen accuracy compares with nothing published: ${standing}.` : '';
}

function draw() {
  drawChoices();
  drawStanding();
  drawCurves();
  drawThroughput();
  drawFront();
  drawCells();
  drawScores();
  if (byId('kernels')) drawKernels();
  drawNotes();
}

function on(id, event, change, ...redraw) {
  byId(id).addEventListener(event, ({ target }) => {
    change(target.value);
    redraw.forEach((part) => part());
  });
}
const largest = (counts) => counts.indexOf(Math.max(...counts));
// The scene that agrees most with the wished one, above all in its device, then in its part.
function chooseSceneLike(wish) {
  const agreement = (other) =>
    ['conditions', 'part', 'device'].reduce((sum, name, i) => sum + (other[name] === wish[name]) * 2 ** i, 0);
  chooseScene(largest(scenes.map(agreement)));
}
const set = (values) => Object.assign(state, values);
on('device', 'change', (device) => [chooseSceneLike({ ...scene(), device }), chooseComparison(device)], draw);
on('part', 'change', (part) => chooseSceneLike({ ...scene(), part }), draw);
on('conditions', 'change', (index) => chooseScene(Number(index)), draw);
on('measure', 'change', (index) => set({ measure: Number(index), frontAxis: 'accuracy' }), draw);
on('preset', 'change', (column) => set({ preset: Number(column) }), drawCurves, drawFront);
on('metric', 'change', (metric) => set({ metric }), drawCurves);
on('rate', 'change', (rate) => set({ rate }), drawThroughput);
on('comparison', 'change', (index) => set({ comparison: Number(index) }), drawThroughput, drawFront, drawNotes);
on('front-speed', 'change', (frontSpeed) => set({ frontSpeed, frontAxis: 'accuracy' }), drawFront);
on('front-size', 'change', (frontSize) => set({ frontSize, frontAxis: 'accuracy' }), drawFront);
on('front-axis', 'change', (frontAxis) => set({ frontAxis }), drawFront);
on('filter', 'input', (filter) => set({ filter, from: 0 }), drawCells);
on('status', 'change', (status) => set({ status, from: 0 }), drawCells);
on('size', 'change', (size) => set({ size, from: 0 }), drawCells);

const system = matchMedia('(prefers-color-scheme: dark)');
const isDark = () => (document.documentElement.dataset.scheme || (system.matches ? 'dark' : 'light')) === 'dark';
const nameScheme = () => {
  byId('scheme').textContent = isDark() ? 'Light scheme' : 'Dark scheme';
};
byId('scheme').addEventListener('click', () => {
  document.documentElement.dataset.scheme = isDark() ? 'light' : 'dark';
  nameScheme();
});
system.addEventListener('change', nameScheme);
byId('details').addEventListener('click', (event) => {
  if (event.target === byId('details')) byId('details').close();
});

let width = document.documentElement.clientWidth;
addEventListener('resize', () => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  drawCurves();
  drawThroughput();
  drawFront();
});

// First the measure with the most numbers, those comparable with published ones before all others; the fullest scene.
const devices = unique([...scenes, ...comparisons].map((entry) => entry.device)).length;
byId('summary').append(
  devices ? ` of ${devices} ${devices === 1 ? 'device' : 'devices'}` : '',
  data.latest ? `, the latest of ${data.latest.slice(0, 10)}` : '',
);
const scoreCounts = measures.map(
  ({ index, standing }) =>
    scores.filter((score) => score.measure === index && score.value != null).length * (standing ? 0.001 : 1),
);
state.measure = Math.max(0, ...scoreCounts) > 0 ? largest(scoreCounts) : null;
const cellCounts = scenes.map((entry) => cells.filter((cell) => entry.columns.includes(cell.column)).length);
chooseScene(scenes.length ? largest(cellCounts) : null);
chooseComparison(scene()?.device);
nameScheme();
draw();
