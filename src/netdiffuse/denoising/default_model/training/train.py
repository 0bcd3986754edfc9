"""The stages in their order: draw, autoencoder, latents, classifier, denoiser, export, report."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from PIL.Image import Image
from torch import Tensor, nn

from netdiffuse.common import RunError, checks
from netdiffuse.common.files import read_json, write_json
from netdiffuse.denoising.default_model.captions import held_out_captions, training_captions
from netdiffuse.denoising.default_model.classifier import Classifier, picture_tensor
from netdiffuse.denoising.default_model.networks import (
    Sizes,
    assemble,
    make_autoencoder,
    make_scheduler,
    make_text_encoder,
    make_unet,
    parameters,
)
from netdiffuse.denoising.default_model.scenes import judge_scenes
from netdiffuse.denoising.default_model.training.guidance import (
    SCALES,
    best_scale,
    guidance_scores,
    held_out_report,
    pictures_of,
)
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

_BATCH = 50  # pictures at once, when the model is judged


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
        guidances: scales of classifier-free guidance, of which the usual one is chosen.
        guidance_captions: of combinations that were trained on, which choose it.
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
    guidances: tuple[float, ...] = SCALES
    guidance_captions: int = 300

    def __post_init__(self) -> None:
        for name in ("pictures", "held_out", "judged", "judged_steps", "guidance_captions"):
            checks.integer(name, getattr(self, name))
        checks.seed("seed", self.seed)


@dataclass(frozen=True)
class Trained:
    """What a training has come to.

    Attributes:
        found: what training.json holds: the settings, the sizes of the networks, the seconds of each stage, the scores.
        curves: of each stage by name, as `Training.curve` has it.
        pictures: those that the model was judged by.
        captions: theirs.
    """

    found: dict[str, Any]
    curves: dict[str, list[dict[str, float]]]
    pictures: list[Image]
    captions: list[str]


def train(folder: Path, settings: Settings, watch: Watch) -> Trained:
    """Train the model, or go on where it was stopped.

    Args:
        folder: of everything that is made: `model/` is the model as `StableDiffusionPipeline` opens it, with the
            classifier in it; beside it is `training.json`.
        settings: how.
        watch: who looks on.

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
    classifier.save(model / "classifier")
    chooses = training_captions(settings.guidance_captions, settings.seed)
    family, judge = open_model(model, device="cpu"), Classifier.load(model / "classifier")
    compared = guidance_scores(family, judge, chooses, settings.guidances, settings.judged_steps, watch)
    write_json(model / DEFAULTS, {"guidance_scale": best_scale(compared)})
    networks["classifier"] = classifier
    captions = held_out_captions(settings.judged, settings.seed)
    pictures, judged = scores(model, captions, settings, watch)
    found = {
        "settings": asdict(settings),
        "parameters": {name: parameters(network) for name, network in networks.items()},
        "megabytes": round(sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6, 2),
        "seconds": {training.name: round(training.seconds) for training in stages},
        "guidance": compared,
        "scores": judged,
    }
    write_json(folder / "training.json", found)
    return Trained(found, {training.name: training.curve for training in stages}, pictures, captions)


def scores(model: Path, captions: list[str], settings: Settings, watch: Watch) -> tuple[list[Image], dict[str, Any]]:
    """Judge an exported model.

    Returns:
        A picture of each caption, and
        "fidelity": percent, as `Classifier.fidelity` has it, of pictures of held-out captions;
        "held_out": the same apart by what is new to the model, as `held_out_report` has it;
        "classifier": likewise of drawn pictures of held-out combinations that it was not trained on;
        "autoencoder_psnr_db": of such pictures; "seconds_a_picture": of one alone, all of its steps.
    """
    family, classifier = open_model(model, device="cpu"), Classifier.load(model / "classifier")
    pictures = pictures_of(family, captions, settings.judged_steps, None, watch)
    start_time = time.perf_counter()
    family.decode(family.advance(family.begin([0], settings.judged_steps), family.encode(captions[:1])))
    seconds = time.perf_counter() - start_time
    drawn = list(judge_scenes(settings.judged, settings.seed + 1))
    return pictures, {
        "fidelity": classifier.fidelity(pictures, captions),
        "held_out": held_out_report(classifier, pictures, captions),
        "classifier": classifier.fidelity([p for _, p in drawn], [scene.caption for scene, _ in drawn]),
        "autoencoder_psnr_db": reconstruction_psnr_db(family.pipeline.vae, [p for _, p in drawn]),
        "seconds_a_picture": round(seconds, 3),
    }


@torch.no_grad()
def reconstruction_psnr_db(autoencoder: AutoencoderKL, pictures: Sequence[Image]) -> float:
    """PSNR of pictures through the autoencoder, of their mean squared error together."""
    errors = []
    for start in range(0, len(pictures), _BATCH):
        x = picture_tensor(pictures[start : start + _BATCH])
        again = autoencoder.decode(autoencoder.encode(x).latent_dist.mean).sample.clamp(-1, 1)
        errors.append(((again - x) / 2).square().mean((1, 2, 3)))
    return float(-10 * torch.cat(errors).mean().log10())


def spread(moments: Tensor) -> float:
    """Standard deviation of the numbers of all latents together."""
    mean, log_variance = moments.float().chunk(2, 2)
    return float((mean.var() + log_variance.exp().mean()).sqrt())


def _begin(folder: Path, settings: Settings) -> None:
    """Write the settings down, or see that they are those that the folder was begun with."""
    path = folder / "settings.json"
    said = json.loads(json.dumps(asdict(settings)))  # tuples come back as lists
    if path.exists() and (begun := read_json(path)) != said:
        differ = [name for name in said if begun.get(name) != said[name]]
        raise RunError(f"{folder} was begun with other settings ({', '.join(differ)}): choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, said)
