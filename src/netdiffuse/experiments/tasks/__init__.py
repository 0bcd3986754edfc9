"""What is trained on: a one-shot problem, a sequential environment of ours, or anybody's."""

from netdiffuse.experiments.tasks.base import Score, Task
from netdiffuse.experiments.tasks.batched import BatchedTask
from netdiffuse.experiments.tasks.names import AnyTask, make_task
from netdiffuse.experiments.tasks.one_shot import OneShotTask
from netdiffuse.experiments.tasks.sequential import SequentialTask

__all__ = ["AnyTask", "BatchedTask", "OneShotTask", "Score", "SequentialTask", "Task", "make_task"]
