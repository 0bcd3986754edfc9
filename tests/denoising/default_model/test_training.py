import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from netdiffuse.common import RunError
from netdiffuse.denoising.default_model import load_classifier
from netdiffuse.denoising.default_model.captions import held_out_pairs, held_out_scenes
from netdiffuse.denoising.default_model.classifier import Classifier
from netdiffuse.denoising.default_model.networks import Sizes, make_scheduler
from netdiffuse.denoising.default_model.scenes import draw, training_scenes
from netdiffuse.denoising.default_model.training.__main__ import run
from netdiffuse.denoising.default_model.training.guidance import best_scale, held_out_report
from netdiffuse.denoising.default_model.training.loop import Recipe, Stopped, Training, Watch
from netdiffuse.denoising.default_model.training.losses import ClassifierLoss, DenoiserLoss, sampled, worn
from netdiffuse.denoising.default_model.training.pictures import Drawn, prompts_of, tokens
from netdiffuse.denoising.default_model.training.train import Settings, train
from netdiffuse.denoising.families import open_model

FEW = {name: Recipe(steps=3, batch=4, learning_rate=1e-3) for name in ("autoencoder", "classifier", "denoiser")}
TINY = Settings(pictures=12, held_out=4, judged=4, judged_steps=2, guidances=(1.5, 4.0), guidance_captions=3,
                sizes=Sizes(autoencoder=(8, 8, 8, 8), unet=(16, 16), text=16, text_layers=1), **FEW)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return folder, run(folder, TINY, Watch())


def test_everything_is_there(trained):
    folder, found = trained
    model = open_model(folder / "model", device="cpu")
    (picture,) = model.decode(model.advance(model.begin([0], 2), model.encode(["a red apple on a table"])))
    assert picture.size == (64, 64)
    assert Classifier.load(folder / "model" / "classifier").judge([picture])
    for name in ("contact_sheet.png", "loss_curve.png"):
        assert (folder / name).stat().st_size > 10_000
    assert json.loads((folder / "training.json").read_text())["scores"] == found["scores"]
    assert found["megabytes"] < 12
    assert [row["guidance_scale"] for row in found["guidance"]] == [1.5, 4.0]
    assert model.default_guidance == best_scale(found["guidance"])


def test_the_best_scale():
    rows = [(2.0, 90.0, 0.8), (3.0, 95.0, 0.7), (4.0, 95.0, 0.75), (5.0, 95.0, 0.75)]
    assert best_scale([{"guidance_scale": s, "all": a, "probability": p} for s, a, p in rows]) == 4.0


def test_held_out_captions_are_reported_apart():
    """By a judge that is told what it sees: drawn pictures, and captions that are right or not."""
    (name, colour), other = held_out_pairs()[0], held_out_scenes()
    new_place = next(scene for scene in other if (scene.object, scene.colour) not in held_out_pairs())
    strangers = [scene for scene in other if (scene.object, scene.colour) == (name, colour)]
    drawn = [draw(scene, np.random.default_rng(n)) for n, scene in enumerate((strangers[0], new_place, new_place))]
    captions = [strangers[1].caption, new_place.caption, new_place.caption]  # the first one's place is wrong
    found = held_out_report(load_classifier(), drawn, captions)
    assert (found["strangers"]["pictures"], found["strangers"]["all"], found["strangers"]["object"]) == (1, 0, 100)
    assert (found["new_place"]["pictures"], found["new_place"]["all"]) == (2, 100)
    assert found["worst"] == [{"scene": strangers[1].caption, "pictures": 1, "all": 0}]
    assert held_out_report(load_classifier(), drawn[1:], captions[1:])["strangers"] is None


class Impatient(Watch):
    """Asks to stop when it is told something for the n-th time."""

    def __init__(self, words: int) -> None:
        super().__init__(say=self.heard)
        self.left = words

    def heard(self, *_) -> None:
        self.left -= 1
        self.stopped = self.left == 0


def test_stopped_anywhere_it_goes_on_to_the_same_end(trained, tmp_path):
    whole, _ = trained
    for patience in range(1, 30):
        try:
            train(tmp_path, TINY, Impatient(patience))
            break
        except Stopped:
            continue
    assert 4 <= patience < 29
    for part in ("unet", "vae"):
        name = f"model/{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def test_other_settings_need_another_folder(trained):
    folder, _ = trained
    with pytest.raises(RunError, match=r"other settings \(seed\)"):
        train(folder, replace(TINY, seed=1), Watch())


def stage(folder, steps, network, **change):
    """Least squares, with noise from the generator."""

    def loss(generator):
        x = torch.randn(8, 2, generator=generator)
        return (network(x) - x.sum(1, keepdim=True)).square().mean(), {}

    recipe = Recipe(steps=steps, batch=8, learning_rate=0.05, warm_up=5, average=0.9)
    return Training("stage", nn.ModuleDict({"n": network}), loss, replace(recipe, **change), folder, 0)


