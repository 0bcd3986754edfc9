import pytest
import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.planner import Plan, Segment, fixed_plan, make_plan
from netdiffuse.denoising.sharing import share

from .serving import RULE, STEPS, bag_of_words, tiny_model

PROMPTS = ["apple on a table", "lemon on a table", "a tree", "apple on a river", "a river"]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def counted(model):
    """Chains that the network has seen, guidance counted once."""
    rows = []
    hook = model.network.register_forward_pre_hook(
        lambda module, arguments, named: rows.append(len(arguments[0]) // 2), with_kwargs=True
    )
    yield rows
    hook.remove()


def begin(model, scheduler="dpm++"):
    return lambda seeds: model.begin(seeds, STEPS, scheduler=scheduler)


def test_shared_steps_run_once(model, counted):
    plan = fixed_plan(5, STEPS, 4)
    prompts = model.encode(PROMPTS)
    states = share(model, plan, prompts, begin(model))
    assert sum(counted) == 4 == plan.server_steps
    for user, state in enumerate(states):
        model.advance(state, prompts.select([user]))
    assert sum(counted) == plan.server_steps + plan.device_steps == 14


def test_groups_share_a_batch(model, counted):
    plan = make_plan(bag_of_words(["apple", "apple", "tree", "tree"]), STEPS, rule=RULE)
    assert len(plan.roots) == 2
    share(model, plan, model.encode(["apple", "apple", "tree", "tree"]), begin(model))
    assert counted == [2] * 4


@pytest.mark.parametrize("shape", ["tree", "flat"])
def test_each_user_gets_what_the_plan_says(model, shape):
    """Against a plain telling of the plan, one chain after another."""
    plan = make_plan(bag_of_words(PROMPTS), STEPS, rule=RULE, shape=shape)
    prompts = model.encode(PROMPTS)
    states = share(model, plan, prompts, begin(model), seeds=range(5, 10))
    assert tuple(state.step for state in states) == plan.shared_steps

    def tell(segment, state):
        leading = prompts.select(segment.leaders).mean()
        state = model.advance(state, leading, segment.stop)
        within = segment.children
        for member in segment.members:
            if all(member not in child.members for child in within):
                torch.testing.assert_close(states[member].latents, state.latents, atol=1e-4, rtol=1e-5)
        for child in within:
            tell(child, state)

    for root in plan.roots:
        tell(root, begin(model)([5 + root.leaders[0]]))
    for user, k in enumerate(plan.shared_steps):
        if k == 0:
            assert torch.equal(states[user].latents, begin(model)([5 + user]).latents)


def test_who_leads_loses_nothing(model):
    """A leader's picture is what it would have been alone, bit for bit: the same prompt, from the same noise."""
    plan = fixed_plan(3, STEPS, 4, leader=1)
    prompts = model.encode(PROMPTS[:3])
    state = share(model, plan, prompts, begin(model), seeds=[7, 8, 9])[1]
    alone = model.advance(begin(model)([8]), prompts.select([1]))
    assert torch.equal(model.advance(state, prompts.select([1])).latents, alone.latents)


def test_delivered_as_soon_as_it_is_there(model):
    inner = Segment((0, 1), (0,), 2, 5)
    plan = Plan(4, STEPS, (Segment((0, 1, 2), (0,), 0, 2, (inner,)),))
    seen, steps = [], []
    share(
        model,
        plan,
        model.encode(PROMPTS[:4]),
        begin(model),
        deliver=lambda off: seen.append((off.user, off.state.step, len(steps))),
        watch=lambda segments, state: steps.append(state.step),
    )
    assert seen == [(3, 0, 0), (2, 2, 2), (0, 5, 5), (1, 5, 5)]


def test_unlike_numbers(model):
    with pytest.raises(InvalidValueError, match="2 users, but there are 1"):
        share(model, fixed_plan(2, STEPS, 1), model.encode(PROMPTS[:1]), begin(model))
    with pytest.raises(InvalidValueError, match="2 users, but there are 3 seeds"):
        share(model, fixed_plan(2, STEPS, 1), model.encode(PROMPTS[:2]), begin(model), seeds=[1, 2, 3])
    with pytest.raises(InvalidValueError, match="the plan has 7 steps, the chains have 6"):
        share(model, fixed_plan(2, 7, 1), model.encode(PROMPTS[:2]), begin(model))
