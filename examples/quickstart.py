"""Train a diffusion policy for ten seconds, judge it, look at it, and decide for gains of your own.

python examples/quickstart.py [--seconds 10] [--out FOLDER]
"""

import argparse

import torch

from netdiffuse import load
from netdiffuse.experiments import train
from netdiffuse.experiments.figures import plot_run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=10.0, help="of training")
parser.add_argument("--out", default=None, help="the run's folder")
arguments = parser.parse_args()

run = train("power-allocation", "gddpg", seconds=arguments.seconds, seed=0, out=arguments.out)

evaluation = load(run.path).evaluate(contexts=2000)
print(f"optimality  {evaluation['optimality_percent']:.2f}% of water-filling, the known optimum")
print(f"gap closed  {evaluation['gap_closed_percent']:.1f}% of what looking at the gains is worth")

gains = torch.tensor([[2.0, 1.5, 1.0, 0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.0]])
powers = run.decide(gains)
print(f"powers      {powers[0].numpy().round(2)} W, {float(powers.sum()):.2f} W in all")
print(f"optimal     {run.problem.reference(gains)[0].numpy().round(2)}")

for figure in plot_run(run):
    print(f"figure      {figure}")
