"""The stages in their order: draw, autoencoder, latents, classifier, denoiser, export, report."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netdiffuse.common import RunError, checks
from netdiffuse.common.files import read_json, write_json
from netdiffuse.denoising.default_model.captions import held_out_captions
from netdiffuse.denoising.default_model.classifier import Classifier
from netdiffuse.denoising.default_model.networks import (
    GUIDANCE,
    Sizes,
    assemble,
    make_autoencoder,
    make_scheduler,
    make_text_encoder,
    make_unet,
    parameters,
)
from netdiffuse.denoising.default_model.scenes import judge_scenes
from netdiffuse.denoising.default_model.training import report
from netdiffuse.denoising.default_model.training.loop import Recipe, Training, Watch
from netdiffuse.denoising.default_model.training.losses import AutoencoderLoss, ClassifierLoss, DenoiserLoss
from netdiffuse.denoising.default_model.training.pictures import (
    Drawn,
    drawn_to_judge,
    drawn_to_train,
    latents_of,
    prompts_of,
)
from netdiffuse.denoising.families import open_model
from netdiffuse.denoising.families.loading import DEFAULTS


@dataclass(frozen=True)
class Settings:
    """How the model is trained.

    Attributes:
        pictures: drawn to train on, of the 425 combinations that are not held out.
        held_out: drawn of the other 75, for the classifier alone.
        seed: of the drawing, the networks and the batches.
        sizes: of the networks.
        autoencoder, classifier, denoiser: how each learns.
        judged: pictures by which the model is judged, of captions that it has not seen.
        judged_steps: of DDIM, of each of them.
    """

    pictures: int = 24_000
    held_out: int = 4_000
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)
    autoencoder: Recipe = field(default_factory=lambda: Recipe(steps=4_000, batch=32, learning_rate=2e-3))
    classifier: Recipe = field(default_factory=lambda: Recipe(steps=1_500, batch=64, learning_rate=2e-3))
    denoiser: Recipe = field(default_factory=lambda: Recipe(steps=10_000, batch=96, learning_rate=1e-3, average=0.9995))
    judged: int = 500
    judged_steps: int = 20

    def __post_init__(self) -> None:
        for name in ("pictures", "held_out", "judged", "judged_steps"):
            checks.integer(name, getattr(self, name))
        checks.seed("seed", self.seed)


def train(folder: Path, settings: Settings, watch: Watch) -> dict[str, Any]:
    """Train the model, or go on where it was stopped.

    Args:
        folder: of everything that is made: `model/` is the model as `StableDiffusionPipeline` opens it, with the
            classifier in it; beside it are `training.json`, `loss_curve.png` and `contact_sheet.png`.
        settings: how.
        watch: who looks on.

    Returns:
        What training.json holds: the settings, the sizes of the networks, the seconds of each stage, and the scores.

    Raises:
        Stopped: the watch was asked to stop.
        RunError: the folder has been begun with other settings, or what it holds cannot be read.
    """
    _begin(folder, settings)
    data, checkpoints = folder / "data", folder / "checkpoints"
    for needed in (data, checkpoints):
        needed.mkdir(exist_ok=True)
    drawn = drawn_to_train(data, settings.pictures, settings.seed, watch)
    held_out = drawn_to_judge(data, settings.held_out, settings.seed, watch)

    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        autoencoder = make_autoencoder(settings.sizes)
        classifier = Classifier()
        text_encoder = make_text_encoder(settings.sizes)
        # Convolutions of few channels are a fifth faster this way on a CPU.
        unet = make_unet(settings.sizes).to(memory_format=torch.channels_last)
        scheduler = make_scheduler()

    def stage(name: str, networks: dict[str, nn.Module], loss: Any, recipe: Recipe) -> Training:
        number = ("autoencoder", "classifier", "denoiser").index(name)
        training = Training(name, nn.ModuleDict(networks), loss, recipe, checkpoints, settings.seed + number)
        training.run(watch)
        return training

    both = Drawn(torch.cat([drawn.pictures, held_out.pictures]), drawn.scenes + held_out.scenes)
    recipe = settings.classifier
    stages = [stage("classifier", {"classifier": classifier}, ClassifierLoss(classifier, both, recipe.batch), recipe)]
    recipe = settings.autoencoder
    loss = AutoencoderLoss(autoencoder, drawn, recipe.batch)
    stages.append(stage("autoencoder", {"autoencoder": autoencoder}, loss, recipe))
    moments = latents_of(data / "latents.pt", autoencoder, drawn, watch)
    scale = 1 / spread(moments)
    autoencoder.register_to_config(scaling_factor=scale)
    recipe = settings.denoiser
    prompts = prompts_of(drawn.scenes, settings.seed)
    learner = DenoiserLoss(unet, text_encoder, scheduler, moments, scale, prompts, recipe.batch)
    stages.append(stage("denoiser", {"unet": unet, "text_encoder": text_encoder}, learner, recipe))

    watch.say("export", 0.0, "")
    model = folder / "model"
    networks: dict[str, nn.Module] = {"unet": unet, "text_encoder": text_encoder, "autoencoder": autoencoder}
    for network in networks.values():
        network.half()
    assemble(autoencoder, text_encoder, unet).save_pretrained(model, safe_serialization=True)
    write_json(model / DEFAULTS, {"guidance_scale": GUIDANCE})
    classifier.save(model / "classifier")
    networks["classifier"] = classifier
    found = {
        "settings": asdict(settings),
        "parameters": {name: parameters(network) for name, network in networks.items()},
        "megabytes": round(sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6, 2),
        "seconds": {training.name: round(training.seconds) for training in stages},
        "scores": scores(model, folder, settings, watch),
    }
    report.loss_curve({training.name: training.curve for training in stages}, folder / "loss_curve.png")
    write_json(folder / "training.json", found)
    return found


def scores(model: Path, folder: Path, settings: Settings, watch: Watch) -> dict[str, Any]:
    """Judge an exported model, and draw its contact sheet.

    Returns:
        "fidelity": percent, as `Classifier.fidelity` has it, of pictures of held-out captions;
        "classifier": likewise of drawn pictures of held-out combinations that it was not trained on;
        "autoencoder_psnr_db": of such pictures; "seconds_a_picture": of one alone, all of its steps.
    """
    family, classifier = open_model(model, device="cpu"), Classifier.load(model / "classifier")
    captions = held_out_captions(settings.judged, settings.seed)
    batch, pictures = 50, []
    for start in range(0, len(captions), batch):
        watch.check()
        watch.say("judge", start / len(captions), f"{start} of {len(captions)} pictures")
        said = captions[start : start + batch]
        state = family.begin(range(start, start + len(said)), settings.judged_steps, scheduler="ddim")
        pictures += family.decode(family.advance(state, family.encode(said)))
    report.contact_sheet(pictures[:40], captions[:40], folder / "contact_sheet.png")
    start_time = time.perf_counter()
    family.decode(family.advance(family.begin([0], settings.judged_steps), family.encode(captions[:1])))
    seconds = time.perf_counter() - start_time
    drawn = list(judge_scenes(settings.judged, settings.seed + 1))
    return {
        "fidelity": classifier.fidelity(pictures, captions),
        "classifier": classifier.fidelity([p for _, p in drawn], [scene.caption for scene, _ in drawn]),
        "autoencoder_psnr_db": report.reconstruction_psnr_db(family.pipeline.vae, [p for _, p in drawn]),
        "seconds_a_picture": round(seconds, 3),
    }


def spread(moments: Tensor) -> float:
    """Standard deviation of the numbers of all latents together."""
    mean, log_variance = moments.float().chunk(2, 2)
    return float((mean.var() + log_variance.exp().mean()).sqrt())


def _begin(folder: Path, settings: Settings) -> None:
    """Write the settings down, or see that they are those that the folder was begun with."""
    path = folder / "settings.json"
    said = _plain(asdict(settings))
    if path.exists() and (begun := read_json(path)) != said:
        differ = [name for name in said if begun.get(name) != said[name]]
        raise RunError(f"{folder} was begun with other settings ({', '.join(differ)}): choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, said)


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (tuple, list, np.ndarray)) else value
