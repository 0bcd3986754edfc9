import pytest
import torch

from netdiffuse.common import UnknownNameError
from netdiffuse.diffusion.prediction import PREDICTIONS, check_prediction, target, to_eps, to_x0


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_the_right_output_gives_back_sample_and_noise(kind):
    x0, noise = torch.randn(2, 50, 3, dtype=torch.float64)
    a = torch.rand(50, 1, dtype=torch.float64) * 0.98 + 0.01
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
    estimate = to_x0(kind, target(kind, x0, noise, a), x_t, a)
    torch.testing.assert_close(estimate, x0)
    torch.testing.assert_close(to_eps(estimate, x_t, a), noise)


def test_v_is_the_velocity_of_the_rotation_from_sample_to_noise():
    x0, noise = torch.randn(2, 5, 2, dtype=torch.float64)
    angle = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)  # x_t = cos x0 + sin eps, v = dx_t / dangle
    derivative = torch.autograd.functional.jacobian(lambda u: u.cos() * x0 + u.sin() * noise, angle)
    torch.testing.assert_close(target("v", x0, noise, angle.detach().cos() ** 2), derivative)


def test_an_unknown_prediction_is_named():
    with pytest.raises(UnknownNameError, match="unknown prediction 'x1'"):
        check_prediction("x1")
