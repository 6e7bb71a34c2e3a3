"""The plan of a run: steps, time and disk, and what it needs, without a dataset, a teacher or initial weights.

Nothing is written. Time is a range, calibrated on a few steps: on the data where all of it is there, on random images
elsewhere. Sizes of data that are not there are the published ones.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from linbench.data.roots import EMBEDDED, list_splits, open_dataset, resolve_data
from linbench.data.shapes import layout_of, make_scene, render_scene
from linbench.data.shapes.writing import LAYOUTS
from linbench.published.downloads import downloads
from linbench.recipes.contract import Recipe, Source, Task
from linbench.recipes.random_images import RandomImages
from linbench.recipes.teacher import RANDOM, Teacher, unfilled_teacher
from linbench.train.batches import HASH_WORDS, BatchShard, BatchStream, StepBatches
from linbench.train.calibration import Seconds, calibrate, timed
from linbench.train.distributed import all_reduce_max
from linbench.train.initial_state import build_state
from linbench.train.loop import TrainingState, fit
from linbench.train.requirements import Requirement, build_task, data_is_given, requirements, shaped_model
from linbench.train.run import Run, TrainingOptions
from linbench.train.states import STATES_KEPT
from linbench.train.teacher_features import TeacherFeatures
from linbench.train.training import EVALUATED_IMAGES

RANDOM_SIDE = 512  # px of random images in place of published ones
SCORED = 4  # images on which the scoring is timed
SCHEDULED = 100_000  # steps of a schedule that holds any warm-up
SCENES = 4  # of the embedded dataset whose drawing is timed
SAVED_BYTES_PER_S = (1e8, 1e9)  # of a slow disk and of a fast one, the SHA-256 included
CURVES = Seconds(1.0, 4.0)  # to draw them
MAX_START_S = 60.0


@dataclass(frozen=True)
class TrainingPlan:
    """Steps, time and disk of one stage, estimated.

    examples: Images of an epoch, with repetitions.
    micro_batch: Images at once, on each of ``devices``.
    seconds_per_step: Loading, forward, backward, update, and the teacher where its embeddings are not cached.
    seconds: Of the whole stage: steps, the teacher's cache, scoring, saving; the first stage's with the start.
    disk_bytes: States, model and curves at their largest; ``cache_bytes`` of a teacher's cache come on top.
    calibrated_on: ``random images``, or ``the data``.
    embedded_steps: Steps of the same command where it trains on the embedded dataset for want of data; else None.
    """

    stage: str
    recipe_hash: str
    scale: str
    epochs: int
    steps: int
    examples: int
    images: int
    batch: int
    micro_batch: int
    devices: int
    device: str
    parameters: int
    seconds_per_step: Seconds
    seconds: Seconds
    disk_bytes: int
    cache_bytes: int
    calibrated_on: str
    embedded_steps: int | None
    requirements: list[Requirement]


def plan(run: Run, options: TrainingOptions, accelerator: Accelerator) -> TrainingPlan:
    """Plan a run, with random initial weights whatever its ``init``. Raises BadDataset, UnknownName, ValueError."""
    recipe, model = run.recipe, shaped_model(run)
    needed, data = requirements(run), _data(run)
    examples: Any = build_task(recipe).examples(data, run.seed)
    epochs, steps = recipe.epochs_and_steps(len(examples))
    shard = BatchShard(accelerator.process_index, accelerator.num_processes, options.micro_batch)
    parts = shard.micro_batches([(0, index) for index in range(recipe.batch)], recipe.image_size**2)
    trial = _Trial(run, replace(options, compile=False), accelerator, data, len(parts[0]))
    step, teacher = trial.step() * len(parts), trial.teacher() * sum(map(len, parts))
    images = steps * recipe.batch
    embeddings = teacher * (steps if not run.teacher_cache else min(1.0, len(examples) / images) * steps)
    disk = (STATES_KEPT + 1) * _state_bytes(model, recipe) + _bytes(model)
    is_paper = not data_is_given(run) and recipe.scale == "full"
    once = trial.overhead() + _saving(disk, recipe) + _drawing(run) * (not is_paper)
    return TrainingPlan(
        stage=run.name,
        recipe_hash=recipe.hash,
        scale=recipe.scale,
        epochs=epochs,
        steps=steps,
        examples=len(examples),
        images=images,
        batch=recipe.batch,
        micro_batch=len(parts[0]),
        devices=accelerator.num_processes,
        device=accelerator.device.type,
        parameters=sum(p.numel() for p in model.parameters()),
        seconds_per_step=step + teacher * (not run.teacher_cache),
        seconds=step * steps + embeddings + once,
        disk_bytes=disk,
        cache_bytes=_cache_bytes(run, len(examples)),
        calibrated_on="random images" if isinstance(data, RandomImages) else "the data",
        embedded_steps=_embedded_steps(recipe) if is_paper and needed else None,
        requirements=needed,
    )


def start_seconds() -> Seconds:
    """Return what a process needs before its first stage: this one's own start, imports included."""
    used = min(time.process_time(), MAX_START_S)
    return Seconds(0.5 * used, 2 * used)


