"""The lines that a view offers, copied from the page and run elsewhere, tell the numbers that the page shows."""

import ast
import re
import subprocess
import sys

import pytest

from netdiffuse import experiments
from tests.studio.browser import Browser, Server, until

FAST = {"n_envs": 8, "contexts": 100, "settings": {"n_steps": 8, "batch_size": 32}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("offered") / "runs"
    for seed in (0, 1):
        experiments.train("power-allocation", "ppo", timesteps=512, seed=seed, out=root / f"ppo-s{seed}", **FAST)
    experiments.train("power-allocation", "diffusion-apg", timesteps=1024, out=root / "apg-s0", contexts=100)
    running = Server(root)
    yield running
    running.end()


def offered(browser: Browser, number: int = 0) -> str:
    """The Python behind a button of the page, as it is copied."""
    buttons = browser.driver.find_elements("xpath", "//button[contains(., 'As Python, as a command')]")
    browser.script("arguments[0].click()", buttons[number])
    browser.with_text(".q-dialog .nd-title", "As Python")
    return until(lambda: browser.script("return document.querySelector('.q-dialog .nicegui-code code')?.innerText"))


def lines_of(python: str, folder) -> list[str]:
    """What a program prints."""
    done = subprocess.run([sys.executable, "-c", python], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def tiles(browser: Browser) -> dict[str, str]:
    """Numbers by their names."""
    return dict(
        browser.script(
            "return [...document.querySelectorAll('.nd-tile')].map("
            "tile => [tile.querySelector('.name').innerText, tile.querySelector('.value').innerText])"
        )
    )


def test_train_again(server, browser, tmp_path):
    browser.open(server.url("/?run=ppo-s1"))
    until(lambda: tiles(browser)["optimality"] != "–")
    python = offered(browser, number=1)  # the first is the form's
    *_, printed = lines_of(python + "\nprint(run.summary['evaluation']['optimality_percent'])", tmp_path)
    assert tiles(browser)["optimality"] == f"{float(printed):.2f}%"
    assert (server.root / "ppo-s1-again").is_dir()


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("name", ["apg-s0", "ppo-s0"])
def test_look_inside(server, browser, tmp_path, name, deterministic):
    browser.open(server.url(f"/inside?run={name}"))
    browser.find(f'.nicegui-echart[aria-label^="Decision of {name}"]')
    if not deterministic:  # as it begins
        browser.click(".q-toggle", "Deterministic")
    python = offered(browser)  # comes after the decision, in the order of what is pressed
    assert ("seed=None" in python or "deterministic=True" in python) == deterministic
    python += "\nshown = run.problem.feasible.decode(chain[-1])\n"
    python += "print(run.problem.utility(torch.as_tensor(context), shown).item())"
    *_, printed = lines_of(python, tmp_path)
    assert tiles(browser)["utility"].split()[0] == f"{float(printed):.4g}"


def test_compare(server, browser, tmp_path):
    browser.open(server.url("/compare"))
    browser.with_text("td", "diffusion-apg")
    browser.click(".q-checkbox", "apg-s0")
    until(lambda: "diffusion-apg" not in browser.find("tbody").text)
    (mean,) = browser.script("return [...document.querySelectorAll('tbody tr')].map(row => row.children[2].innerText)")
    *_, printed = lines_of(offered(browser) + "    print(method.mean)", tmp_path)
    assert f"{float(printed):.2f}" == mean


def test_denoise(server, browser, tmp_path):
    browser.open(server.url("/denoise"))
    browser.write("Steps", "3")
    browser.click("button", "Denoise")
    browser.waits_for("to alone:")
    told = browser.script("return document.body.innerText.match(/MSE [0-9.]+/g)")
    python = offered(browser) + "\nfrom netdiffuse.denoising.quality import distance\n"
    *_, printed = lines_of(python + "print(distance(found.pictures, found.alone)['mse'])", tmp_path)
    assert [f"MSE {value:.4f}" for value in ast.literal_eval(printed)] == told
    assert (tmp_path / "grid.png").is_file()


def test_users(server, browser, tmp_path):
    browser.open(server.url("/users"))
    browser.chart("Opinions of average")
    means = browser.script("return [...document.querySelectorAll('tbody tr')].map(row => row.children[1].innerText)")
    printed = [re.search(r"mean opinion ([0-9.]+),", line)[1] for line in lines_of(offered(browser), tmp_path)]
    assert [f"{float(value):.2f}" for value in printed] == means
