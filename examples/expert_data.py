"""Learn from logged decisions: behaviour cloning of a data set, with no reward and no solver.

python examples/expert_data.py [--rows 20000] [--timesteps 300000]
"""

import argparse

import torch

from netdiffuse import DiffusionBC, make_problem
from netdiffuse.experiments import LearnedPolicy, evaluate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rows", type=int, default=20_000, help="of the data set")
parser.add_argument("--timesteps", type=int, default=300_000, help="logged decisions shown in training")
arguments = parser.parse_args()

problem = make_problem("power-allocation")

# A made-up log: an operator who knows the optimum but for errors of about 0.3 W a channel. Yours comes from a file.
generator = torch.Generator().manual_seed(1)
gains = problem.sample_contexts(arguments.rows, generator)
optimum = problem.reference(gains)
powers = problem.feasible.project(optimum + 0.3 * torch.randn(optimum.shape, generator=generator))

model = DiffusionBC("EquivariantPolicy", problem, dataset=(gains, powers), seed=0)
model.learn(arguments.timesteps)

logged = problem.utility(gains, powers).mean() / problem.utility(gains, optimum).mean()
learned = evaluate(LearnedPolicy(model, problem), problem, contexts=2000)
print(f"the log      {100 * float(logged):.2f}% of the optimum")
print(f"the policy   {learned['optimality_percent']:.2f}%, on gains that it has never seen")
print(f"equal split  {learned['baselines']['equal']:.2f}%")
