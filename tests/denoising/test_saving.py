import math
import subprocess
import sys

import numpy as np
import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.cost import SERVER, Processor, Radio, device
from netdiffuse.denoising.planner import Plan, Segment, fixed_plan, make_plan
from netdiffuse.denoising.saving import saving
from netdiffuse.denoising.sharing import share

from .serving import bag_of_words, tiny_model

HOST, PHONE = Processor(2e6, 1e6, kappa=1e-18), Processor(5e6, 1e6, kappa=2e-18)  # a step: 2 s and 2 J, 5 s and 10 J
RADIO = Radio(bandwidth_hz=2e6, power_w=0.2, gain=3e-9, noise_density_w_per_hz=1e-16)  # an SNR of 3: 4 Mbit/s
TWO_THEN_ONE = Plan(3, 10, (Segment((0, 1), (0,), 0, 4, (Segment((1,), (1,), 4, 6),)),))  # user 2 shares nothing


def test_by_hand():
    found = saving(TWO_THEN_ONE, HOST, PHONE, RADIO, 8e6, evaluations_per_step=2)
    server = found.shared.server
    assert (server.evaluations, server.compute_s, server.send_s) == (2 * 6, 12.0, pytest.approx(4.0))
    assert server.energy_j == pytest.approx(6 * 2 + 2 * 2 * 0.2)  # two states, 2 s each, at 0.2 W
    assert [one.evaluations for one in found.shared.devices] == [12, 8, 20]
    assert [one.compute_s for one in found.shared.devices] == [30, 20, 50]
    assert [one.energy_j for one in found.shared.devices] == pytest.approx([60, 40, 100])
    assert found.shared.picture_s == pytest.approx((4 * 2 + 2 + 30, 6 * 2 + 2 + 20, 50))
    assert found.alone.server.energy_j == found.alone.server.evaluations == 0
    assert found.alone.total.evaluations == 60
    assert found.alone.picture_s == (50, 50, 50)
    assert found.energy_percent == pytest.approx(100 * (1 - (12.8 + 200) / 300))
    assert found.evaluations_percent == pytest.approx(100 * (1 - 52 / 60))
    assert found.picture_percent == pytest.approx(100 * (1 - (40 + 34 + 50) / 150))


def test_every_host_and_radio_of_its_own():
    slow = Radio(bandwidth_hz=1e6, power_w=0.2, gain=3e-9, noise_density_w_per_hz=2e-16)  # the same SNR, half the rate
    found = saving(fixed_plan(2, 4, 1), HOST, [PHONE, HOST], [RADIO, slow], [4e6, 8e6])
    assert found.shared.picture_s == pytest.approx((2 + 1 + 15, 2 + 4 + 6))
    assert found.alone.picture_s == (20, 8)


def test_groups_delay_each_other():
    """A server that runs two groups together takes as long for each as for both."""
    two = Plan(4, 10, (Segment((0, 1), (0,), 0, 3), Segment((2, 3), (2,), 0, 5)))
    assert saving(two, HOST, PHONE, RADIO, 0).shared.picture_s == (6 * 2 + 35,) * 2 + (8 * 2 + 25,) * 2


def test_evaluations_are_those_that_happen():
    """Counted at the network itself, guidance on."""
    model, prompts, rows = tiny_model(), ["apple on a table", "lemon on a table", "a tree"], [0]
    conditioning = model.encode(prompts)
    plan = make_plan(bag_of_words(prompts), 6)
    assert plan.server_steps > 0

    def count(_, args):
        rows[0] += len(args[0])

    model.network.register_forward_pre_hook(count)
    states = share(model, plan, conditioning, lambda seeds: model.begin(seeds, 6))
    found = saving(plan, SERVER, device(), Radio(), 0, conditioning.evaluations)
    assert rows[0] == found.shared.server.evaluations
    for user, state in enumerate(states):
        rows[0] = 0
        model.advance(state, conditioning.select([user]))
        assert rows[0] == found.shared.devices[user].evaluations
    rows[0] = 0
    model.advance(model.begin([0], 6), model.encode(prompts[:1], 1.0))
    assert rows[0] == 6 * model.encode(prompts[:1], 1.0).evaluations == 6


def test_sharing_may_cost_energy():
    """With the papers' processors a step takes a server twice a device's joules: two users do not pay for it."""
    found = saving(fixed_plan(2, 10, 5), SERVER, device(1.4e9), Radio(), 27_000)
    assert found.energy_percent < 0 < found.evaluations_percent
    assert saving(fixed_plan(8, 10, 5), SERVER, device(1.4e9), Radio(), 27_000).energy_percent > 0


def test_nothing_shared_costs_nothing():
    found = saving(fixed_plan(3, 5, 0), HOST, PHONE, RADIO, 1e9)
    assert found.shared == found.alone
    assert found.energy_percent == found.picture_percent == found.evaluations_percent == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"devices": [PHONE]}, "devices must be one, or one for each of the plan's 3 users"),
        ({"radios": [RADIO] * 4}, "radios must be one"),
        ({"state_bits": [1, 2]}, "state_bits must be one"),
        ({"state_bits": -1.0}, "state_bits must be non-negative, got -1"),
        ({"state_bits": math.nan}, "state_bits must be finite"),
        ({"evaluations_per_step": 0}, "evaluations_per_step"),
    ],
)
def test_refuses(change, said):
    with pytest.raises(InvalidValueError, match=said):
        saving(**{"plan": TWO_THEN_ONE, "server": HOST, "devices": PHONE, "radios": RADIO, "state_bits": 1} | change)


def test_numbers_of_numpy():
    bits = list(np.array([1e6, 2e6, 3e6]))
    assert saving(TWO_THEN_ONE, HOST, PHONE, RADIO, bits).shared.picture_s[0] == pytest.approx(8 + 0.25 + 30)


def test_imports_without_the_heavy_extras():
    code = (
        "import sys, netdiffuse.denoising.saving;"
        "print([m for m in ('sionna', 'diffusers', 'transformers', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
