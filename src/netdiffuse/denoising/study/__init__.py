"""Picture quality against what is shared, how alike the prompts are, and what the link does: the published figures."""

from netdiffuse.denoising.study.pairs import PAIRS, Pair
from netdiffuse.denoising.study.study import Judge, Study, Trial, quality_table, run_study
from netdiffuse.denoising.study.table import QualityTable

__all__ = ["PAIRS", "Judge", "Pair", "QualityTable", "Study", "Trial", "quality_table", "run_study"]
