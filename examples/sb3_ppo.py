"""Stable-Baselines3's own PPO on a problem of netdiffuse: by Gymnasium, then by thousands of contexts a second.

python examples/sb3_ppo.py [--timesteps 100000]
"""

import argparse

import gymnasium
import numpy as np
from stable_baselines3 import PPO

import netdiffuse  # registers the environments
from netdiffuse.experiments import LearnedPolicy, evaluate
from netdiffuse.problems.vecenv import ProblemVecEnv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=100_000, help="of training")
arguments = parser.parse_args()

# One context at a time, as any Gymnasium environment: an episode is one decision.
env = gymnasium.make("netdiffuse/PowerAllocation-v0", channels=10, total_power=10.0)
gains, _ = env.reset(seed=0)
_, rate, terminated, _, info = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
print(f"equal split {info['decision'].round(2)} W gives {rate:.2f} bit/s/Hz; the episode is over: {terminated}")

# A batch of contexts in one call, as a VecEnv. Each episode is one step, so nothing is discounted.
problem = netdiffuse.make_problem("power-allocation")
model = PPO(
    "MlpPolicy", ProblemVecEnv(problem, 256, seed=0), n_steps=8, batch_size=512, gamma=0.0, seed=0, device="cpu"
)
before = evaluate(LearnedPolicy(model, problem), problem, contexts=2000)["optimality_percent"]
model.learn(arguments.timesteps, log_interval=10**6)
after = evaluate(LearnedPolicy(model, problem), problem, contexts=2000)
print(f"PPO as it comes: {before:.1f}% of the optimum untrained, {after['optimality_percent']:.1f}% trained")
print(f"the equal split: {after['baselines']['equal']:.1f}%")
