"""Split denoising whose steps, power and bandwidth a policy shares among users with personalities."""

from netdiffuse.problems.shared_denoising.environments import SharedDenoisingEnv, SharedDenoisingVectorEnv
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

__all__ = ["SharedDenoisingEnv", "SharedDenoisingSimulator", "SharedDenoisingVectorEnv"]
