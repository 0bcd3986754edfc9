import math
import subprocess
import sys
import time

import pytest
import torch

from netdiffuse.common import InvalidValueError
from netdiffuse.denoising.cost import DEVICE_FREQUENCIES_HZ, SERVER, Processor, Radio, device


def test_the_papers_numbers() -> None:
    # 15 Mcycles at 2 GHz: 7.5 ms and 0.06 J a step
    assert SERVER.step_s == pytest.approx(7.5e-3)
    assert SERVER.delay_s(5) == pytest.approx(37.5e-3)
    assert SERVER.energy_j(5) == pytest.approx(0.3)
    slow, fast = (device(frequency) for frequency in DEVICE_FREQUENCIES_HZ)
    assert slow.delay_s(6) == pytest.approx(0.06)
    assert slow.energy_j(6) == pytest.approx(1e-27 * 6 * 14e6 * 1.96e18)
    assert fast.delay_s(1) < slow.delay_s(1)
    assert fast.energy_j(1) > slow.energy_j(1)


def test_radio_follows_shannon() -> None:
    radio = Radio(bandwidth_hz=2e6, power_w=0.2, gain=3e-9, noise_density_w_per_hz=1e-16)
    assert radio.snr == pytest.approx(3.0)
    assert radio.snr_db == pytest.approx(10 * math.log10(3))
    assert radio.rate_bps == pytest.approx(4e6)
    assert radio.delay_s(1e6) == pytest.approx(0.25)
    assert radio.energy_j(1e6) == pytest.approx(0.05)
    assert 30 < Radio().snr_db < 31.5


def test_costs_of_tensors_are_differentiable() -> None:
    steps = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    (SERVER.delay_s(steps).sum() + SERVER.energy_j(steps).sum()).backward()
    torch.testing.assert_close(steps.grad, torch.full((3,), 7.5e-3 + 0.06))
    torch.testing.assert_close(Radio().delay_s(torch.tensor([1e6]))[0], torch.tensor(Radio().delay_s(1e6)))


def test_a_measured_processor_takes_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    takes = iter([9.0, 0.3, 0.1, 0.2])  # the first is warming up
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def step() -> None:
        now[0] += next(takes)

    processor = Processor.measured(step, frequency_hz=1e9, repeats=3)
    assert processor.step_s == pytest.approx(0.2)
    assert processor.energy_j(10) == pytest.approx(1e-27 * 10 * 0.2e9 * 1e18)
    with pytest.raises(InvalidValueError, match="too short for the clock"):
        Processor.measured(lambda: None, frequency_hz=1e9)


def test_refuses_impossible_numbers() -> None:
    for name, wrong in (("bandwidth_hz", 0.0), ("power_w", -1.0), ("gain", math.nan), ("noise_density_w_per_hz", 0.0)):
        with pytest.raises(InvalidValueError, match=name):
            Radio(**{name: wrong})
    with pytest.raises(InvalidValueError, match="frequency_hz must be positive, got 0"):
        device(0)
    with pytest.raises(InvalidValueError, match="kappa"):
        Processor(1e6, 1e9, kappa=-1)
    with pytest.raises(InvalidValueError, match="steps must be non-negative, got -1"):
        SERVER.delay_s(-1)
    with pytest.raises(InvalidValueError, match=r"bits must be finite and non-negative, got \[nan"):
        Radio().delay_s(torch.tensor([math.nan, 1.0]))
    with pytest.raises(InvalidValueError, match="repeats"):
        Processor.measured(lambda: None, 1e9, repeats=0)


def test_costs_and_links_import_without_the_heavy_extras() -> None:
    code = (
        "import sys, netdiffuse.denoising.cost, netdiffuse.denoising.link;"
        "print([m for m in ('sionna', 'diffusers', 'transformers', 'fastapi') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
