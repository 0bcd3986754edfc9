"""Picture quality against what is shared, how alike the prompts are, and what the link does: the published figures."""

from netdiffuse.denoising.quality_table import QualityTable
from netdiffuse.denoising.study.judges import ClipJudge, Judge, make_judge
from netdiffuse.denoising.study.pairs import DISSIMILAR, PAIRS, SIMILAR, Pair
from netdiffuse.denoising.study.study import Study, Trial, quality_table, run_study

__all__ = [
    "DISSIMILAR",
    "PAIRS",
    "SIMILAR",
    "ClipJudge",
    "Judge",
    "Pair",
    "QualityTable",
    "Study",
    "Trial",
    "make_judge",
    "quality_table",
    "run_study",
]
