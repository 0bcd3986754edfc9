"""The denoising loss against the analytic denoiser of a Gaussian, whose loss is the posterior variance."""

import pytest
import torch
from torch import nn

from netdiffuse.diffusion import Denoiser, DiffusionModel, MLPDenoiser, denoising_loss, make_schedule
from netdiffuse.diffusion.prediction import target

MEAN, STD, STEPS = 0.4, 0.5, 4


class GaussianDenoiser(Denoiser):
    """The best prediction for x0 ~ N(MEAN, STD^2), with a gain and an offset on its estimate of x0."""

    def __init__(self, prediction):
        super().__init__()
        self.prediction = prediction
        self.a = make_schedule("vp", STEPS).alpha_bar
        self.gain = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def embed(self, context):
        return None

    def forward(self, x, t, embedding):
        a = self.a[t].unsqueeze(-1)
        x0 = MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (x - a.sqrt() * MEAN)
        x0 = self.gain * x0 + self.offset
        return target(self.prediction, x0, (x - a.sqrt() * x0) / (1 - a).sqrt(), a)

    def repeat(self, embedding, times):
        return None


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_the_analytic_denoiser_is_the_minimum_and_its_loss_the_posterior_variance(prediction):
    net = GaussianDenoiser(prediction)
    model = DiffusionModel(net, 1, STEPS, prediction=prediction, bound=1e3)
    n = 200_000
    x0 = MEAN + STD * torch.randn(n, 1)
    loss, metrics = denoising_loss(model, torch.zeros(n, 1), x0)
    a = net.a[1:]
    expected = (STD**2 * (1 - a) / (a * STD**2 + 1 - a)).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=0.02)
    assert metrics == {"denoising_loss": pytest.approx(float(loss.detach()))}
    loss.backward()
    assert abs(float(net.gain.grad)) < 5e-3
    assert abs(float(net.offset.grad)) < 5e-3
    for name, by in (("gain", 0.1), ("offset", 0.1)):
        worse = GaussianDenoiser(prediction)
        with torch.no_grad():
            getattr(worse, name).add_(by)
        bad, _ = denoising_loss(
            DiffusionModel(worse, 1, STEPS, prediction=prediction, bound=1e3), torch.zeros(n, 1), x0
        )
        assert float(bad.detach()) > float(loss.detach()) + 0.001


def test_a_weight_of_zero_leaves_a_sample_out_and_scale_is_nothing():
    model = DiffusionModel(MLPDenoiser(2, 1, 5, (8,)), 1, 5)
    context, x0 = torch.randn(6, 2), torch.rand(6, 1)
    draw = [torch.Generator().manual_seed(1) for _ in range(3)]
    weights = torch.tensor([1.0, 2, 0, 1, 0, 4])
    one, _ = denoising_loss(model, context, x0, weights, draw[0])
    scaled, _ = denoising_loss(model, context, x0, 10 * weights, draw[1])
    torch.testing.assert_close(one, scaled)
    x0[weights == 0] = 77  # whatever it is: left out
    other, _ = denoising_loss(model, context, x0, weights, draw[2])
    torch.testing.assert_close(one, other)


def test_a_network_without_noise_never_sees_the_answer():
    model = DiffusionModel(MLPDenoiser(2, 1, 1, (8,)), 1, 1, noisy=False)
    context, x0 = torch.randn(6, 2), torch.rand(6, 1)
    loss, _ = denoising_loss(model, context, x0)
    torch.testing.assert_close(loss, (model(context) - x0).square().mean())