def _data(run: Run) -> str | RandomImages | None:
    """Return the data where all of it is there, and random images in the same numbers elsewhere."""
    recipe, root = run.recipe, resolve_data(run.data)
    if root == EMBEDDED and (data_is_given(run) or recipe.scale == "smoke"):
        objects = {source.dataset: _scene_objects(source) for source in recipe.sources}
        return RandomImages(recipe.embedded_size, objects=objects)
    present = set() if root == EMBEDDED else {(row.name, row.split) for row in list_splits(root) if row.folder}
    known = downloads()
    splits = [(source.dataset, source.split) for source in recipe.sources]
    if splits and all(split in present for split in splits):
        return run.data
    images = {name: len(open_dataset(name, split, root)) for name, split in splits if (name, split) in present}
    published = {split: known[split] for split in splits if split in known}
    images = {name: entry.images or 0 for (name, _), entry in published.items()} | images
    objects = {name: entry.masks_per_image for (name, _), entry in published.items()}
    return RandomImages(RANDOM_SIDE, images, objects)


def _scene_objects(source: Source) -> int:
    """Return the mean number of objects in the scenes that stand in for a source's dataset."""
    if source.dataset not in LAYOUTS:
        return 1
    task = layout_of(source.dataset, source.split).task
    counts = [len(make_scene(0, index, task, source.split).things) for index in range(16)]
    return max(1, round(sum(counts) / len(counts)))


def _embedded_steps(recipe: Recipe) -> int | None:
    count = sum(source.images * source.repeat for source in recipe.sources)
    return recipe.epochs_and_steps(count)[1] if count >= recipe.batch else None


