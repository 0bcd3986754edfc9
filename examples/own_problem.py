"""A problem of one's own: energy efficiency, with a power budget that need not be used up.

    python examples/own_problem.py [--seconds 15] [--out FOLDER]

Nothing in netdiffuse knows this problem. On the command line it goes by its place:

    netdiffuse train examples/own_problem.py:EnergyEfficiency --algorithm gddpg
"""

import argparse
from pathlib import Path

import torch

from netdiffuse import Problem
from netdiffuse.experiments import train
from netdiffuse.experiments.figures import plot_run
from netdiffuse.problems import Budget


class EnergyEfficiency(Problem):
    """Bits per joule over `channels` parallel channels: sum log2(1 + g p) / (circuit power + sum p)."""

    structure = "entities"  # channels are interchangeable: an equivariant network fits
    log_contexts = True  # gains span orders of magnitude
    utility_unit = "bit/J/Hz"
    decision_unit = "W"

    def __init__(self, channels: int = 8, max_power: float = 4.0, circuit_power: float = 1.0) -> None:
        self.circuit_power = circuit_power
        self.context_shape = (channels,)
        self.feasible = Budget(channels, max_power)  # p >= 0, sum p <= max_power

    def sample_contexts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.empty(n, *self.context_shape).exponential_(generator=generator)  # Rayleigh fading

    def utility(self, contexts: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
        rate = torch.log2(1 + contexts * decisions).sum(-1)
        return rate / (self.circuit_power + decisions.sum(-1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of training, for each algorithm")
    parser.add_argument("--out", type=Path, help="folder of the runs")
    arguments = parser.parse_args()
    for algorithm in ("gddpg", "diffusion-apg"):  # from rewards alone, and through the utility's gradient
        out = arguments.out and arguments.out / algorithm
        run = train(EnergyEfficiency(), algorithm, seconds=arguments.seconds, out=out)
        evaluation = run.evaluate(contexts=5000)
        print(f"{algorithm:14} {evaluation['utility_mean']:.3f} bit/J/Hz, best constant {evaluation['blind_mean']:.3f}")
        print(f"{'':14} figures {', '.join(str(path) for path in plot_run(run))}")
