"""Who tells how well a picture shows its prompt."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch.nn.functional import cosine_similarity

from netdiffuse.common import UnsupportedError

Judge = Callable[[Sequence[Image], Sequence[str]], Sequence[float]]
"""Pictures and prompts to how well each picture shows its prompt, each in [0, 1]."""

CLASSIFIER = "classifier"


def make_judge(name: str) -> Judge:
    """A judge by name.

    Args:
        name: "classifier" for the one that comes with the small model, which knows the words of its captions alone and
            gives the probability that object, colour and place are right; or a CLIP model, by its name on a hub or a
            local folder.

    Raises:
        MissingWeightsError: this installation has no classifier.
        UnsupportedError: the model cannot be opened as CLIP.
    """
    if name == CLASSIFIER:
        from netdiffuse.denoising.default_model import load_classifier

        return load_classifier().match
    return ClipJudge(name)


class ClipJudge:
    """Cosine of a picture's and its prompt's embeddings by CLIP, 0 where it is negative.

    Times 100, it is the CLIP score (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        source: of a CLIP model, as `from_pretrained` takes it.
    """

    def __init__(self, source: str) -> None:
        from transformers import CLIPModel, CLIPProcessor

        try:
            model: Any = CLIPModel.from_pretrained(source)
            self._processor: Any = CLIPProcessor.from_pretrained(source)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UnsupportedError(f"the CLIP model '{source}' cannot be opened: {error}") from error
        self._model = model.eval()

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        """One number a picture, in [0, 1]."""
        given = self._processor(
            text=list(prompts), images=list(pictures), padding=True, truncation=True, return_tensors="pt"
        )
        found = self._model(**given)
        return cosine_similarity(found.image_embeds, found.text_embeds).clamp(0, 1).tolist()
