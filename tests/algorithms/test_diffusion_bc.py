import numpy as np
import pytest
import torch

from netdiffuse import DiffusionBC
from netdiffuse.common import UnsupportedError

from .toys import SMALL, Share, Target, regret


def expert_data(n=2000):
    contexts = Target().sample_contexts(n, torch.Generator().manual_seed(1))
    return contexts, contexts.clone()  # Target's best decision is its context


@pytest.mark.parametrize("as_numpy", [False, True])
def test_a_data_set_teaches_a_problem_without_reference(as_numpy):
    data = tuple(x.numpy() for x in expert_data()) if as_numpy else expert_data()
    model = DiffusionBC("MlpPolicy", Target(known=False), dataset=data, policy_kwargs=SMALL, seed=0).learn(200 * 256)
    assert regret(model, Target()) < 0.02


def test_the_data_sets_decisions_are_learned_and_not_the_references():
    contexts, decisions = expert_data()
    model = DiffusionBC("MlpPolicy", Target(), dataset=(contexts, -decisions), policy_kwargs=SMALL, seed=0)
    model.learn(200 * 256)
    assert np.abs(model.predict(contexts[:200].numpy(), deterministic=True)[0] + contexts[:200].numpy()).mean() < 0.1


def test_a_save_file_leaves_the_data_set_out_and_says_so(tmp_path):
    problem, data = Target(known=False), expert_data()
    model = DiffusionBC("MlpPolicy", problem, dataset=data, policy_kwargs=SMALL, seed=0).learn(5 * 256)
    model.save(tmp_path / "model")
    assert (tmp_path / "model.zip").stat().st_size < 300_000
    loaded = DiffusionBC.load(tmp_path / "model", env=problem)
    obs = data[0][:5].numpy()
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    for env in (problem, Target()):  # a reference is no substitute, silently
        with pytest.raises(UnsupportedError, match="load it with dataset="):
            DiffusionBC.load(tmp_path / "model", env=env).learn(256)
    DiffusionBC.load(tmp_path / "model", env=problem, dataset=data).learn(256)


def test_decisions_slightly_outside_are_projected_and_out_of_reach_brought_near():
    contexts = torch.ones(2, 3)
    decisions = torch.tensor([[1.0001, 0.9999, 0.0001], [2.0, 0.0, 0.0]])  # of Simplex(3, total=2, scale=1)
    model = DiffusionBC("MlpPolicy", Share(3, scale=1.0), dataset=(contexts, decisions), policy_kwargs=SMALL)
    decoded = model.feasible.decode(model._actions)
    torch.testing.assert_close(decoded[0], decisions[0], atol=1e-3, rtol=0)
    assert decoded[1].argmax() == 0
    assert float(decoded.sum(1).min()) == pytest.approx(2, abs=1e-5)


def test_cloning_draws_both_of_two_opinions_where_a_plain_network_says_their_mean():
    contexts, obs = torch.zeros(2000, 1), np.zeros((2000, 1), dtype=np.float32)
    dataset = (contexts, 0.6 * torch.sign(torch.randn(2000, 1)))
    kwargs = {"dataset": dataset, "policy_kwargs": SMALL, "seed": 0}
    drawn = DiffusionBC("MlpPolicy", Target(1), denoising_steps=10, **kwargs).learn(400 * 256).predict(obs)[0]
    assert 0.4 < (drawn > 0).mean() < 0.6
    assert (np.abs(drawn) > 0.3).mean() > 0.6
    plain = DiffusionBC("MlpPolicy", Target(1), actor="mlp", **kwargs).learn(100 * 256).predict(obs)[0]
    assert np.abs(plain).max() < 0.1
