"""Training: one loop, its states on the disk, and what a person sees of a run.

| word | what it is | where |
|---|---|---|
| recipe | a frozen description of a training that cannot name a backbone | ``linbench.recipes`` |
| run | one recipe on one backbone with one seed, in one folder; its identity is ``run.json`` | ``run.py`` |
| session | one process's work on a run, from its start or its last state until it stops | ``session.py`` |
| state | all that changes while a model is trained; on the disk, what a session resumes from | ``loop``, ``states`` |
| step | one update of the weights with one global batch | ``batches.py``, ``loop.py`` |
| stage | a run of a pipeline, which begins with the weights of the stage before | ``pipeline.py`` |
| requirement | a dataset or a teacher that a run reads | ``requirements.py`` |
| plan | steps, time and disk of a run, estimated without training it | ``plan.py``, ``calibration.py`` |

From a recipe to a checkpoint: ``cli/train.py`` → ``pipeline.py`` → ``training.py`` → ``session.py`` →
``initial_state.py``, ``batches.py`` → ``loop.py`` → ``states.py``, ``log.py``.
"""
