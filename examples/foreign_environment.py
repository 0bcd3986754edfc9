"""GDDPG on an environment that is not netdiffuse's: any Gymnasium environment with a Box of actions will do.

python examples/foreign_environment.py [--timesteps 5000]
"""

import argparse

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from netdiffuse import GDDPG

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=5_000, help="of training")
parser.add_argument("--episodes", type=int, default=10, help="of evaluation")
arguments = parser.parse_args()

model = GDDPG(
    "MlpPolicy", make_vec_env("Pendulum-v1", n_envs=4, seed=0), batch_size=128, gradient_steps=2, n_steps=3, seed=0
)
fresh = make_vec_env("Pendulum-v1", n_envs=5, seed=1)
before, _ = evaluate_policy(model, fresh, arguments.episodes)
model.learn(arguments.timesteps)
after, spread = evaluate_policy(model, fresh, arguments.episodes)
print(
    f"return of an episode: {before:.0f} untrained, {after:.0f} +- {spread:.0f} after {model.num_timesteps} timesteps"
)
