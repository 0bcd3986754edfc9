"""The services told again, one task after another in plain Python, to compare with."""

from dataclasses import dataclass, field


@dataclass
class Task:
    start: int
    steps: int

    @property
    def runtime(self) -> float:
        return (0.001 * self.steps**2 + 2.5 * self.steps - 14) * 60


@dataclass
class Provider:
    total_t: float
    ax: float
    ay: float
    bx: float
    by: float
    tasks: list[Task] = field(default_factory=list)

    def quality(self, t: int) -> float:
        if t < self.ax:
            return 0.0
        if t > self.bx:
            return self.by - self.ay
        return (self.by - self.ay) * (t - self.ax) / (self.bx - self.ax)


class Episode:
    """One episode, told what arrives when."""

    def __init__(self, providers, arrivals, needs):
        self.providers = [Provider(*numbers) for numbers in providers]
        self.arrivals, self.needs = arrivals, needs
        self.counts = {"served": 0, "finished": 0, "crashed": 0, "crashes": 0}
        self.index = 0

    def step(self, choice):
        now, need = self.arrivals[self.index], self.needs[self.index]
        provider = self.providers[choice]
        if sum(task.steps for task in provider.tasks) + need <= provider.total_t:
            provider.tasks.append(Task(now, need))
            self.counts["served"] += 1
            reward = provider.quality(need)
        else:
            reward = -2.0 - sum(2 * (1 - (now - task.start) / task.runtime) for task in provider.tasks)
            self.counts["crashed"] += len(provider.tasks)
            self.counts["crashes"] += 1
            provider.tasks = []
        self.index += 1
        for one in self.providers:
            stay = [task for task in one.tasks if task.start + task.runtime > self.arrivals[self.index]]
            self.counts["finished"] += len(one.tasks) - len(stay)
            one.tasks = stay
        return reward

    def observe(self):
        numbers = []
        for one in self.providers:
            used = sum(task.steps for task in one.tasks)
            numbers += [one.total_t / 900, (one.total_t - used) / one.total_t]
        need = self.needs[self.index]
        return [*numbers, need / 250, Task(0, need).runtime / Task(0, 250).runtime]
