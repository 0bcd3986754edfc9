"""Pages in a real browser: what is damaged is named among what is good, bad input is refused, two tabs agree."""

import shutil
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from netdiffuse import experiments
from netdiffuse.studio.fields import Field, algorithm_fields, option_fields, problem_fields
from netdiffuse.studio.form import WHAT
from netdiffuse.studio.jobs import Jobs
from netdiffuse.studio.runs import RunStore
from tests.studio.browser import Browser, Server, chromium, until

FAST = {"n_envs": 8, "contexts": 100, "settings": {"n_steps": 8, "batch_size": 32}}
FIELDS = [
    (part, field)
    for part, fields in (
        ("options", option_fields("gddpg")),
        ("algorithm", algorithm_fields("gddpg")),
        ("problem", problem_fields("power-allocation")),
    )
    for field in fields
    if field.kind == "text"  # of a choice or a switch, nothing bad can be chosen
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("pages") / "runs")
    yield running
    running.end()


@pytest.fixture(scope="module")
def form(server):
    """The Train page with every field in sight."""
    with chromium(1280, 1000) as browser:
        browser.open(server.url())
        for section in WHAT.values():
            browser.unfold(section)
        yield browser
        assert browser.errors() == []


def beside(browser: Browser, label: str) -> str:
    """What stands at a field, its own text apart."""
    place = browser.field(label).find_element(By.XPATH, "./ancestor::label[contains(@class, 'q-field')]")
    return place.text if "q-field--error" in place.get_attribute("class") else ""


def bad_value(field: Field) -> str:
    """Something that is no value of a field; "" where only the training as a whole can tell."""
    return next((text for text in ("[", "1e999", "word") if field.error(text) is not None), "")


@pytest.mark.parametrize(("part", "field"), FIELDS, ids=[f"{part}-{field.name}" for part, field in FIELDS])
def test_bad_input_is_refused_beside_its_field(server, form, part, field):
    text = bad_value(field)
    said = field.error(text)
    assert said, f"nothing is refused of {part} {field.name}"
    form.write(field.name, text)
    until(lambda: said.split(",")[0] in beside(form, field.name))
    form.click("button", "Start")
    assert said.split(",")[0] in beside(form, field.name)
    form.write(field.name, "")
    until(lambda: beside(form, field.name) == "")
    assert Jobs(server.root).all() == []


@pytest.mark.parametrize("name", ["schedule", "sampler"])
def test_a_word_that_only_the_training_knows_is_refused_beside_its_field(server, form, name):
    form.write(name, "sudden")
    form.click("button", "Start")
    until(lambda: "sudden" in beside(form, name))
    form.write(name, "")
    until(lambda: beside(form, name) == "")
    assert Jobs(server.root).all() == []


@pytest.mark.parametrize("text", ["0", "101", "1.5", "3,5", "1e999", ""])
def test_a_number_of_seeds_that_is_none_is_refused_beside_its_field(server, form, text):
    form.write("Seeds", text)
    form.click("button", "Start")
    until(lambda: "from 1 to 100" in beside(form, "Seeds"))
    form.write("Seeds", "1")
    until(lambda: beside(form, "Seeds") == "")
    assert Jobs(server.root).all() == []


def test_an_unknown_problem_is_refused_beside_its_field(server):
    with chromium() as browser:
        browser.open(server.url())
        browser.field("Problem").send_keys(Keys.CONTROL, "a")
        browser.field("Problem").send_keys("power-alocation", Keys.ENTER, Keys.TAB)
        browser.with_text(".q-field--error", "Did you mean 'power-allocation'?")
        browser.click("button", "Start")
        assert Jobs(server.root).all() == []


def choose(browser: Browser, label: str, option: str) -> None:
    """Choose from a list."""
    browser.click(".q-select", label)
    browser.click(".q-menu .q-item", option)


def press(text: str, *tabs: Browser) -> None:
    """Press a button in several tabs, one right after the other."""
    buttons = [tab.with_text("button", text) for tab in tabs]
    for tab, button in zip(tabs, buttons, strict=True):
        tab.script("arguments[0].click()", button)


