"""Draw several decisions and keep the best: powers of links that disturb each other, where good decisions are many.

python examples/candidates.py [--seconds 60]
"""

import argparse

import torch

from netdiffuse.experiments import train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=60.0, help="of training")
parser.add_argument("--out", default=None, help="the run's folder")
arguments = parser.parse_args()

run = train("interference-channel", "diffusion-apg", seconds=arguments.seconds, out=arguments.out, contexts=1000)
problem = run.problem
gains = problem.sample_contexts(500, torch.Generator().manual_seed(1))
wmmse = problem.utility(gains, problem.reference(gains)).mean()

with torch.no_grad():
    parts = gains.split(16)  # small enough for the processor's cache
    actions = torch.cat([run.model.policy.candidates(part, draws=32) for part in parts])  # (contexts, draws, 10)
powers = problem.feasible.decode(actions)
rates = problem.utility(gains.unsqueeze(1), powers)  # (contexts, draws): utilities batch over leading dimensions

print(f"one draw       {100 * float(rates[:, 0].mean() / wmmse):.1f}% of WMMSE")
print(f"best of 8      {100 * float(rates[:, :8].amax(1).mean() / wmmse):.1f}%")
print(f"best of 32     {100 * float(rates.amax(1).mean() / wmmse):.1f}%")

powers = powers[torch.arange(len(gains)), rates.argmax(1)]  # what one would transmit at
print(f"first context  {powers[0].numpy().round(2)} W, {float(rates[0].max()):.2f} bit/s/Hz")
