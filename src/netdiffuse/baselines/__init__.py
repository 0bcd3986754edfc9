"""What to beat: classical rules, and Stable-Baselines3's algorithms with tuned settings."""

from netdiffuse.baselines.learners import make_learner, n_envs
from netdiffuse.baselines.rules import RULES, Rule, applicable_rules
from netdiffuse.baselines.settings import LEARNERS, Settings

__all__ = ["LEARNERS", "RULES", "Rule", "Settings", "applicable_rules", "make_learner", "n_envs"]