def test_what_was_refused_as_a_whole_may_be_mended(tmp_path):
    """gddpg cannot learn aigc-services; with d2sac the same form starts."""
    with Server(tmp_path / "runs") as server, chromium() as browser:
        browser.open(server.url())
        choose(browser, "Problem", "aigc-services")
        browser.click("button", "Start")
        browser.with_text(".q-field--error", "for discrete actions use D2SAC")
        choose(browser, "Algorithm", "d2sac")
        until(lambda: not browser.driver.find_elements(By.CSS_SELECTOR, ".q-field--error"))
        browser.waits_for(f"Settings of the algorithm ({len(algorithm_fields('d2sac'))})")
        browser.write("timesteps", "1")
        browser.click("button", "Start")
        until(lambda: [job.run for job in Jobs(server.root).all()] == ["aigc-services-d2sac-s0"])
        until(lambda: Jobs(server.root).all()[0].state == "ended")


DEAF = """
const emit = window.socket.emit;
window.socket.emit = function (name, ...rest) { return window.deaf ? this : emit.call(this, name, ...rest); };
"""


def words_of(root: Path) -> dict[str, str]:
    """What the only job was told, by option."""
    (job,) = Jobs(root).all()
    return dict(zip(job.words, job.words[1:], strict=False))


def test_what_is_seen_is_what_starts_though_a_connection_was_lost_while_it_was_typed(tmp_path):
    with Server(tmp_path / "runs") as server, chromium() as browser:
        browser.open(server.url())
        browser.unfold("Arguments of the problem")
        browser.script(DEAF)
        browser.write("channels", "1")
        browser.write("Seeds", "2")
        browser.script("window.deaf = true")
        browser.field("channels").send_keys(Keys.END, "6")
        browser.write("timesteps", "-1")
        browser.script("window.deaf = false")
        browser.click("button", "Start")
        until(lambda: "timesteps must be" in beside(browser, "timesteps"))  # which the studio had not heard of
        assert Jobs(server.root).all() == []
        browser.write("timesteps", "1")
        browser.script("window.deaf = true")
        browser.write("Seeds", "1")
        browser.script("window.deaf = false")
        browser.click("button", "Start")
        until(lambda: Jobs(server.root).all())
        words = words_of(server.root)
        assert (words["--timesteps"], words["--problem-set"]) == ("1", "channels=16")
        until(lambda: ended(server.root))


def test_a_form_outlives_a_reload(tmp_path):
    with Server(tmp_path / "runs") as server, chromium() as browser:
        browser.open(server.url())
        choose(browser, "Problem", "interference-channel")
        choose(browser, "Algorithm", "ppo")
        browser.unfold("Settings of the algorithm")
        browser.unfold("Arguments of the problem")
        ask_for(browser, timesteps="1", n_epochs="3", Seeds="2", links="4")
        browser.open(server.url())  # also what a page does after a studio was away for long
        until(lambda: browser.field("links").get_attribute("value") == "4")
        for name, text in {"timesteps": "1", "n_epochs": "3", "Seeds": "2"}.items():
            until(lambda name=name, text=text: value_of(browser, name) == text)
        ask_for(browser, Seeds="1", links="")
        browser.open(server.url())
        until(lambda: browser.field("n_epochs").get_attribute("value") == "3")
        browser.click("button", "Start")
        until(lambda: Jobs(server.root).all())
        (job,) = Jobs(server.root).all()
        assert job.words[:4] == ("train", "interference-channel", "--algorithm", "ppo")
        assert words_of(server.root)["--set"] == "n_epochs=3"
        assert "--problem-set" not in job.words
        until(lambda: ended(server.root))
        with chromium() as other:  # another's tab has a form of its own
            other.open(server.url())
            assert other.field("Seeds").get_attribute("value") == "1"
            assert other.field("timesteps").get_attribute("value") == ""
        assert browser.errors() == []


