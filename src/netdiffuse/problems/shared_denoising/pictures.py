"""Quality of real pictures: the chains are run, shared, sent through bit errors, finished, and judged."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from netdiffuse.common import MissingExtraError
from netdiffuse.problems.shared_denoising.library import Array, library
from netdiffuse.problems.shared_denoising.outcomes import STEPS

if TYPE_CHECKING:
    from netdiffuse.problems.shared_denoising.simulator import SharedDenoisingSimulator

CODEC = "uint8"


class QualityByPictures:
    """The small model and its classifier, in place of the table that was measured with them.

    In each group the leader's prompt leads as many steps as the group's last member wants; whoever leaves goes on by
    their own prompt, from a state that has crossed a binary symmetric channel with the user's bit error rate. All of a
    group begin from one noise, a new one each slot.

    Raises:
        MissingExtraError: the extra [denoising] is not installed.
    """

    def __init__(self) -> None:
        try:
            from netdiffuse.denoising.default_model import default_model_path
            from netdiffuse.denoising.families import open_model
            from netdiffuse.denoising.study import make_judge
        except ImportError as error:
            raise MissingExtraError('the outcome "pictures"', "denoising") from error
        self.model = open_model(str(default_model_path()))
        self.judge = make_judge("classifier")

    def __call__(
        self, simulator: "SharedDenoisingSimulator", shared: NDArray[np.int64], bit_error_rate: Array
    ) -> Array:
        """How well each picture shows its prompt, in [0, 1], shape (n, users)."""
        slot, captions = simulator.slot, library().captions
        quality = np.zeros(shared.shape)
        for session in range(simulator.n):
            for group in np.unique(slot.group[session]):
                members = np.flatnonzero(slot.group[session] == group)
                leader = captions[slot.caption[session, slot.leader[session, members[0]]]]
                own = [captions[slot.caption[session, user]] for user in members]
                seed = int(simulator.random.integers(2**31))
                quality[session, members] = self.group(
                    leader, own, shared[session, members], bit_error_rate[session, members], seed
                )
        return quality

    def group(
        self, leader: str, prompts: list[str], shared: NDArray[np.int64], bit_error_rate: Array, seed: int
    ) -> list[float]:
        """Quality of the pictures of a group.

        Args:
            leader: the prompt that leads.
            prompts: of the members.
            shared: k of each.
            bit_error_rate: of each hand-off.
            seed: of the noise, and of the bit errors.
        """
        from netdiffuse.denoising.handoff import link_with_errors, send_state

        start = self.model.begin([seed], STEPS)
        shared_states = self.model.run(start, self.model.encode([leader]), int(shared.max()))
        led = {0: start} | {state.step: state for state in shared_states}
        generator = torch.Generator().manual_seed(seed)
        pictures = []
        for prompt, k, rate in zip(prompts, shared.tolist(), bit_error_rate.tolist(), strict=True):
            state = send_state(led[k], link_with_errors(CODEC, rate), generator)[0] if k else led[0]
            pictures += self.model.decode(self.model.advance(state, self.model.encode([prompt])))
        return [float(quality) for quality in self.judge(pictures, prompts)]
