import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netdiffuse.common import UnsupportedError
from netdiffuse.diffusion import EquivariantDenoiser, MLPDenoiser
from netdiffuse.diffusion.denoisers import from_entities, to_entities

STEPS = 4


def permute_context(context, structure, n, features, order):
    """The same entities in another order, by plain indexing."""
    shape = (len(context), n, features) if structure == "entities" else (len(context), n, n, features)
    context = context.reshape(shape)[:, order]
    return (context if structure == "entities" else context[:, :, order]).flatten(1)


def permute_action(action, n, order):
    return action.reshape(len(action), -1, n)[:, :, order].flatten(1)  # coordinate c of entity i stands at c * n + i


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    st.sampled_from(["entities", "pairs"]),
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_reordering_the_entities_reorders_the_outputs(structure, features, parts, n, random):
    torch.manual_seed(random.randrange(1000))
    net = EquivariantDenoiser(structure, features, parts, STEPS, width=8, blocks=2)
    context = torch.randn(3, n * features * (n if structure == "pairs" else 1))
    x, t = torch.randn(3, n * parts), torch.tensor([1, 2, 4])
    order = random.sample(range(n), n)
    out = net(x, t, net.embed(context))
    other = net(permute_action(x, n, order), t, net.embed(permute_context(context, structure, n, features, order)))
    torch.testing.assert_close(other, permute_action(out, n, order), atol=1e-5, rtol=1e-4)


def test_a_population_twice_as_large_of_the_same_entities_is_told_the_same():
    net = EquivariantDenoiser("entities", 1, 1, STEPS, width=8)
    context, x = torch.randn(3, 5), torch.randn(3, 5)
    out = net(x, 2, net.embed(context))
    torch.testing.assert_close(net(x.repeat(1, 2), 2, net.embed(context.repeat(1, 2))), out.repeat(1, 2))


def test_a_link_is_told_apart_by_who_sends_and_who_receives():
    net = EquivariantDenoiser("pairs", 1, 1, STEPS, width=16)
    context = torch.randn(1, 3, 3)
    x = torch.zeros(1, 3)
    straight, turned = (net(x, 1, net.embed(c.flatten(1))) for c in (context, context.transpose(1, 2)))
    assert (straight - turned).abs().max() > 1e-3


DENOISERS = {
    "mlp": lambda: MLPDenoiser(9, 3, STEPS, (16, 8)),
    "entities": lambda: EquivariantDenoiser("entities", 3, 1, STEPS, width=8),
    "pairs": lambda: EquivariantDenoiser("pairs", 1, 1, STEPS, width=8),
}


@pytest.mark.parametrize("name", DENOISERS)
def test_embeddings_repeat_and_timesteps_batch(name):
    net = DENOISERS[name]()
    context, x = torch.randn(4, 9), torch.randn(8, 3)
    expected = net(x, 3, net.embed(context.repeat_interleave(2, 0)))
    torch.testing.assert_close(net(x, 3, net.repeat(net.embed(context), 2)), expected)
    torch.testing.assert_close(net(x, torch.full((8,), 3), net.repeat(net.embed(context), 2)), expected)
    assert (net(x, 1, net.repeat(net.embed(context), 2)) - expected).abs().max() > 1e-4  # time is seen


def test_entity_layout_round_trips():
    action = torch.arange(12.0).reshape(2, 6)  # 2 parts of 3 entities
    assert to_entities(action, 2)[0].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch.equal(from_entities(to_entities(action, 2)), action)


def test_a_plain_vector_has_no_entities():
    with pytest.raises(UnsupportedError, match="use policy 'MlpPolicy'"):
        EquivariantDenoiser("vector", 1, 1, STEPS)
