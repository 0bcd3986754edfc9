"""Registers the environments with Gymnasium, without importing what builds them."""

import gymnasium

ENVIRONMENTS: dict[str, str] = {
    "PowerAllocation": "power-allocation",
    "PowerAllocationGDMOPT": "power-allocation-gdmopt",
    "PowerAllocationDeepFade": "power-allocation-deep-fade",
    "PowerAllocationPermuted": "power-allocation-permuted",
    "InterferenceChannel": "interference-channel",
}
"""Name of each environment, `netdiffuse/<name>-v0`, and the preset it is made from."""

SEQUENTIAL: dict[str, str] = {"AIGCServices": "aigc-services", "SharedDenoising": "shared-denoising"}
"""Name of each environment of many steps, `netdiffuse/<name>-v0`, and its name on the command line."""


def register_environments() -> None:
    """Register every preset with Gymnasium; nothing is built, and torch is not imported, before it is made."""
    places = {
        "AIGCServices": "netdiffuse.problems.aigc_services:AIGCServices",
        "SharedDenoising": "netdiffuse.problems.shared_denoising:SharedDenoising",
    }
    for name, place in places.items():
        if f"netdiffuse/{name}-v0" not in gymnasium.registry:
            gymnasium.register(
                f"netdiffuse/{name}-v0", entry_point=f"{place}Env", vector_entry_point=f"{place}VectorEnv"
            )
    for name, preset in ENVIRONMENTS.items():
        env_id = f"netdiffuse/{name}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="netdiffuse.problems.environments:make_env",
                vector_entry_point="netdiffuse.problems.environments:make_vector_env",
                kwargs={"preset": preset},
            )
