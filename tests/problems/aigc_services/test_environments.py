import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from netdiffuse.baselines.service_rules import SERVICE_RULES
from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.problems.aigc_services import AIGCServicesEnv, AIGCServicesVectorEnv
from netdiffuse.problems.batched import BatchedVecEnv

ID = "netdiffuse/AIGCServices-v0"
SHORT = {"rate": 1e-4, "horizon": 3e5}  # 30 tasks or so


def test_it_passes_gymnasiums_and_stable_baselines3s_checkers():
    check_env(gymnasium.make(ID, **SHORT).unwrapped)
    sb3_check_env(AIGCServicesEnv(**SHORT))


def test_spaces_are_the_papers():
    env = gymnasium.make(ID)
    assert env.observation_space.shape == (42,)
    assert env.action_space == gymnasium.spaces.Discrete(20)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert info == {"served": 0, "finished": 0, "crashed": 0, "crashes": 0, "time": 0}
    assert (observation[1:40:2] == 1).all()  # all free


def test_an_episode_ends_at_its_last_arrival_which_is_not_assigned():
    env = AIGCServicesEnv(**SHORT)
    env.reset(seed=3)
    tasks = int(env.simulator._tasks[0])
    for number in range(tasks - 1):
        _, reward, terminated, truncated, info = env.step(number % 20)
        assert terminated == (number == tasks - 2)
        assert not truncated
    assert info["served"] == tasks - 1
    assert reward > 0
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_equal_seeds_give_equal_episodes_and_others_do_not():
    def returns(seed):
        env = AIGCServicesEnv(**SHORT)
        env.reset(seed=seed)
        return [env.step(number % 20)[1] for number in range(15)]

    assert returns(4) == returns(4)
    assert returns(4) != returns(5)


def test_a_seed_gives_the_same_episodes_whatever_was_played_before():
    def draws(env):
        env.reset(seed=5)
        return env.unwrapped.simulator._needs.copy(), env.unwrapped.simulator._arrivals.copy()

    for make in (AIGCServicesEnv, lambda: AIGCServicesVectorEnv(4)):
        env = make()
        needs, arrivals = draws(env)
        for seed in range(10, 40):
            env.reset(seed=seed)
        again, later = draws(env)
        width = needs.shape[1]
        assert again.shape[1] > width  # there was a longer one in between
        np.testing.assert_array_equal(again[:, :width], needs)
        np.testing.assert_array_equal(later[:, :width], arrivals)
        assert (later[:, width:] == np.iinfo(np.int64).max).all()


def test_a_vector_environment_starts_finished_episodes_anew_in_the_same_step():
    env = gymnasium.make_vec(ID, num_envs=6, **SHORT)
    assert env.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    observations, _ = env.reset(seed=0)
    assert observations.shape == (6, 42)
    ended = np.zeros(6, int)
    for _ in range(100):
        index = env.unwrapped.simulator.index.copy()
        observations, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
        assert observations in env.observation_space
        assert rewards.shape == (6,)
        assert not truncated.any()
        if terminated.any():
            assert (infos["_final_obs"] == terminated).all()
            for row in np.flatnonzero(terminated):
                assert infos["final_obs"][row].shape == (42,)
                final = {n: infos["final_info"][n][row] for n in ("served", "finished", "crashed", "crashes")}
                assert final["served"] + final["crashes"] == index[row] + 1
                assert (observations[row][1:40:2] == 1).all()  # a new episode: all free
        ended += terminated
        index = env.unwrapped.simulator.index
        assert (index[terminated] == 0).all()
    assert ended.min() >= 1


def test_masks_allow_what_has_room_and_something_always():
    env = AIGCServicesVectorEnv(3)
    env.reset(seed=0)
    for _ in range(60):
        masks = env.action_masks()
        np.testing.assert_array_equal(masks, env.simulator.room())
        env.step(masks.argmax(1))  # the first with room: nobody crashes
    assert (env.simulator.counts["crashes"] == 0).all()
    assert not masks.all()
    crowded = AIGCServicesEnv(instance="random", providers=1, rate=0.01)
    crowded.reset(seed=0)
    while crowded.simulator.room().any():
        crowded.step(0)
    assert crowded.action_masks().tolist() == [True]


