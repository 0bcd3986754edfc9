import pytest
import torch

from netdiffuse.common import InvalidValueError, UnknownNameError
from netdiffuse.common.seeding import generator
from netdiffuse.diffusion import DiffusionModel, EquivariantDenoiser, MLPDenoiser, ddim
from netdiffuse.diffusion.prediction import to_x0


def make(steps=5, **kwargs):
    return DiffusionModel(MLPDenoiser(3, 2, steps, (16, 16)), 2, steps, **kwargs)


def test_a_deterministic_chain_is_ddim_from_zero_and_draws_nothing():
    model, context = make(), torch.randn(4, 3)
    state = torch.get_rng_state()
    action = model(context, deterministic=True)
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.zeros(4, 2)
    a = model.schedule.alpha_bar
    for t in range(5, 0, -1):  # Song et al., equation 12, sigma 0; the context read anew at every step
        x0 = torch.tanh(model.denoiser(x, t, model.denoiser.embed(context)))
        x = a[t - 1].sqrt() * x0 + ((1 - a[t - 1]) / (1 - a[t])).sqrt() * (x - a[t].sqrt() * x0)
    torch.testing.assert_close(action, x)


@pytest.mark.parametrize("net", ["mlp", "pairs"])
def test_a_chain_reads_its_context_once(net):
    denoiser = MLPDenoiser(9, 3, 5, (16, 16)) if net == "mlp" else EquivariantDenoiser("pairs", 1, 1, 5, width=8)
    calls = []
    (denoiser.context_net if net == "mlp" else denoiser.context_in).register_forward_hook(lambda *_: calls.append(1))
    DiffusionModel(denoiser, 3, 5)(torch.randn(4, 9))
    assert len(calls) == 1


def test_several_draws_of_a_context_are_its_single_draws():
    model, context, start = make(), torch.randn(3, 3), torch.randn(6, 2)
    together = model(context, start, deterministic=True)
    for draw in (0, 1):
        torch.testing.assert_close(together[draw::2], model(context, start[draw::2], deterministic=True))


def test_same_generator_same_trajectory():
    model, context = make(), torch.randn(4, 3)
    one, other = (list(model.trajectory(context, generator=generator(7))) for _ in range(2))
    assert len(one) == 6
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    torch.testing.assert_close(model(context, generator=generator(7)), one[-1])


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_estimates_are_bounded_smoothly(prediction):
    model = make(prediction=prediction, bound=2.0)
    with torch.no_grad():
        model.denoiser.trunk[-1].weight *= 30
    context = torch.randn(500, 3)
    action = model(context)
    assert action.abs().max() <= 2
    assert action.abs().max() > 1.5
    with torch.no_grad():
        model.denoiser.trunk[-1].weight *= 1e-4
        model.denoiser.trunk[-1].bias *= 1e-3
    x_t, embedding = torch.randn(500, 2), model.denoiser.embed(context)
    a = model.schedule.alpha_bar[1]
    free = to_x0(prediction, model.denoiser(x_t, 1, embedding), x_t, a)
    small = free.abs() < 0.02
    assert small.any()
    torch.testing.assert_close(
        model.predict_x0(x_t, 1, embedding)[small], free[small], atol=1e-5, rtol=1e-3
    )  # no bound


def test_without_noise_a_model_is_a_plain_network():
    model, context = make(steps=1, noisy=False), torch.randn(4, 3)
    state = torch.get_rng_state()
    action = model(context)
    assert torch.equal(torch.get_rng_state(), state)
    expected = torch.tanh(model.denoiser(torch.zeros(4, 2), 1, model.denoiser.embed(context)))
    torch.testing.assert_close(action, expected)
    torch.testing.assert_close(model(context, deterministic=True), action)


def test_the_sampler_chosen_serves_stochastic_draws():
    model = make(sampler="ddim")
    context, start = torch.randn(4, 3), torch.randn(4, 2)
    embedding = model.denoiser.embed(context)
    *_, expected = ddim(lambda x, t: model.predict_x0(x, t, embedding), start, model.schedule)
    torch.testing.assert_close(model(context, start), expected)
    assert (make(sampler="ddpm")(context, start) - expected).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"schedule": "vpp"}, UnknownNameError, "unknown schedule 'vpp'"),
        ({"prediction": "score"}, UnknownNameError, "unknown prediction 'score'"),
        ({"sampler": "euler"}, UnknownNameError, "unknown sampler 'euler'"),
        ({"steps": 2.5}, InvalidValueError, "denoising_steps must be an integer"),
    ],
)
def test_bad_arguments_are_named(kwargs, error, message):
    with pytest.raises(error, match=message):
        DiffusionModel(MLPDenoiser(3, 2, 5, (8,)), 2, **kwargs)
