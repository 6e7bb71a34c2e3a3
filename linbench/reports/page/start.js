// Choices, and everything drawn anew after one.
function notes() {
  const used = unique(shown().flatMap((cell) => [...cell.marks]));
  const ok = [
    'Median over rounds (fresh processes) of each round’s median; bands and ± are the 95 % interval.',
    'Lines join measured points; nothing is extrapolated. A cross above the curves stands where a resolution failed.',
    'Hollow marks carry a mark of the list below, or compare with nothing published.',
    'Devices, parts and conditions are never ranked together: each choice above shows one of them.',
  ];
  const marks = used.map((letter) =>
    el('li', {}, el('strong', {}, `${MARKS[letter][0]} ${MARKS[letter][1]}`), `: ${MARKS[letter][2]}.`),
  );
  const own = scene()
    ? scene().columns.map((column) =>
        more(
          `All notes on ${columns[column].name}`,
          false,
          el('ul', { class: 'notes' }, ...columns[column].notes.map((note) => el('li', {}, text(note)))),
        ),
      )
    : [];
  byId('notes').replaceChildren(
    el('ul', { class: 'notes' }, ...ok.map((words) => el('li', {}, words)), ...marks),
    ...own,
  );
}

function standing() {
  const of = measure();
  byId('standing').hidden = !(of && of.standing);
  byId('standing').textContent = of ? `⚠ The chosen accuracy compares with nothing published: ${of.standing}.` : '';
}

function draw() {
  sceneChoices();
  standing();
  curves();
  front();
  table();
  scoreTable();
  kernelTable();
  notes();
}

function on(id, name, change) {
  byId(id).addEventListener(name, (event) => {
    change(event.target.value);
  });
}
// The first scene of all that match the most: a device that lacks the part shows another part.
const sceneWhere = (...matches) => {
  const place = matches.map((match) => scenes.findIndex(match)).find((found) => found >= 0);
  if (place != null) chooseScene(place);
  draw();
};
on('device', 'change', (name) => {
  const here = (found) => found.device === name,
    part = scene().part,
    rest = scene().rest;
  sceneWhere(
    (found) => here(found) && found.part === part && found.rest === rest,
    (found) => here(found) && found.part === part,
    here,
  );
});
on('part', 'change', (name) => {
  const here = (found) => found.device === scene().device && found.part === name,
    rest = scene().rest;
  sceneWhere((found) => here(found) && found.rest === rest, here);
});
on('rest', 'change', (place) => {
  chooseScene(Number(place));
  draw();
});
on('measure', 'change', (place) => {
  state.measure = Number(place);
  state.frontAxis = 'accuracy';
  draw();
});
on('preset', 'change', (column) => {
  state.preset = Number(column);
  curves();
  front();
});
on('metric', 'change', (name) => {
  state.metric = name;
  curves();
});
on('front-size', 'change', (size) => {
  state.frontSize = size;
  state.frontAxis = 'accuracy';
  front();
});
on('front-axis', 'change', (name) => {
  state.frontAxis = name;
  front();
});
on('filter', 'input', (words) => {
  state.filter = words;
  state.from = 0;
  table();
});
on('status', 'change', (name) => {
  state.status = name;
  state.from = 0;
  table();
});
on('size', 'change', (name) => {
  state.size = name;
  state.from = 0;
  table();
});

const dark = () =>
  (document.documentElement.dataset.scheme ||
    (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
const nameScheme = () => {
  byId('scheme').textContent = dark() ? 'Light scheme' : 'Dark scheme';
};
byId('scheme').addEventListener('click', () => {
  document.documentElement.dataset.scheme = dark() ? 'light' : 'dark';
  nameScheme();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', nameScheme);
byId('drill').addEventListener('click', (event) => {
  if (event.target === byId('drill')) byId('drill').close();
});

let width = document.documentElement.clientWidth;
addEventListener('resize', () => {
  if (document.documentElement.clientWidth === width) return;
  width = document.documentElement.clientWidth;
  curves();
  front();
});

const devices = unique(scenes.map((found) => found.device));
byId('summary').append(
  devices.length ? ` of ${devices.length} ${devices.length === 1 ? 'device' : 'devices'}` : '',
  data.latest ? `, the latest of ${data.latest.slice(0, 10)}` : '',
);
const counts = measures.map(
  (found) =>
    scores.filter((score) => score.measure === found.place && score.value != null).length *
    (found.standing ? 0.001 : 1),
);
state.measure = Math.max(0, ...counts) > 0 ? counts.indexOf(Math.max(...counts)) : null;
const fullest = scenes.map((found) => cells.filter((cell) => found.columns.includes(cell.column)).length);
chooseScene(scenes.length ? fullest.indexOf(Math.max(...fullest)) : null);
nameScheme();
draw();
