"""The table against real chains."""

import numpy as np
from scipy.stats import spearmanr

from netdiffuse.problems.shared_denoising import SharedDenoisingVectorEnv


def test_the_table_agrees_with_real_pictures():
    """Equal decisions in equal states, rated by mean opinions: real pictures and the table rank them alike."""
    table, real = (
        SharedDenoisingVectorEnv(6, users=4, groups=2, noisy=False, outcome=o) for o in ("table", "pictures")
    )
    table.reset(seed=3)
    rewards = []
    random = np.random.default_rng(0)
    for _ in range(5):
        real.load_state_dict(table.state_dict())
        k = random.integers(0, 12, (6, 4))
        share = np.full((6, 4), 0.25)
        action = table.encode(k, share * 0.1, share * 2e5)
        rewards.append((table.step(action)[1], real.step(action)[1]))
    by_table, by_pictures = np.array(rewards).transpose(1, 0, 2).reshape(2, -1)
    assert spearmanr(by_table, by_pictures).statistic > 0.8
    assert np.abs(by_table - by_pictures).mean() < 1.5  # of up to 16