def test_a_form_outlives_its_studio(tmp_path):
    first = Server(tmp_path / "runs")
    try:
        with chromium() as browser:
            browser.open(first.url())
            browser.unfold("Arguments of the problem")
            ask_for(browser, channels="7", seed="2")
            first.end(signal.SIGKILL)
            browser.waits_for("Connection lost")
            browser.script("window.old = true")
            browser.write("seed", "22")  # of which no studio hears
            assert browser.script("return getComputedStyle(arguments[0]).pointerEvents", start_of(browser)) == "none"
            again = Server(tmp_path / "runs", port=first.port)
            try:
                until(lambda: browser.script("return !window.old"))  # it loads itself anew
                until(lambda: value_of(browser, "seed") == "22")
                until(lambda: value_of(browser, "channels") == "7")
                browser.write("timesteps", "1")
                browser.click("button", "Start")
                until(lambda: Jobs(again.root).all())
                words = words_of(again.root)
                assert (words["--seed"], words["--problem-set"]) == ("22", "channels=7")
                until(lambda: ended(again.root))
                browser.driver.get("about:blank")
            finally:
                again.end()
    finally:
        first.end(signal.SIGKILL)


def start_of(browser: Browser) -> WebElement:
    return browser.with_text("button", "Start")


def value_of(browser: Browser, label: str) -> str | None:
    found = browser.driver.find_elements(By.CSS_SELECTOR, f'input[aria-label="{label}"]')
    try:
        return found[0].get_attribute("value") if found else None
    except StaleElementReferenceException:
        return None


@pytest.mark.parametrize("kept", ["{", '{"form": 1}', '{"form": {"algorithm": "gone"}, "seeds": "3"}'])
def test_a_form_that_was_kept_by_another_version_is_forgotten(server, kept):
    with chromium() as browser:
        browser.open(server.url())
        browser.script("sessionStorage.setItem('nd-form', arguments[0])", kept)
        browser.script("sessionStorage.setItem('nd-typed', '[')")
        browser.open(server.url())
        until(lambda: browser.script("return sessionStorage.getItem('nd-form')") is None)
        assert (value_of(browser, "Seeds"), value_of(browser, "seed")) == ("1", "")
        browser.write("seed", "5")
        browser.open(server.url())
        until(lambda: value_of(browser, "seed") == "5")
        assert browser.errors() == []
    assert "Traceback" not in Path(server.log.name).read_text()


def test_two_presses_are_one_start(tmp_path):
    with Server(tmp_path / "runs") as server, chromium() as browser:
        browser.open(server.url())
        browser.write("timesteps", "1")
        browser.script("arguments[0].click(); arguments[0].click()", start_of(browser))
        until(lambda: Jobs(server.root).all() and ended(server.root))
        assert len(Jobs(server.root).all()) == 1


def test_start_leads_to_what_is_wrong_however_far_it_is(tmp_path):
    with Server(tmp_path / "runs") as server, chromium() as browser:
        browser.open(server.url())
        for section in WHAT.values():
            browser.unfold(section)
        browser.write("learning_rate", "many")
        browser.write("Seeds", "0")
        browser.click("button", "Start")
        browser.waits_for("2 entries are wrong: learning_rate, Seeds")
        until(lambda: browser.script("return document.activeElement?.ariaLabel") == "learning_rate")
        until(
            lambda: browser.script(
                "return arguments[0].getBoundingClientRect().top >= 0", browser.field("learning_rate")
            )
        )
        browser.write("learning_rate", "")
        until(lambda: not browser.says("entries are wrong"))
        assert Jobs(server.root).all() == []
        assert browser.errors() == []


def test_a_finished_run_goes_on_to_a_larger_budget_alone(tmp_path):
    root = tmp_path / "runs"
    experiments.train("power-allocation", "ppo", timesteps=128, out=root / "good", **FAST)
    with Server(root) as server, chromium() as browser:
        browser.open(server.url("/?run=good"))
        browser.click("button", "Go on")
        for text in ("128", "10", "1.5e3", ""):
            browser.write("timesteps in all", text)
            browser.click(".q-dialog button", "Go on")
            browser.with_text(".q-dialog .q-field--error", "give ")
        assert Jobs(root).all() == []
        browser.write("timesteps in all", "256")
        browser.click(".q-dialog button", "Go on")
        until(lambda: RunStore(root).get("good").summary["timesteps"] == 256)
        until(lambda: ended(root))
        assert browser.errors() == []


