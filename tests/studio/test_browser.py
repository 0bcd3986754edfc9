import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from netdiffuse import experiments
from netdiffuse.studio.jobs import Jobs
from netdiffuse.studio.runs import RunStore, curve_of
from tests.studio.browser import Server, chromium, until
from tests.studio.contrast import CONTRAST, UNLABELLED
from tests.studio.test_edge import rated

FAST = {"n_envs": 8, "contexts": 100, "settings": {"n_steps": 8, "batch_size": 32}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Three finished runs and two damaged ones."""
    root = tmp_path_factory.mktemp("studio") / "runs"
    for seed in (0, 1):
        experiments.train("power-allocation", "ppo", timesteps=512, seed=seed, out=root / f"ppo-s{seed}", **FAST)
    experiments.train("power-allocation", "diffusion-apg", timesteps=2048, out=root / "apg-s0", contexts=100)
    shutil.copytree(root / "ppo-s0", root / "no-json")
    (root / "no-json" / "config.json").write_text("{")
    shutil.copytree(root / "ppo-s0", root / "no-curve")
    (root / "no-curve" / "progress.csv").write_text("time/total_timesteps\nmany\n")
    return root


@pytest.fixture(scope="module")
def server(trained):
    running = Server(trained)
    yield running
    running.end()


def timesteps(root: Path, name: str) -> int:
    summary = RunStore(root).get(name).summary
    return 0 if summary is None else summary["timesteps"]


def timesteps_of_curve(root: Path, name: str) -> int:
    curve = curve_of(RunStore(root).get(name))
    return 0 if curve is None else int(curve["timesteps"].iloc[-1])


def test_a_run_from_the_form_is_stopped_resumed_outlives_the_studio_and_is_looked_into(tmp_path, browser):
    root = tmp_path / "runs"
    first = Server(root)
    name = "power-allocation-gddpg-s0"
    try:
        browser.open(first.url())
        browser.write("seconds", "1000")
        browser.unfold("Further options")
        browser.write("contexts", "100")
        browser.click("button", "Start")
        browser.waits_for(name)
        browser.waits_for("running")
        described = f"Learning curve of {name}"
        before = browser.chart(described)
        until(lambda: browser.chart(described) != before)  # it moves
        browser.click("button", "Stop")
        browser.click("button", "Resume")
        stopped_at = timesteps(root, name)
        assert stopped_at > 0
        browser.waits_for("running")
        until(lambda: timesteps_of_curve(root, name) > stopped_at)  # it has learned more
        first.end(signal.SIGKILL)
        browser.waits_for("Connection lost")
        browser.driver.get("about:blank")
        browser.errors()  # of the lost connection
        until(lambda: RunStore(root).get(name).state == "running")
        second = Server(root)
        try:
            browser.open(second.url())
            browser.waits_for("running")
            browser.click("button", "Stop")
            browser.with_text("button", "Resume")
            assert timesteps(root, name) > stopped_at  # it went on without a studio
            browser.click("a", "Look inside")
            browser.find(f'.nicegui-echart[aria-label^="Decision of {name}"]')
            assert browser.errors() == []
            browser.driver.get("about:blank")  # a page would find its studio gone
        finally:
            second.end()
    finally:
        first.end(signal.SIGKILL)
        jobs = Jobs(root)
        for job in jobs.all():
            if job.state == "running":
                jobs.stop(job.run)
        until(lambda: all(job.state != "running" for job in jobs.all()))


@pytest.mark.parametrize("drawn", [False, True], ids=["from-zero", "from-noise"])
def test_the_chain_of_a_decision_is_stepped_through_and_a_gain_changed(server, browser, drawn):
    browser.open(server.url("/inside?run=apg-s0"))
    described = "Decision of apg-s0"
    decided = browser.chart(described)
    if drawn:
        browser.click(".q-toggle", "Deterministic")
        until(lambda: browser.chart(described) != decided)
        decided = browser.chart(described)
    assert not browser.says("at step")
    slider = browser.find('[aria-label="Denoising step"] [tabindex]')
    slider.send_keys(*[Keys.ARROW_LEFT] * 10)
    browser.waits_for("decoded noise" if drawn else "start at zero")
    browser.waits_for("at step 0 of")  # beside the figures
    until(lambda: browser.chart(described) != decided)
    # One press at a time, as long as it takes: on a busy machine the page may still be drawing the step before.
    until(lambda: (slider.send_keys(Keys.ARROW_RIGHT), browser.chart(described) == decided)[1])
    assert browser.says("of the reference")
    browser.find('[aria-label="gain_0"] [tabindex]').send_keys(*[Keys.ARROW_RIGHT] * 20)
    until(lambda: browser.chart(described) != decided)
    changed = browser.chart(described)
    browser.click("button", "Another context")
    until(lambda: browser.chart(described) != changed)


# The runs to choose from, and what stands beside them.
LISTED = """
return [...document.querySelectorAll('.q-checkbox')].map(box => box.parentElement.innerText.split('\\n'));
"""


def test_a_run_without_a_picture_is_not_offered(tmp_path, browser):
    root = tmp_path / "runs"
    settings = {"n_steps": 64, "batch_size": 32}
    experiments.train("CartPole-v1", "ppo", timesteps=64, n_envs=1, contexts=1, settings=settings, out=root / "pole")
    experiments.train("power-allocation", "ppo", timesteps=512, out=root / "power", **FAST)
    running = Server(root)
    try:
        browser.open(running.url("/inside?run=pole"))  # as a link may
        browser.waits_for("ppo on CartPole-v1 has no picture here")
        browser.click(".q-select", "Run")
        browser.with_text(".q-menu .q-item", "power")
        assert [item.text for item in browser.driver.find_elements(By.CSS_SELECTOR, ".q-menu .q-item")] == ["power"]
        browser.open(running.url("/inside"))
        browser.find('.nicegui-echart[aria-label^="Decision of power"]')
        assert browser.errors() == []
        browser.driver.get("about:blank")  # a page would find its studio gone
    finally:
        running.end()


def test_prompts_share_their_first_steps(server, browser):
    browser.open(server.url("/denoise"))
    browser.write("Prompts, one a user and line", "an apple on a table")
    browser.click("button", "Denoise")
    browser.waits_for("give two prompts or more")
    assert browser.says("chosen by meaning")  # why k cannot be filled in
    assert browser.says("an exact hand-off has none")
    browser.field("Prompts, one a user and line").send_keys("\na lemon on a table")
    browser.click(".q-toggle", "Choose shared steps by meaning")
    browser.write("Steps", "4")
    browser.write("Shared steps k", "2")
    browser.click("button", "Denoise")
    browser.waits_for("users 1 and 2 share 2 steps")
    assert not browser.says("opening the model")
    browser.waits_for("25.0%")  # two of eight
    browser.waits_for("own steps")
    browser.find('[aria-label="Denoising step"] [tabindex]').send_keys(*[Keys.ARROW_LEFT] * 2)
    browser.waits_for("hand-off")
    assert not browser.says("The form has changed since")
    browser.write("Seed", "1")
    browser.waits_for("The form has changed since")
    typed = """an "apple" isn't <b>a lemon</b>"""
    browser.write("Prompts, one a user and line", f"{typed}\na lemon on a table")
    browser.click("button", "Denoise")
    until(lambda: browser.script("return [...document.images].map(image => image.alt)").count(f"{typed}, alone") == 1)
    assert not browser.says("The form has changed since")
    browser.write("Model", "no/such/folder")
    browser.click("button", "Denoise")
    browser.waits_for("the model 'no/such/folder' cannot be opened")


def test_what_cannot_be_denoised_is_refused_as_it_was_typed(server, browser):
    browser.open(server.url("/denoise"))
    browser.click(".q-toggle", "Choose shared steps by meaning")
    browser.click(".q-select", "Codec")
    browser.click(".q-menu .q-item", "uint8")
    for label, usual, typed, told in (
        ("Bit error rate", "0", "1", "bit_error_rate must be in [0, 0.5], got 1"),
        ("Bit error rate", "0", "-0.1", "bit_error_rate must be in [0, 0.5], got -0.1"),
        ("Shared steps k", "5", "-1", "shared must be an integer of at least 0, got -1"),
        ("Shared steps k", "5", "12", "shared must be an integer of at most 11, got 12"),
        ("Steps", "11", "1.5", "Steps: give a whole number, got 1.5"),
        ("Steps", "11", "1001", "steps must be an integer of at most 1000, got 1001"),
        ("Seed", "0", "", "Seed: give a number"),
    ):
        browser.write(label, typed)
        browser.click("button", "Denoise")
        browser.waits_for(told)
        assert browser.field(label).get_attribute("value") == typed
        browser.write(label, usual)
    assert browser.says("Type prompts and press Denoise")  # nothing was done


def test_runs_are_compared(server, browser):
    browser.open(server.url("/compare"))
    browser.with_text("td", "diffusion-apg")
    rows = browser.script(
        "return [...document.querySelectorAll('tbody tr')].map(row => [...row.children].map(cell => cell.innerText))"
    )
    found = {row[0]: row for row in rows}
    values = [json.loads((server.root / f"ppo-s{s}" / "summary.json").read_text()) for s in (0, 1)]
    mean = sum(v["evaluation"]["optimality_percent"] for v in values) / 2
    method = next(name for name in found if name.startswith("ppo"))
    assert (found[method][1], found[method][2]) == ("2", f"{mean:.2f}")
    assert found[method][3].startswith("± ")
    before = browser.chart("Learning curves of")
    browser.click(".q-checkbox", "apg-s0")
    until(lambda: browser.chart("Learning curves of") != before)


def test_a_comparison_begins_anew_with_another_problem_which_the_address_keeps(tmp_path, browser):
    root = tmp_path / "runs"
    experiments.train("interference-channel", "ppo", timesteps=512, out=root / "links", **FAST)
    few = {"problem_args": {"channels": 4}}
    for name, more in (("usual", {}), ("few", few), ("fewer", few | {"seed": 1})):
        experiments.train("power-allocation", "ppo", timesteps=512, out=root / name, **FAST, **more)
        time.sleep(0.01)
    config = root / "usual" / "config.json"
    entries = json.loads(config.read_text())
    config.write_text(json.dumps(entries | {"budget": {"seconds": None, "timesteps": 1024}}))  # so it was stopped
    running = Server(root)
    try:
        browser.open(running.url("/compare?problem=power-allocation"))
        browser.waits_for("stopped early: usual")
        listed = {"usual": "stopped", "few": "channels=4", "fewer": "channels=4"}
        until(lambda: dict(browser.script(LISTED)) == listed)
        assert browser.says("left out, other arguments (channels=4): fewer, few")
        browser.write("Threshold", "70")
        browser.waits_for("seconds to 70")
        browser.click(".q-select", "Problem")
        browser.click(".q-menu .q-item", "interference-channel")
        browser.find('.nicegui-echart[aria-label^="Learning curves of ppo"]')
        until(lambda: [name for name, *_ in browser.script(LISTED)] == ["links"])
        browser.waits_for("seconds to 99")
        assert browser.field("Threshold").get_attribute("value") == ""
        browser.click(".q-checkbox", "links")
        browser.waits_for("Choose runs on the left.")
        until(lambda: not browser.field("Threshold").get_attribute("placeholder"))
        browser.open(browser.driver.current_url)
        until(lambda: [box.text for box in browser.driver.find_elements(By.CSS_SELECTOR, ".q-checkbox")] == ["links"])
        assert browser.errors() == []
        browser.driver.get("about:blank")  # a page would find its studio gone
    finally:
        running.end()


def test_damaged_runs_stand_among_good_ones(server, browser):
    browser.open(server.url())
    browser.with_text("tbody tr", "damaged")
    browser.click("button.nd-pick", "no-json")
    browser.waits_for("config.json is damaged")
    browser.click("button.nd-pick", "no-curve")
    browser.waits_for("progress.csv is damaged")
    browser.click("button.nd-pick", "ppo-s1")
    browser.find('.nicegui-echart[aria-label="Learning curve of ppo-s1"]')


@pytest.mark.parametrize(
    ("section", "label", "text", "said"),
    [
        (None, "seconds", "-1", "seconds must be positive"),
        (None, "timesteps", "1.5", "timesteps must be an integer"),
        (None, "seed", "-1", "seed must be an integer of at least 0"),
        ("Settings of the algorithm", "batch_size", "many", "batch_size of gddpg must be int"),
        ("Settings of the algorithm", "tau", "2", "must be in [0, 1]"),
        ("Settings of the algorithm", "schedule", "sudden", "unknown"),
        ("Arguments of the problem", "channels", "0", "channels must be an integer of at least 1"),
        ("Arguments of the problem", "gains", "rayligh", "Did you mean 'rayleigh'?"),
        ("Further options", "device", "abacus", "device 'abacus' cannot be used"),
        ("Further options", "policy", "Big", "unknown policy 'Big'"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field(server, browser, section, label, text, said):
    browser.open(server.url())
    if section is not None:
        browser.unfold(section)
    browser.write(label, text)
    browser.click("button", "Start")
    browser.with_text(".q-field--error", said)
    assert Jobs(server.root).all() == []


def test_users_are_asked(server, browser):
    browser.open(server.url("/users"))
    before = browser.chart("Opinions of average")
    assert browser.says("nothing to complain of")
    browser.find('[aria-label="delay"] [tabindex]').send_keys(*[Keys.PAGE_UP] * 20)
    until(lambda: browser.chart("Opinions of average") != before)
    browser.waits_for("it took")
    now = browser.chart("Opinions of average")
    browser.click("button", "Ask again")
    until(lambda: browser.chart("Opinions of average") != now)  # another draw of the same people
    browser.find('.nicegui-echart[aria-label="Traits of impatient, easygoing"]')
    assert browser.says("Train shared-denoising to see")


def test_ratings_are_seen_coming_in(server, browser, tmp_path):
    with rated(tmp_path, [("frugal", 2.0), ("easygoing", 5.0), ("frugal", 3.0)]) as url:
        browser.open(server.url("/users"))
        browser.write("Address", url)
        browser.write("Token, if it wants one", "secret")
        browser.click(".q-toggle", "Watch")
        browser.waits_for("3 ratings, mean opinion 3.33")
        assert browser.says("that of easygoing")
        assert browser.chart("Mean rating of easygoing, frugal")


def test_two_tabs_show_the_same(server):
    with chromium() as one, chromium() as other:
        for tab in (one, other):
            tab.open(server.url())
            tab.with_text("button.nd-pick", "ppo-s0")
        one.click("button.nd-pick", "ppo-s0")
        other.click("button.nd-pick", "ppo-s1")
        one.find('.nicegui-echart[aria-label="Learning curve of ppo-s0"]')
        other.find('.nicegui-echart[aria-label="Learning curve of ppo-s1"]')
        assert one.errors() == other.errors() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/inside?run=apg-s0", "/compare", "/denoise", "/users"])
def test_every_control_has_a_label_and_every_word_can_be_read(server, browser, path, dark):
    browser.open(server.url(path))
    if dark:
        browser.click("button", "Light or dark")
        until(lambda: browser.script("return document.body.classList.contains('body--dark')"))
    if path == "/":
        for section in ("Settings of the algorithm", "Arguments of the problem", "Further options"):
            browser.unfold(section)
    time.sleep(1.5)  # until nothing moves any more
    assert browser.script(UNLABELLED) == []
    assert browser.script(CONTRAST) == []


def test_nothing_is_wider_than_a_phone(server):
    with chromium(390, 844) as phone:
        for path in ("/", "/inside?run=apg-s0", "/compare", "/denoise", "/users"):
            phone.open(server.url(path))
            time.sleep(1.0)
            assert phone.script("return document.documentElement.scrollWidth") <= 390, path


def test_the_names_of_traits_fit_on_a_phone(server):
    inside = """
const within = document.querySelector(arguments[0]).getBoundingClientRect();
return [...document.querySelectorAll(arguments[0] + ' text')].filter(word => word.getClientRects().length)
  .map(word => [word.textContent, word.getBoundingClientRect()])
  .filter(([_, box]) => box.left < within.left || box.right > within.right).map(([text, _]) => text);
"""
    portraits = '.nicegui-echart[aria-label^="Traits of"]'
    with chromium(390, 844) as phone:
        phone.open(server.url("/users"))
        until(lambda: "neuroticism" in phone.find(portraits).text)
        assert phone.script(inside, portraits) == []


def test_nothing_comes_from_elsewhere(server, browser):
    for path in ("/", "/inside?run=apg-s0", "/compare", "/denoise", "/users"):
        browser.open(server.url(path))
        time.sleep(1.0)
        places = browser.script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [place for place in places if not place.startswith((server.url(), "data:", "blob:"))] == []


def test_a_password_is_asked_for(tmp_path):
    locked = Server(tmp_path / "runs", "--password", "open sesame")
    try:
        with chromium() as browser:
            browser.open(locked.url("/compare"))
            assert browser.driver.current_url.endswith("/login")
            browser.write("Password", "open barley")
            browser.click("button", "Log in")
            browser.waits_for("that is not the password")
            browser.write("Password", "open sesame")
            browser.click("button", "Log in")
            browser.waits_for("New run")
    finally:
        locked.end()
