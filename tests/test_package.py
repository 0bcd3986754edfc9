import subprocess
import sys

import gymnasium
import pytest

import netdiffuse
from netdiffuse.registration import ENVIRONMENTS


def test_importing_registers_the_environments_and_loads_no_torch():
    code = (
        "import sys, netdiffuse, gymnasium\n"
        "heavy = {'torch', 'stable_baselines3', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'netdiffuse/PowerAllocation-v0' in gymnasium.registry\n"
        "netdiffuse.make_problem\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_public_name_is_there_and_others_are_not():
    for name in netdiffuse.__all__:
        assert getattr(netdiffuse, name) is not None
    assert netdiffuse.GDDPG.__module__.startswith("netdiffuse.algorithms")
    with pytest.raises(AttributeError, match="module 'netdiffuse' has no attribute 'GDPG'"):
        netdiffuse.GDPG  # noqa: B018


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_is_made_by_its_id(name):
    env = gymnasium.make(f"netdiffuse/{name}-v0")
    assert env.reset(seed=0)[0].shape == env.observation_space.shape
