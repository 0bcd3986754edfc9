import torch

from netdiffuse import DiffusionAPG

from .toys import SMALL, Target


class Cliff(Target):
    """A utility whose slope is a thousand times what it is elsewhere in one context of fifty."""

    def utility(self, contexts, decisions):
        steep = 1 + 1000 * (contexts[:, 0] > 0.77)
        return steep * super().utility(contexts, decisions)


def test_gradients_are_clipped():
    model = DiffusionAPG("MlpPolicy", Cliff(), batch_size=64, max_grad_norm=0.1, policy_kwargs=SMALL, seed=0)
    norms = []
    step = model.actor.optimizer.step

    def watched(*args, **kwargs):
        gradients = [p.grad.flatten() for p in model.actor.parameters() if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        return step(*args, **kwargs)

    model.actor.optimizer.step = watched
    model.learn(40 * 64)
    assert len(norms) == 40
    assert max(norms) < 0.1 + 1e-6
    assert max(norms) > 0.0999  # some were larger before