def test_a_program_that_asks_for_the_page_breaks_nothing(server):
    with urllib.request.urlopen(server.url(), timeout=60) as answer:
        assert answer.status == 200
    time.sleep(5)  # as long as a page waits for its browser
    assert "Traceback" not in Path(server.log.name).read_text()


def test_damaged_files_are_named_and_the_good_runs_shown(tmp_path):
    root = tmp_path / "runs"
    experiments.train("power-allocation", "ppo", timesteps=128, out=root / "good", **FAST)
    shutil.copytree(root / "good", root / "no-curve")
    (root / "no-curve" / "progress.csv").write_text("time/total_timesteps\nmany\n")
    (root / ".studio").mkdir()
    (root / ".studio" / "queue.json").write_text('{"at_once": "man')
    with Server(root) as server, chromium() as browser:
        browser.open(server.url())
        browser.with_text('[role="alert"]', "queue.json is damaged, remove it")
        browser.with_text("button.nd-pick", "good")
        browser.click("button.nd-pick", "no-curve")
        browser.with_text('[role="alert"]', "progress.csv is damaged")
        browser.click("button.nd-pick", "good")
        browser.find('.nicegui-echart[aria-label="Learning curve of good"]')
        assert not browser.says("progress.csv is damaged")
        for path in ("/compare", "/inside?run=good", "/users", "/denoise"):
            browser.open(server.url(path))
            assert not browser.says("500")
        (root / ".studio" / "queue.json").unlink()  # as it says
        browser.open(server.url())
        until(lambda: browser.says("New run") and not browser.says("is damaged, remove it"))
        assert browser.errors() == []


def ask_for(tab: Browser, **values: str) -> None:
    for label, text in values.items():
        tab.write(label, text)


def ended(root: Path) -> bool:
    return all(job.state == "ended" for job in Jobs(root).all())


def test_two_tabs_start_and_stop_at_once(tmp_path):
    root = tmp_path / "runs"
    server = Server(root)
    first, second = "power-allocation-gddpg-s0", "power-allocation-gddpg-s0-2"
    try:
        with chromium() as one, chromium() as other:
            for tab in (one, other):
                tab.open(server.url())
                tab.unfold("Further options")
                ask_for(tab, seconds="1000", contexts="100")
            press("Start", one, other)
            until(lambda: sorted(job.run for job in Jobs(root).all()) == [first, second])
            until(lambda: RunStore(root).scan())  # one of them has begun; the other waits
            (begun,) = (record.name for record in RunStore(root).scan())
            (waits,) = {first, second} - {begun}
            for tab in (one, other):
                tab.waits_for(f"{waits}: waits")
                until(lambda tab=tab: not tab.says(f"{begun}: starting"))  # the queue is drawn anew then
            one.click("button", f"Remove {waits}")
            for tab in (one, other):
                until(lambda tab=tab: not tab.says(f"{waits}: waits"))
                tab.click("button.nd-pick", begun)
            until(lambda: (root / begun / "progress.csv").is_file())
            press("Stop", one, other)
            for tab in (one, other):
                tab.with_text("button", "Resume")
            until(lambda: ended(root))
            (job,) = Jobs(root).all()
            assert Jobs(root).failure(job) is None  # the second Stop did not break the saving
            assert RunStore(root).get(begun).summary["timesteps"] > 0
            assert one.errors() == other.errors() == []
    finally:
        server.end()
        jobs = Jobs(root)
        for job in jobs.all():
            if job.state == "running":
                jobs.stop(job.run)
        until(lambda: ended(root) or all(job.state != "running" for job in jobs.all()))