@dataclass
class _Trial:
    """Timed steps of a run on small inputs.

    images: Of a micro-batch.
    first_s: How much longer the first steps took.
    state: Of the largest model that was built.
    """

    run: Run
    options: TrainingOptions
    accelerator: Accelerator
    data: str | RandomImages | None
    images: int
    first_s: float = 0.0
    side: int = 0
    state: TrainingState | None = None
    task: Task | None = None

    def step(self) -> Seconds:
        """Return the seconds of one micro-batch: load it, and train on it."""
        side = self.run.recipe.image_size
        return calibrate(self._measure, side, self.images, self._agree).seconds

    def teacher(self) -> Seconds:
        """Return the seconds of the teacher's embedding of one image."""
        if not build_task(self.run.recipe).teacher:
            return Seconds()
        name = getattr(self.run.recipe.settings, "teacher", RANDOM)
        return calibrate(self._measure_teacher(name), self.run.recipe.image_size, 1, self._agree, 1).seconds

    def overhead(self) -> Seconds:
        """Return what a stage takes beside its steps: the first step, and the scores at its end."""
        assert self.task is not None and self.state is not None, "steps are timed first"
        model = self.state.final_model.eval()
        start = time.perf_counter()
        random = RandomImages(self.data.side if isinstance(self.data, RandomImages) else RANDOM_SIDE)
        scores = self.task.evaluate(model, random, SCORED)
        spent = time.perf_counter() - start
        per_image = spent / scores.get("images", SCORED) if scores else 0.0
        area = (self.run.recipe.image_size / self.side) ** 2
        scored = per_image * EVALUATED_IMAGES * area
        return Seconds(0.3 * scored, 1.3 * scored + 2 * self.first_s)

    def _measure(self, side: int, images: int) -> Seconds:
        """Return the seconds of a step on one micro-batch of that size."""
        recipe = replace(self.run.recipe, image_size=side, batch=images)
        run = replace(self.run, recipe=recipe, init=None, init_weights=None)
        task = build_task(recipe)
        examples: Any = task.examples(self.data, run.seed)
        stream = BatchStream(task, examples, run.seed)
        state, _ = build_state(replace(run, teacher=None), self.options, task, SCHEDULED, 1, self.accelerator)
        complete = self._embedding(task, side)
        self.side, self.state, self.task = side, state, task

        def load() -> Any:
            items = [examples[key] for key in stream.keys(0)[:images]]
            return complete(task.mix(task.collate(items), seed=run.seed, epoch=0, step=0))

        def train() -> None:
            batch = StepBatches(state.step, (load(),), (0,), (0,) * HASH_WORDS)
            for _ in fit(state, recipe, [batch], self.accelerator, run.seed):
                pass

        seconds, first = timed(train)
        self.first_s = max(self.first_s, first)
        self.accelerator.free_memory()
        return seconds

    def _embedding(self, task: Task, side: int) -> Callable[[Any], Any]:
        """Return what adds an embedding to a batch, if the task has a teacher; the teacher is timed by itself."""
        if not task.teacher:
            return lambda batch: batch
        embedding = torch.zeros(256, side // 16, side // 16)
        return lambda batch: {**batch, "embedding": embedding.expand(len(batch["image"]), -1, -1, -1)}

    def _measure_teacher(self, name: str) -> Callable[[int, int], Seconds]:
        def measure(side: int, images: int) -> Seconds:
            teacher: Teacher = unfilled_teacher(name, side, self.accelerator.device)
            features = TeacherFeatures(teacher, None, self.accelerator)
            batch = {"ids": ["random"] * images, "image": torch.zeros(images, 3, side, side)}
            step = StepBatches(0, (batch,), (0,), (0,) * HASH_WORDS)
            return timed(lambda: features.complete(step))[0]

        return measure

    def _agree(self, is_too_long: bool) -> bool:
        return bool(all_reduce_max(self.accelerator, int(is_too_long)))


def _drawing(run: Run) -> Seconds:
    """Return the seconds that it takes to draw the embedded dataset: none where an earlier run has."""
    if resolve_data(run.data) != EMBEDDED:
        return Seconds()
    high = 0.0
    for source in run.recipe.sources:
        if source.dataset in LAYOUTS:
            task = layout_of(source.dataset, source.split).task
            scenes = [make_scene(0, index, task, source.split) for index in range(1 + SCENES)]
            render_scene(scenes[0], run.recipe.embedded_size)  # compiles
            start = time.perf_counter()
            for scene in scenes[1:]:
                render_scene(scene, run.recipe.embedded_size)
            # Encoding takes as long again; the held-out images are as many.
            high += 2 * 2 * (time.perf_counter() - start) / SCENES * source.images
    return Seconds(0.0, high)


def _saving(disk: int, recipe: Recipe) -> Seconds:
    slow, fast = SAVED_BYTES_PER_S
    return Seconds(disk / (STATES_KEPT + 2) / fast, disk / (STATES_KEPT + 2) / slow) + CURVES


def _state_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Return the bytes of a state: the model, AdamW's two moments and step of what is trained, and the average."""
    trained = [p for p in model.parameters() if p.requires_grad]
    slots = sum(2 * p.numel() * p.element_size() + 4 for p in trained)
    return slots + _bytes(model) * (2 if recipe.ema else 1)


def _bytes(model: nn.Module) -> int:
    return sum(x.numel() * x.element_size() for x in model.state_dict().values())


def _cache_bytes(run: Run, examples: int) -> int:
    """Return the bytes of all embeddings: 256 channels at stride 16, in float32."""
    if not run.teacher_cache or not build_task(run.recipe).teacher:
        return 0
    return 256 * (run.recipe.image_size // 16) ** 2 * 4 * examples
