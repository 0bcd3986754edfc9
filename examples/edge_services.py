"""D2SAC gives tasks to four edge providers of AI-generated content, beside the classical rules.

    python examples/edge_services.py [--timesteps 24000]

An episode brings 50 tasks or so; what a task earns is the quality of its picture, and a crash costs.
"""

import argparse

import torch

from netdiffuse.experiments import train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=24_000, help="of training")
arguments = parser.parse_args()

torch.set_num_threads(1)
run = train(
    "aigc-services",
    "d2sac",
    timesteps=arguments.timesteps,
    n_envs=32,  # episodes in step
    contexts=50,  # episodes of the evaluation
    problem_args={"instance": "random", "providers": 4, "instance_seed": 1, "rate": 2e-4, "horizon": 2.5e5},
    settings={"learning_starts": 512, "batch_size": 128, "gradient_steps": 3, "policy_kwargs": {"net_arch": [64, 64]}},
)
evaluation = run.evaluate(50)
returns = {"d2sac": evaluation["return_mean"], **evaluation["baselines"]}
for name, value in sorted(returns.items(), key=lambda item: -item[1]):
    print(f"{name:12} {value:7.2f}  {100 * value / evaluation['prophet_return_mean']:6.1f}% of the prophet")
print(f"{evaluation['crash_percent']:.1f}% of the tasks that d2sac's providers accepted were lost in crashes")