def test_a_stage_learns_and_goes_on_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    whole = nn.Linear(2, 1)
    start = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    stage(tmp_path / "a", 300, whole).run(Watch())
    assert torch.allclose(whole.weight, torch.ones(1, 2), atol=0.02)
    part = nn.Linear(2, 1)
    part.load_state_dict(start)
    first = stage(tmp_path / "b", 300, part)
    heard = []
    watch = Watch(lambda *words: heard.append(words))
    watch.stopped = False
    original = first._step

    def step():
        watch.stopped = first.step >= 120
        return original()

    first._step = step
    with pytest.raises(Stopped):
        first.run(watch)
    other = nn.Linear(2, 1)
    second = stage(tmp_path / "b", 300, other)
    second.run(Watch())
    assert torch.equal(other.weight, whole.weight)
    assert len(second.curve) == 6


def test_a_loss_that_explodes_is_named(tmp_path):
    with pytest.raises(RunError, match="use a lower learning rate"):
        stage(tmp_path, 10, nn.Linear(2, 1).to(torch.float32), learning_rate=float("inf")).run(Watch())


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "stage.pt").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"stage\.pt cannot be used"):
        stage(tmp_path, 10, nn.Linear(2, 1)).run(Watch())


def test_the_rate_rises_and_falls():
    recipe = Recipe(steps=1000, batch=1, learning_rate=1.0, warm_up=100)
    assert recipe.rate(0) == pytest.approx(0.01)
    assert recipe.rate(500) == pytest.approx(0.51)
    assert recipe.rate(1000) == pytest.approx(0.02)


class Told(nn.Module):
    """Stands for the UNet: answers with the v that it is told, and remembers what it was asked."""

    def forward(self, noisy, timesteps, encoder_hidden_states):
        self.asked = (noisy, timesteps, encoder_hidden_states)
        return type("Output", (), {"sample": torch.zeros_like(noisy)})()


def test_the_denoisers_target_is_v():
    """v = alpha * noise - sigma * x0 (Salimans and Ho, arXiv 2202.00512)."""
    torch.manual_seed(0)
    unet, scheduler = Told(), make_scheduler()
    moments = torch.cat([torch.randn(1, 3, 8, 8, 8).expand(2, 3, 8, 8, 8), torch.full((2, 3, 8, 8, 8), -60.0)], 2)
    prompts = tokens(["a red apple"] * 12).view(3, 4, -1)
    loss = DenoiserLoss(unet, lambda t: (t.float(),), scheduler, moments, 0.5, prompts, 64)
    generator = torch.Generator().manual_seed(1)
    value, _ = loss(generator)
    noisy, timesteps, embeds = unet.asked
    # The mean square of v, since the answer was zero: alpha^2 + sigma^2 E[x0^2].
    alpha = scheduler.alphas_cumprod[timesteps]
    x0 = 0.25 * moments[0, :, :8].square().mean()
    assert float(value) == pytest.approx(float((alpha + (1 - alpha) * x0).mean()), rel=0.05)
    assert noisy.shape == (64, 8, 8, 8)
    empty = (embeds == tokens([""])).all(1).float().mean()
    assert 0.02 < empty < 0.25


def test_sampled_latents():
    mean, log_variance = torch.full((1, 2, 8, 8), 3.0), torch.full((1, 2, 8, 8), 2.0)
    found = sampled(torch.cat([mean, log_variance], 1).expand(400, 4, 8, 8), torch.Generator().manual_seed(0))
    assert float(found.mean()) == pytest.approx(3, abs=0.05)
    assert float(found.std()) == pytest.approx(2.718, abs=0.05)


def test_worn_pictures_stay_pictures():
    pictures = torch.rand(6, 3, 64, 64) * 2 - 1
    found = worn(pictures, torch.Generator().manual_seed(0))
    assert found.shape == pictures.shape
    assert found.isfinite().all()
    assert not torch.equal(found, pictures)


def test_the_classifiers_labels():
    scenes, pictures = zip(*training_scenes(5), strict=True)
    drawn = Drawn(
        torch.stack([torch.tensor(list(p.getdata())).view(64, 64, 3).movedim(2, 0) for p in pictures]), scenes
    )
    labels = drawn.labels()
    from netdiffuse.denoising.default_model.captions import COLOURS

    assert [COLOURS[i] for i in labels["colour"]] == [scene.colour for scene in scenes]
    loss = ClassifierLoss(Classifier((8, 8, 8, 8)), drawn, 16)
    value, measures = loss(torch.Generator().manual_seed(0))
    assert 0 < float(value) < 20
    assert set(measures) == {"object", "colour", "place"}


def test_prompts_have_unknown_words_now_and_then():
    scenes = [scene for scene, _ in zip(training_combinations_of(400), range(400), strict=False)]
    prompts = prompts_of(tuple(scenes), 0)
    assert prompts.shape == (len(scenes), 4, 16)
    unknown = tokens(["zebra"])[0, 1]
    assert 0.02 < (prompts == unknown).any(-1).float().mean() < 0.09


def training_combinations_of(n):
    from netdiffuse.denoising.default_model.captions import training_combinations

    return training_combinations()[:n]
