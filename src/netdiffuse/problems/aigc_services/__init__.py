"""Edge AIGC services: choose a provider of AI-generated content for every task."""

from netdiffuse.problems.aigc_services.environments import AIGCServicesEnv, AIGCServicesVectorEnv, make_providers
from netdiffuse.problems.aigc_services.providers import Providers
from netdiffuse.problems.aigc_services.simulator import ServiceSimulator, runtime_seconds

__all__ = [
    "AIGCServicesEnv",
    "AIGCServicesVectorEnv",
    "Providers",
    "ServiceSimulator",
    "make_providers",
    "runtime_seconds",
]
