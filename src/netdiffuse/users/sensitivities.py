"""From who a user is to the numbers of their rating: how personality bends preferences.

The *directions* are published findings, named below. The *sizes* are choices of ours: no study has measured Big Five
traits against the quality, delay and energy of generated pictures. They are such that traits move ratings by some tenths
of a point, no more than wants do: in a study of video, personality and culture made up 9.3% of the variance that human
factors explain (Scott et al., "Do personality and culture influence perceived video quality and enjoyment?", IEEE
Transactions on Multimedia 18(9), 2016).

| trait (z = 2 trait - 1) | effect | source |
|---|---|---|
| openness | tells qualities apart more sharply: steepness x exp(0.3 z) | feeling for beauty marks openness: McCrae, Motivation and Emotion 31, 2007 |
| conscientiousness, neuroticism | patience x exp(0.35 z_C - 0.35 z_N) | waiting for rewards: Manning et al., NeuroImage 98, 2014 |
| openness, conscientiousness, agreeableness | energy's weight x exp(0.2 (z_O + z_C + z_A)) | care for the environment, saving electricity: Milfont and Sibley, Journal of Environmental Psychology 32, 2012 |
| agreeableness, conscientiousness | leniency + 0.25 z_A - 0.25 z_C | r = 0.18 and -0.20 with the mean rating: Bernardin, Tyler and Villanova, International Journal of Selection and Assessment 17, 2009 |
| neuroticism | leniency - 0.2 z_N | less satisfaction: DeNeve and Cooper, Psychological Bulletin 124, 1998 |
| extraversion | more extreme ratings: extremity exp(0.3 z_E) | Austin, Deary and Egan, Personality and Individual Differences 40, 2006 |
| neuroticism | noisier ratings: inconsistency x exp(0.6 z_N) | "mental noise": Robinson and Tamir, Journal of Personality and Social Psychology 89, 2005 |

That a subject's rating is the true quality, plus a bias of theirs, plus noise of a size of theirs, is the model of
Janowski and Pinson ("The accuracy of subjects in a quality experiment", IEEE Transactions on Multimedia 17(12), 2015),
which ITU-T P.913 uses to take the bias of subjects out.
"""  # noqa: E501

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netdiffuse.common import InvalidValueError
from netdiffuse.users.persona import COLUMNS, Array, Persona, persona_table

STEEPNESS = 8.0  # of the logistic response to quality: nine tenths of the way lie between 0.13 and 0.87
INCONSISTENCY = 0.05  # SOS parameter of one user's ratings, without the differences between users that a study's holds


@dataclass(frozen=True)
class Sensitivities:
    """The numbers of rating, each an array of one shape, one entry a user.

    Attributes:
        steepness: of the response to quality.
        half_quality: where that response is steepest.
        quality_weight: share of satisfaction that the worst quality takes away, in [0, 1].
        delay_weight: the same of delay.
        energy_weight: the same of energy.
        unnoticed_s: delay up to which nothing is felt.
        patience_s: delay beyond which it cannot get worse.
        energy_tolerance: share of the battery that takes half of what energy can.
        leniency: added to the log-odds of satisfaction; near the middle of the scale, about as many rating points.
        extremity: factor of the log-odds of satisfaction.
        inconsistency: a in [0, 1), by which a user's own ratings of one thing vary: a (mean - 1) (5 - mean).
    """

    steepness: Array
    half_quality: Array
    quality_weight: Array
    delay_weight: Array
    energy_weight: Array
    unnoticed_s: Array
    patience_s: Array
    energy_tolerance: Array
    leniency: Array
    extremity: Array
    inconsistency: Array

    @classmethod
    def of(cls, people: Sequence[Persona] | Array) -> "Sensitivities":
        """Those of personas, or of their numbers.

        Args:
            people: n personas, or an array of shape (..., 12) with the columns `COLUMNS`.

        Raises:
            InvalidValueError: no personas, or an array of another shape.
        """
        table = people if isinstance(people, np.ndarray) else persona_table(people)
        if table.ndim == 0 or table.shape[-1] != len(COLUMNS):
            raise InvalidValueError(f"people must have {len(COLUMNS)} columns, got shape {table.shape}")
        column = dict(zip(COLUMNS, np.moveaxis(table, -1, 0), strict=True))
        o, c, e, a, n = (2 * column[name] - 1 for name in COLUMNS[:5])
        patience = np.exp(0.35 * (c - n))
        return cls(
            steepness=STEEPNESS * np.exp(0.3 * o),
            half_quality=column["least_quality"],
            quality_weight=column["quality_importance"],
            delay_weight=column["delay_importance"],
            energy_weight=np.minimum(column["energy_importance"] * np.exp(0.2 * (o + c + a)), 1),
            unnoticed_s=column["unnoticed_s"] * patience,
            patience_s=column["patience_s"] * patience,
            energy_tolerance=column["energy_tolerance"],
            leniency=0.25 * a - 0.25 * c - 0.2 * n,
            extremity=np.exp(0.3 * e),
            inconsistency=INCONSISTENCY * np.exp(0.6 * n),
        )
