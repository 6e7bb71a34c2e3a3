// The records, and what of them is shown: one device, one part, one set of conditions.
const cells = unpack(data.cells, [
  ...['label', 'backbone', 'options', 'fusion', 'size', 'status', 'reason', 'interval', 'gflops', 'peak_kind'],
  ...['throttled', 'flops_missing', 'chosen', 'code_hash', 'started', 'log', 'text', 'doubt'],
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
  warnings: entry.warnings.map(text),
  fits: new Map(entry.fits.map(([label, fit]) => [text(label), text(fit)])),
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
  comparison: null,
  rate: 'throughput',
  frontSpeed: 'latency',
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

// Marks: never a colour alone, always a sign and a name. Which cell has which is decided where the records are read.
const MARKS = new Map(data.marks.map(({ sign, name, meaning }) => [sign, { name, meaning }]));
const markNames = (cell) => [...cell.marks].map((sign) => MARKS.get(sign).name);
const explain = (sign, meaning = MARKS.get(sign).meaning) => [
  el('strong', {}, `${sign} ${MARKS.get(sign).name}`),
  `: ${meaning}`,
];
const hasFewImages = (score) => score.marks.includes('ᵇ');
const notRanked = (cell) => (cell.doubt ? `not ranked: ${cell.doubt}` : null);
const markLines = (cell) => [...markNames(cell), notRanked(cell)];

const scoreInterval = (score) => (score.low == null ? '' : ` (${score.low.toFixed(1)}–${score.high.toFixed(1)})`);
const scoreText = (score) => `${score.value.toFixed(2)} %${scoreInterval(score)}${score.marks}`;

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
  setOptions(byId('measure'), named, state.measure);
  const presets = current ? current.columns.map((column) => [column, columns[column].name]) : [];
  setOptions(byId('preset'), presets, state.preset);
}
