import numpy as np
import pytest
import torch

from netdiffuse.algorithms.common.critics import Critic, EquivariantQNetwork, MLPQNetwork


def make(**kwargs):
    return Critic(lambda: MLPQNetwork(3, 2, [16]), **kwargs)


def test_values_stay_put_while_the_statistics_move():
    critic, context, action = make(), torch.randn(5, 3), torch.randn(5, 2)
    critic.standardise(torch.randn(64))
    for returns in (100 + 7 * torch.randn(64), -3 + 0.01 * torch.randn(64), 1e4 * torch.randn(64)):
        before = critic.values(context, action)
        critic.standardise(returns)
        torch.testing.assert_close(critic.values(context, action), before, rtol=1e-3, atol=2e-3 * float(critic.std))
    assert before.shape == (2, 5)


def test_the_first_batches_are_averaged_exactly():
    critic = make(rate=0.01)
    batches = torch.randn(20, 32) * torch.linspace(1, 5, 20)[:, None] + torch.linspace(-3, 9, 20)[:, None]
    for batch in batches:
        standardised = critic.standardise(batch)
    assert float(critic.mean) == pytest.approx(batches.numpy().mean(), rel=1e-5)
    assert float(critic.variance) == pytest.approx(batches.numpy().var(), rel=1e-4)
    torch.testing.assert_close(standardised, (batches[-1] - critic.mean) / critic.std)


def test_statistics_of_a_stationary_stream_stay_at_its_own_and_those_of_a_new_one_are_learned():
    critic, rng = make(rate=0.05), np.random.default_rng(0)
    for _ in range(200):
        critic.standardise(torch.tensor(rng.normal(50, 4, 256), dtype=torch.float32))
    assert float(critic.mean) == pytest.approx(50, abs=0.3)
    assert float(critic.std) == pytest.approx(4, rel=0.05)
    for _ in range(300):
        critic.standardise(torch.tensor(rng.normal(-5, 1, 256), dtype=torch.float32))
    assert float(critic.mean) == pytest.approx(-5, abs=0.1)
    assert float(critic.std) == pytest.approx(1, rel=0.05)


def test_constant_returns_are_no_division_by_zero():
    critic = make()
    assert torch.equal(critic.standardise(torch.full((8,), 3.0)), torch.zeros(8))
    assert critic.values(torch.randn(4, 3), torch.randn(4, 2)).isfinite().all()


@pytest.mark.parametrize("structure", ["entities", "pairs"])
def test_an_equivariant_critic_does_not_care_for_order_and_takes_any_number(structure):
    net = EquivariantQNetwork(structure, 1, 2, width=8, blocks=2)
    for n in (2, 5):
        context = torch.randn(4, n) if structure == "entities" else torch.randn(4, n, n)
        action, order = torch.randn(4, 2 * n), torch.randperm(n)
        moved = context[:, order] if structure == "entities" else context[:, order][:, :, order]
        turned = action.reshape(4, 2, n)[:, :, order].flatten(1)
        value = net(context.flatten(1), action)
        assert value.shape == (4,)
        torch.testing.assert_close(net(moved.flatten(1), turned), value, atol=1e-5, rtol=1e-4)
        assert (net(context.flatten(1), turned.flip(0)) - value).abs().max() > 1e-5
