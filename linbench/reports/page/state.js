// What the records say, and what of it is looked at: one device, one part, one set of conditions.
const cells = unpacked(data.cells, [
  'label',
  'backbone',
  'options',
  'fusion',
  'size',
  'status',
  'reason',
  'interval',
  'gflops',
  'peak_kind',
  'throttled',
  'flops_missing',
  'chosen',
  'code_hash',
  'started',
  'log',
]);
const scores = unpacked(data.scores, [
  'label',
  'backbone',
  'options',
  'fusion',
  'size',
  'status',
  'reason',
  'weights',
  'device',
  'recipe_hash',
]);
const kernels = unpacked(data.kernels, ['where', 'device', 'label', 'status', 'reason', 'bound']);
const measures = data.measures.map((found, place) => ({
  ...found,
  place,
  suite: text(found.suite),
  metric: text(found.metric),
  standing: text(found.standing),
  dataset: text(found.dataset),
  protocol: text(found.protocol),
}));
const columns = data.columns.map((found) => ({
  ...found,
  name: text(found.name),
  models: new Map(found.models.map(([label, ...rest]) => [text(label), rest.map(text)])),
}));
const scenes = data.scenes.map((found) => ({
  ...found,
  device: text(found.device),
  part: text(found.part),
  rest: text(found.rest),
}));

const METRICS = {
  miou: 'mIoU',
  mbiou: 'mBIoU',
  map: 'mask AP',
  mbap: 'boundary AP',
  top1: 'top-1',
  top5: 'top-5',
  pixel_accuracy: 'pixel accuracy',
};
const nameOf = (measure) => `${measure.suite} ${METRICS[measure.metric] || measure.metric}`;
const longNameOf = (measure) =>
  `${measure.standing ? '⚠ ' : ''}${nameOf(measure)} · ${measure.dataset} · ${measure.protocol}` +
  (measure.standing ? ` · ${measure.standing}` : '');
const area = (cell) => (cell.height || 0) * (cell.width || 0);

const state = {
  scene: scenes.length ? 0 : null,
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
  down: false,
  from: 0,
};

// Every model looks the same wherever it is drawn.
const looks = new Map(
  unique([...cells.map((cell) => cell.label), ...scores.map((score) => score.label)]).map((label, place) => [
    label,
    { series: place % 12, shape: place % 7, dash: ['', '7 4', '2 3', '9 3 2 3'][Math.floor(place / 12) % 4] },
  ]),
);

const scene = () => (state.scene == null ? null : scenes[state.scene]);
const shown = () => (scene() ? cells.filter((cell) => scene().columns.includes(cell.column)) : []);
const ofPreset = () => shown().filter((cell) => cell.column === state.preset);
const measure = () => (state.measure == null ? null : measures[state.measure]);
const ofMeasure = () => scores.filter((score) => score.measure === state.measure && score.value != null);
const sizes = (found) => unique([...found].sort((a, b) => area(a) - area(b)).map((cell) => cell.size));

// The accuracies of a cell's model at the cell's size. A backbone is in every segmenter made with it, a fusion only
// in its own.
function scoresOf(cell) {
  const alike = ofMeasure().filter(
    (score) =>
      score.backbone === cell.backbone &&
      score.options === cell.options &&
      score.height === cell.height &&
      score.width === cell.width,
  );
  return cell.fusion === 'none'
    ? alike.filter((score) => ['none', 'conv', ''].includes(score.fusion))
    : alike.filter((score) => score.fusion === cell.fusion);
}

function chooseScene(place) {
  state.scene = place;
  state.from = 0;
  const names = scene() ? scene().columns : [];
  state.preset = names.find((column) => columns[column].name === 'best') ?? names[0] ?? null;
}

function sceneChoices() {
  const here = scene();
  options(
    byId('device'),
    unique(scenes.map((found) => found.device)).map((name) => [name, name]),
    here && here.device,
  );
  const same = scenes.filter((found) => here && found.device === here.device);
  options(
    byId('part'),
    unique(same.map((found) => found.part)).map((name) => [name, name]),
    here && here.part,
  );
  const rest = scenes
    .map((found, place) => [place, found.rest])
    .filter(([place]) => same.includes(scenes[place]) && scenes[place].part === here.part);
  options(byId('rest'), rest, state.scene);
  const named = measures.filter((found) => found.metric);
  options(
    byId('measure'),
    named.length ? named.map((found) => [found.place, longNameOf(found)]) : [['', 'none measured yet']],
    state.measure,
  );
  options(
    byId('preset'),
    here ? here.columns.map((column) => [column, columns[column].name]) : [['', 'none']],
    state.preset,
  );
}
