"""The saturation metric: are actions stuck at their bounds, more than good actions are?"""

import warnings
from functools import cached_property

import torch
from torch import Tensor

from netdiffuse.common import NetdiffuseWarning
from netdiffuse.common.seeding import generator
from netdiffuse.problems.base import Problem

WARN_ABOVE_PERCENT = 50.0
ALWAYS = 0.99  # share of contexts


class SaturationMonitor:
    """Measures the share of action coordinates at their bound, beyond the share of the reference's own actions.

    Args:
        problem: the problem, whose reference (if it has one) sets what is normal.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._warned = False

    @cached_property
    def normal_percent(self) -> float:
        """The share of the reference's own actions; solved for when it is first needed, for it may be dear."""
        reference = self.problem.reference(self.problem.sample_contexts(1000, generator(0)))
        return 0.0 if reference is None else self._share(self.problem.feasible.encode_nearest(reference))

    def _share(self, actions: Tensor) -> float:
        return 100 * float(self.problem.feasible.at_bound(actions).float().mean())

    def measure(self, actions: Tensor) -> float:
        """Percent of coordinates of actions (n, action_size) at their bound, less the reference's share, at least 0."""
        return max(self._share(actions) - self.normal_percent, 0.0)

    def check(self, actions: Tensor) -> float:
        """`measure`, with one warning that names the remedy when most coordinates are stuck.

        A coordinate may well be at its bounds where the context asks for it; stuck is one that is always at the same.
        """
        percent = self.measure(actions)
        at_bound = self.problem.feasible.at_bound(actions)
        share = torch.stack([(at_bound & side).float().mean(0) for side in (actions > 0, actions < 0)]).amax(0)
        stuck = 100 * float((share >= ALWAYS).float().mean()) - self.normal_percent
        if stuck > WARN_ABOVE_PERCENT and not self._warned:
            self._warned = True
            warnings.warn(
                f"{stuck:.0f}% of the action coordinates are at their bound whatever the context, beyond the "
                "reference's share: the policy is saturating. Lower learning_rate, raise pull_weight or "
                "exploration_noise, or give the feasible set a larger scale.",
                NetdiffuseWarning,
                stacklevel=2,
            )
        return percent
