"""Split denoising whose steps, power and bandwidth a policy shares among users with personalities."""

from netdiffuse.problems.shared_denoising.env import SharedDenoisingEnv
from netdiffuse.problems.shared_denoising.settings import SharedDenoisingSettings
from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator
from netdiffuse.problems.shared_denoising.vector_env import SharedDenoisingVectorEnv

__all__ = ["SharedDenoisingEnv", "SharedDenoisingSettings", "SharedDenoisingSimulator", "SharedDenoisingVectorEnv"]
