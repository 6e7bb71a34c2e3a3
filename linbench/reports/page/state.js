// The records, and what of them is shown: one device, one part, one set of conditions.
const cells = unpack(data.cells, [
  ...['label', 'backbone', 'options', 'fusion', 'size', 'status', 'reason', 'interval', 'gflops', 'peak_kind'],
  ...['throttled', 'flops_missing', 'chosen', 'code_hash', 'started', 'log', 'text'],
]);
const scores = unpack(data.scores, [
  ...['label', 'backbone', 'options', 'fusion', 'size', 'status', 'reason', 'weights', 'device', 'recipe_hash'],
]);
const withTexts = (entry, names) => ({ ...entry, ...Object.fromEntries(names.map((name) => [name, text(entry[name])])) });
const measures = data.measures.map((entry, index) => ({
  ...withTexts(entry, ['suite', 'metric', 'name', 'standing', 'dataset', 'protocol']),
  index,
}));
const columns = data.columns.map((entry) => ({
  ...withTexts(entry, ['name']),
  models: new Map(entry.models.map(([label, ...fit]) => [text(label), fit.map(text)])),
}));
const scenes = data.scenes.map((entry) => withTexts(entry, ['device', 'part', 'conditions']));
// Every model looks the same wherever it is drawn.
const looks = new Map(data.looks.map((look, index) => [text(look.label), { ...look, index }]));

const state = {
  scene: null,
  metric: 'latency',
  preset: null,
  measure: null,
  hidden: new Set(),
  frontSize: null,
  frontAxis: 'accuracy',
  filter: '',
  status: '',
  size: '',
  sort: 'model',
  descending: false,
  from: 0,
};
const scene = () => (state.scene == null ? null : scenes[state.scene]);
const sceneCells = () => (scene() ? cells.filter((cell) => scene().columns.includes(cell.column)) : []);
const presetCells = () => cells.filter((cell) => cell.column === state.preset);
const measure = () => (state.measure == null ? null : measures[state.measure]);
const measureScores = () => scores.filter((score) => score.measure === state.measure && score.value != null);
const area = (cell) => (cell.height || 0) * (cell.width || 0);
const bySize = (list) => [...list].sort((a, b) => area(a) - area(b));
const sizes = (list) => unique(bySize(list).map((cell) => cell.size));

const measureName = ({ suite, name }) => `${suite} ${name}`;
const longMeasureName = ({ standing, dataset, protocol, ...measure }) =>
  `${standing ? '⚠ ' : ''}${measureName(measure)} · ${dataset} · ${protocol}${standing ? ` · ${standing}` : ''}`;

// The accuracies of a cell's model at the cell's size. A backbone is in every segmenter made with it, a fusion only
// in its own.
function scoresOf(cell) {
  const same = ['backbone', 'options', 'height', 'width'];
  const alike = measureScores().filter((score) => same.every((name) => score[name] === cell[name]));
  return alike.filter((score) =>
    cell.fusion === 'none' ? ['none', 'conv', ''].includes(score.fusion) : score.fusion === cell.fusion,
  );
}

// Marks: never a colour alone, always a sign and a name.
const MARKS = {
  c: ['~', 'not converged', 'time ran out before the interval was within ±1 %'],
  f: ['ᵃ', 'few rounds', 'fewer than three fresh processes: the interval covers only the differences within one'],
  d: ['‡', 'disturbed', 'other processes used more than a tenth of the machine’s cores'],
  t: ['§', 'throttled', 'the device was throttled, also when the round was repeated'],
  s: ['†', 'stale', 'the code that measured it has changed; linbench run --redo stale measures it again'],
};
const markNames = (cell) => [...cell.marks].map((letter) => MARKS[letter][1]);
const explain = (letter, meaning) => [el('strong', {}, `${MARKS[letter][0]} ${MARKS[letter][1]}`), `: ${meaning}`];

const scoreSigns = (score) => `${score.stale ? '†' : ''}${score.skipped ? '‡' : ''}`;
const scoreInterval = (score) => (score.low == null ? '' : ` (${score.low.toFixed(1)}–${score.high.toFixed(1)})`);
const scoreText = (score) => `${score.value.toFixed(2)} %${scoreInterval(score)}${scoreSigns(score)}`;

const noLatency = (message) =>
  empty(`${message} This command measures some:`, 'linbench run --suite latency --res 512..2048');
const noAccuracy = () =>
  measure()
    ? empty(
        `No ${measureName(measure())} is known here. This command measures it:`,
        `linbench run --suite ${measure().suite} --checkpoint FILE`,
      )
    : empty('No accuracy is measured yet. This command measures one:', 'linbench run --suite dis --checkpoint FILE');

function chooseScene(index) {
  state.scene = index;
  state.from = 0;
  const shown = scene() ? scene().columns : [];
  state.preset = shown.find((column) => columns[column].name === 'best') ?? shown[0] ?? null;
}

function drawChoices() {
  const current = scene();
  const same = scenes.filter((other) => current && other.device === current.device);
  const names = (list, field) => unique(list.map((entry) => entry[field])).map((name) => [name, name]);
  setOptions(byId('device'), names(scenes, 'device'), current && current.device);
  setOptions(byId('part'), names(same, 'part'), current && current.part);
  const alike = same.filter((other) => other.part === current.part);
  setOptions(byId('conditions'), alike.map((other) => [scenes.indexOf(other), other.conditions]), state.scene);
  const named = measures.filter((entry) => entry.metric).map((entry) => [entry.index, longMeasureName(entry)]);
  setOptions(byId('measure'), named.length ? named : [['', 'none measured yet']], state.measure);
  const presets = current ? current.columns.map((column) => [column, columns[column].name]) : [['', 'none']];
  setOptions(byId('preset'), presets, state.preset);
}