def test_the_vec_env_reports_episodes_as_monitor_does():
    env = BatchedVecEnv(AIGCServicesVectorEnv(4, **SHORT), seed=0)
    env.reset()
    returns, lengths, seen = np.zeros(4), np.zeros(4, int), 0
    random = np.random.default_rng(0)
    for _ in range(80):
        _, rewards, dones, infos = env.step(SERVICE_RULES["random"].choose(env.env.simulator, random))
        returns += rewards
        lengths += 1
        for row in range(4):
            if dones[row]:
                assert infos[row]["episode"]["r"] == pytest.approx(returns[row], rel=1e-5)
                assert infos[row]["episode"]["l"] == lengths[row]
                assert infos[row]["TimeLimit.truncated"] is False
                assert infos[row]["terminal_observation"].shape == (42,)
                assert infos[row]["served"] + infos[row]["crashes"] == lengths[row]
                returns[row] = lengths[row] = 0
                seen += 1
            else:
                assert infos[row] == {}
    assert seen >= 4
    assert np.stack(env.env_method("action_masks")).shape == (4, 20)
    assert env.env_method("action_masks", indices=[2])[0].shape == (20,)
    assert env.get_attr("discount", [0]) == [0.95]


def test_a_saved_vec_env_goes_on_bit_for_bit(tmp_path):
    one, other = (BatchedVecEnv(AIGCServicesVectorEnv(3, **SHORT), seed=s) for s in (1, 2))
    one.reset()
    other.reset()
    for number in range(20):
        one.step(np.full(3, number % 20))
    torch.save(one.state_dict(), tmp_path / "state")
    other.load_state_dict(torch.load(tmp_path / "state", weights_only=False))
    for number in range(60):
        steps = [env.step(np.full(3, number % 20)) for env in (one, other)]
        np.testing.assert_array_equal(steps[0][0], steps[1][0])
        np.testing.assert_array_equal(steps[0][1], steps[1][1])
        assert [i.get("episode", {}).get("r") for i in steps[0][3]] == [
            i.get("episode", {}).get("r") for i in steps[1][3]
        ]


def test_it_is_drawn_as_a_table_and_as_a_picture():
    env = gymnasium.make(ID, render_mode="ansi")
    env.reset(seed=0)
    env.step(7)
    text = env.render()
    assert "task of" in text
    assert "1 served" in text
    assert any(line.lstrip().startswith(">") and " 7 " in line for line in text.splitlines())
    picture = AIGCServicesEnv(render_mode="rgb_array")
    picture.reset(seed=0)
    before = picture.render()
    picture.step(7)
    assert before.shape == (400, 600, 3)
    assert before.dtype == np.uint8
    assert (picture.render() != before).any()
    with pytest.raises(gymnasium.error.ResetNeeded):
        AIGCServicesEnv(render_mode="ansi").render()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"providers": 4}, InvalidValueError, "has 20 providers, not 4: use instance='random'"),
        ({"instance": "random", "providers": 0}, InvalidValueError, "providers must be an integer of at least 1"),
        ({"instance": "nowhere.json"}, InvalidValueError, "cannot be read"),
        ({"rate": float("nan")}, InvalidValueError, "rate must be finite"),
        ({"render_mode": "human"}, UnknownNameError, "unknown render mode 'human'"),
    ],
)
def test_bad_arguments_are_named(kwargs, error, message):
    with pytest.raises(error, match=message):
        AIGCServicesEnv(**kwargs)


def test_bad_actions_are_named():
    env = AIGCServicesEnv()
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="got 20"):
        env.step(20)
    vector = AIGCServicesVectorEnv(2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step(np.zeros(2, int))
