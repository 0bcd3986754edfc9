"""Environments of a problem: checkers, one step an episode, seeding, batches, SB3, saved state."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env as check_with_sb3
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from netdiffuse.common import InvalidValueError, UnknownNameError, UnsupportedError
from netdiffuse.problems.base import Problem
from netdiffuse.problems.environments import ProblemEnv, ProblemVectorEnv
from netdiffuse.problems.feasible import Box, FeasibleSet, Simplex
from netdiffuse.problems.registry import make_problem
from netdiffuse.problems.vecenv import ProblemVecEnv
from netdiffuse.registration import ENVIRONMENTS, register_environments


class Follow(Problem):
    """Decide what the context says; utility is minus the squared error."""

    decision_unit = "W"

    def __init__(self, shape: tuple[int, ...] = (3,), feasible: FeasibleSet | None = None) -> None:
        self.context_shape = shape
        self.feasible = Box(0.0, 1.0, shape) if feasible is None else feasible

    def sample_contexts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(n, *self.context_shape, generator=generator)

    def utility(self, contexts: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
        return -(contexts - decisions).square().flatten(1).sum(-1)


PROBLEMS = {
    "vector": Follow(),
    "simplex": Follow((4,), Simplex(4)),
    "matrix": Follow((2, 2)),
    **{name: make_problem(name) for name in ENVIRONMENTS.values()},
}
each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def random_actions(problem: Problem, n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, problem.feasible.action_size)).astype(np.float32)


def utilities(problem: Problem, contexts: np.ndarray, actions: np.ndarray) -> np.ndarray:
    decisions = problem.feasible.decode(torch.tensor(actions))
    return problem.utility(torch.tensor(contexts), decisions).numpy()


@each_problem
def test_checkers_of_gymnasium_and_sb3_pass(problem: Problem) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_with_gymnasium(ProblemEnv(problem), skip_render_check=True)  # pictures need a registered environment
        check_with_sb3(ProblemEnv(problem, render_mode="rgb_array"))
    # advice that does not apply: contexts have no bounds that are known, and those of pairs are matrices
    advice = ["minimum value is -infinity", "maximum value is infinity"]
    if len(problem.context_shape) > 1:
        advice.append("unconventional shape")
    messages = [str(warning.message) for warning in caught]
    assert [m for m in messages if not any(part in m for part in advice)] == []


@each_problem
def test_an_episode_is_one_decision(problem: Problem) -> None:
    env = ProblemEnv(problem)
    action = random_actions(problem, 1)[0]
    with pytest.raises(ResetNeeded):
        env.step(action)
    context, info = env.reset(seed=3)
    assert info == {}
    assert context.shape == problem.context_shape
    observation, reward, terminated, truncated, info = env.step(action)
    assert np.array_equal(observation, context)
    assert (terminated, truncated) == (True, False)
    assert reward == pytest.approx(utilities(problem, context[None], action[None])[0], rel=1e-5)
    assert np.array_equal(info["decision"], problem.feasible.decode(torch.tensor(action)).numpy())
    with pytest.raises(ResetNeeded):
        env.step(action)
    env.reset()
    env.step(action)


def test_single_environments_are_seeded_and_disturb_no_global_generator() -> None:
    env = ProblemEnv(Follow())
    torch.manual_seed(7)
    first = [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]
    again = [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(ProblemEnv(Follow()).reset()[0], ProblemEnv(Follow()).reset()[0])
    assert np.array_equal(ProblemEnv(Follow(), seed=5).reset()[0], first[0])
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize("problem", [Follow(), Follow((2, 2))])
def test_pictures_show_the_context_and_then_the_decision(problem: Problem) -> None:
    env = ProblemEnv(problem, render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset(seed=0)
    before = env.render()
    env.step(np.ones(problem.feasible.action_size, np.float32))
    after = env.render()
    assert before.shape == after.shape == (400, 600, 3)
    assert before.dtype == np.uint8
    assert not np.array_equal(before, after)
    assert ProblemEnv(problem).render() is None


@each_problem
def test_vector_environment_steps_all_contexts_and_starts_anew(problem: Problem) -> None:
    envs = ProblemVectorEnv(problem, 5)
    actions = random_actions(problem, 5)
    with pytest.raises(ResetNeeded):
        envs.step(actions)
    contexts, _ = envs.reset(seed=1)
    assert contexts in envs.observation_space
    following, rewards, terminated, truncated, infos = envs.step(actions)
    assert following in envs.observation_space
    assert not np.array_equal(following, contexts)
    np.testing.assert_allclose(rewards, utilities(problem, contexts, actions), rtol=1e-5)
    assert terminated.all()
    assert not truncated.any()
    assert np.array_equal(np.stack(infos["final_obs"]), contexts)
    decisions = problem.feasible.decode(torch.tensor(actions)).numpy()
    assert np.array_equal(infos["final_info"]["decision"], decisions)
    _, rewards, *_ = envs.step(actions)
    np.testing.assert_allclose(rewards, utilities(problem, following, actions), rtol=1e-5)
    assert np.array_equal(envs.reset(seed=1)[0], contexts)


def test_vector_infos_have_the_form_that_gymnasium_gives_them() -> None:
    problem = Follow()
    ours = ProblemVectorEnv(problem, 2)
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: ProblemEnv(problem)] * 2, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    actions = random_actions(problem, 2)
    results = []
    for envs in (ours, theirs):
        assert envs.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
        observations, _ = envs.reset(seed=0)
        results.append((observations, *envs.step(actions)))
    assert structure(results[0]) == structure(results[1])
    assert ours.single_action_space == theirs.single_action_space
    assert ours.observation_space == theirs.observation_space


def structure(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: structure(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [structure(item) for item in value]
    return value.dtype, value.shape


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_registered_environments_can_be_made(name: str) -> None:
    register_environments()
    register_environments()  # twice does no harm
    env = gymnasium.make(f"netdiffuse/{name}-v0", render_mode="rgb_array")
    check_with_gymnasium(env.unwrapped)
    observation, _ = env.reset(seed=0)
    assert observation.shape == make_problem(ENVIRONMENTS[name]).context_shape
    envs = gymnasium.make_vec(f"netdiffuse/{name}-v0", num_envs=4)
    assert isinstance(envs, ProblemVectorEnv)
    assert envs.reset(seed=0)[0].shape == (4, *observation.shape)


def test_arguments_of_the_problem_pass_through_make() -> None:
    register_environments()
    env = gymnasium.make("netdiffuse/PowerAllocation-v0", channels=4, render_mode="rgb_array")
    assert env.observation_space.shape == (4,)
    env.reset(seed=0)
    assert env.render().ndim == 3
    envs = gymnasium.make_vec("netdiffuse/PowerAllocation-v0", num_envs=2, channels=4)
    assert envs.observation_space.shape == (2, 4)
    with pytest.raises(InvalidValueError, match="channel_count"):
        gymnasium.make("netdiffuse/PowerAllocation-v0", channel_count=4)


@each_problem
def test_sb3_environment_steps_all_contexts_and_starts_anew(problem: Problem) -> None:
    envs = ProblemVecEnv(problem, 5, seed=1)
    actions = random_actions(problem, 5)
    contexts = envs.reset()
    assert np.array_equal(envs.contexts.numpy(), contexts)
    following, rewards, dones, infos = envs.step(actions)
    assert dones.all()
    assert np.array_equal(envs.contexts.numpy(), following)
    assert not np.array_equal(following, contexts)
    np.testing.assert_allclose(rewards, utilities(problem, contexts, actions), rtol=1e-5)
    decisions = problem.feasible.decode(torch.tensor(actions)).numpy()
    for i, info in enumerate(infos):
        assert np.array_equal(info["terminal_observation"], contexts[i])
        assert info["TimeLimit.truncated"] is False
        assert np.array_equal(info["decision"], decisions[i])
        assert info["episode"]["r"] == rewards[i]
        assert info["episode"]["l"] == 1


def test_what_sb3_environments_return_can_be_changed_without_harm() -> None:
    envs = ProblemVecEnv(Follow(), 2, seed=0)
    observation = envs.reset()
    observation[:] = 99
    following, *_, infos = envs.step(random_actions(Follow(), 2))
    assert infos[0]["terminal_observation"].max() < 1
    following[:] = 99
    assert envs.contexts.max() < 1


def test_stepping_tensors_equals_stepping_arrays() -> None:
    problem = Follow((4,), Simplex(4))
    arrays, tensors = ProblemVecEnv(problem, 6, seed=2), ProblemVecEnv(problem, 6, seed=2)
    assert np.array_equal(arrays.reset(), tensors.reset())
    for _ in range(3):
        actions = random_actions(problem, 6)
        following, rewards, _, infos = arrays.step(actions)
        tensor_rewards, decisions = tensors.step_tensor(torch.tensor(actions))
        assert np.array_equal(tensor_rewards.numpy(), rewards)
        assert np.array_equal(decisions.numpy(), np.stack([info["decision"] for info in infos]))
        assert np.array_equal(tensors.contexts.numpy(), following)


def test_sb3_environments_are_seeded_at_the_next_reset() -> None:
    envs = ProblemVecEnv(Follow(), 3, seed=0)
    first = envs.reset()
    assert not np.array_equal(envs.reset(), first)
    envs.seed(0)
    assert np.array_equal(envs.reset(), first)
    assert not np.array_equal(envs.reset(), first)  # a seed counts once
    assert not np.array_equal(ProblemVecEnv(Follow(), 3).reset(), ProblemVecEnv(Follow(), 3).reset())


def test_saved_state_goes_on_bit_for_bit() -> None:
    problem = Follow()
    envs = ProblemVecEnv(problem, 3, seed=0)
    envs.reset()
    actions = random_actions(problem, 3)
    envs.step(actions)
    state = envs.state_dict()
    expected = [envs.step(actions)[:2] for _ in range(3)]
    restored = ProblemVecEnv(problem, 3, seed=9)
    restored.load_state_dict(state)
    for observation, rewards in expected:
        again, rewards_again, *_ = restored.step(actions)
        assert np.array_equal(again, observation)
        assert np.array_equal(rewards_again, rewards)
    with pytest.raises(InvalidValueError, match="saved contexts"):
        ProblemVecEnv(problem, 4).load_state_dict(state)


def test_sb3_environments_answer_for_their_attributes() -> None:
    problem = Follow()
    envs = ProblemVecEnv(problem, 3)
    assert envs.get_attr("problem") == [problem] * 3
    assert envs.get_attr("problem", [0, 2]) == [problem] * 2
    assert envs.has_attr("contexts_seen") is False
    envs.set_attr("note", "hello")
    assert envs.get_attr("note", 1) == ["hello"]
    assert envs.env_is_wrapped(Monitor) == [False] * 3
    state, _ = envs.env_method("state_dict", indices=[0, 1])
    assert state["contexts"] is None
    with pytest.raises(UnsupportedError, match="share one object"):
        envs.set_attr("note", "other", indices=[0])
    assert VecMonitor(envs).get_attr("problem") == [problem] * 3
    envs.close()


def test_replay_buffers_hold_the_context_that_was_decided_in() -> None:
    model = SAC("MlpPolicy", ProblemVecEnv(Follow(), 4), learning_starts=40, seed=0, device="cpu")
    model.learn(80)
    buffer = model.replay_buffer
    assert np.array_equal(buffer.observations[:20], buffer.next_observations[:20])
    assert buffer.dones[:20].all()  # so nothing is bootstrapped
    assert not buffer.timeouts[:20].any()
    contexts, actions = buffer.observations[:20].reshape(-1, 3), buffer.actions[:20].reshape(-1, 3)
    np.testing.assert_allclose(buffer.rewards[:20].reshape(-1), utilities(Follow(), contexts, actions), rtol=1e-4)
    assert len(model.ep_info_buffer) == 80  # episodes are logged without a Monitor


def test_sb3_learns_on_the_environment_and_its_wrappers() -> None:
    envs = VecNormalize(ProblemVecEnv(Follow((2,)), 64), norm_reward=False)
    model = PPO("MlpPolicy", envs, n_steps=8, batch_size=128, n_epochs=4, learning_rate=2e-3, seed=0, device="cpu")
    model.learn(64 * 8 * 30)
    evaluation = ProblemVecEnv(Follow((2,)), 500, seed=1)
    action, _ = model.predict(envs.normalize_obs(evaluation.reset()), deterministic=True)
    _, rewards, *_ = evaluation.step(action)
    assert rewards.mean() > -0.05  # the best decision that does not look at the context earns -1/6


class Broken(Follow):
    """A user's problem with a mistake."""

    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake

    def sample_contexts(self, n: int, generator: torch.Generator) -> torch.Tensor:
        contexts = super().sample_contexts(n, generator)
        return {"shape": contexts[:, :2], "dtype": contexts.double()}.get(self.mistake, contexts)

    def utility(self, contexts: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
        utility = super().utility(contexts, decisions)
        if self.mistake == "nan":
            utility[1] = torch.nan
        return utility[:, None] if self.mistake == "column" else utility


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("shape", r"Broken.sample_contexts\(2, ...\) must return float32 of shape \(2, 3\), got .*\(2, 2\)"),
        ("dtype", "must return float32 .* got torch.float64"),
        ("column", r"Broken.utility must return shape \(2,\), got \(2, 1\)"),
        ("nan", "Broken.utility must be finite, got nan for row 1"),
    ],
)
def test_mistakes_in_a_users_problem_are_named(mistake: str, message: str) -> None:
    envs = ProblemVecEnv(Broken(mistake), 2, seed=0)

    def use() -> None:
        envs.reset()
        envs.step(np.zeros((2, 3), np.float32))

    with pytest.raises(InvalidValueError, match=message):
        use()


def test_bad_arguments_and_actions_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="rgb_array"):
        ProblemEnv(Follow(), render_mode="human")
    for make in (ProblemVectorEnv, ProblemVecEnv):
        with pytest.raises(InvalidValueError, match="num_envs must be an integer of at least 1, got 0"):
            make(Follow(), 0)
    env = ProblemEnv(Follow())
    env.reset()
    with pytest.raises(InvalidValueError, match=r"shape \(..., 3\)"):
        env.step(np.zeros(4, np.float32))
    with pytest.raises(InvalidValueError, match="finite"):
        env.step(np.full(3, np.nan, np.float32))
    envs = ProblemVecEnv(Follow(), 2)
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 3), np.float32))
    envs.reset()
    with pytest.raises(InvalidValueError, match="expected 2 actions, one a context, got 3"):
        envs.step(np.zeros((3, 3), np.float32))
