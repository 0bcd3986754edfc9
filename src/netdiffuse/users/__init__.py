"""Simulated users: who they are, what they think of what they received, and whether that can be a reward."""

from netdiffuse.users.audit import Audit, audit
from netdiffuse.users.calibration import Calibration
from netdiffuse.users.description import describe
from netdiffuse.users.experience import Experience, Opinion, Rater, StatefulRater
from netdiffuse.users.parametric import ParametricRater
from netdiffuse.users.persona import PRESETS, Persona, Preferences, draw_personas, persona_of, persona_table, preset
from netdiffuse.users.qoe import above_floor, mean_opinion_score
from netdiffuse.users.sensitivities import Sensitivities

__all__ = [
    "PRESETS",
    "Audit",
    "Calibration",
    "Experience",
    "Opinion",
    "ParametricRater",
    "Persona",
    "Preferences",
    "Rater",
    "Sensitivities",
    "StatefulRater",
    "above_floor",
    "audit",
    "describe",
    "draw_personas",
    "mean_opinion_score",
    "persona_of",
    "persona_table",
    "preset",
]
