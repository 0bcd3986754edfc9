import copy
import json
import logging
import pickle
import sqlite3
import sys
import warnings

import cloudpickle
import numpy as np
import pytest
from PIL import Image

from netdiffuse.common import InvalidValueError, MissingExtraError, RunError, UnknownNameError, UnsupportedError
from netdiffuse.users import PRESETS, Experience, Opinion, ParametricRater, audit
from netdiffuse.users.llm import AnswerCache, Endpoint, Ledger, LLMRater, Price, RatingError, Sampling
from netdiffuse.users.llm.endpoint import FAILURES_UNTIL_ONCE

from .server import FAULTS, ODD, Model, rating_of, serving

CROWD = list(PRESETS.values())
AVERAGE = PRESETS["average"]
COLD = Sampling(temperature=0)


def experiences(n: int, first: float = 0.0) -> list[Experience]:
    """N that no rounding makes alike, with qualities from `first` to 1."""
    return [Experience(f"picture {i}", quality, 2.0, 0.05) for i, quality in enumerate(np.linspace(first, 1, n))]


def quick(url: str, **options) -> Endpoint:
    return Endpoint(url, **{"backoff_s": 0.001, "timeout_s": 30.0, **options})


def points(experience: Experience) -> float:
    return rating_of(f"{100 * experience.quality:.0f} of 100 points")


def test_ratings_are_the_models_and_are_accounted_for():
    with serving() as (url, model):
        rater = LLMRater("m", quick(url), sampling=COLD, ledger=Ledger(Price(2.0, 10.0)))
        given = experiences(7)
        found = rater.rate([AVERAGE] * 7, given)
    assert [opinion.rating for opinion in found] == [round(points(experience)) for experience in given]
    assert {(opinion.source, opinion.reason) for opinion in found} == {("llm", "that is how I feel")}
    said = rater.ledger.to_dict()
    assert (said["questions"], said["requests"], said["fallbacks"], said["faults"]) == (7, 7, 0, {})
    assert (said["input_tokens"], said["output_tokens"], said["unmetered"]) == (700, 70, 0)
    assert said["money"] == pytest.approx(700 * 2e-6 + 70 * 1e-5)
    assert said["seconds"] > 0
    assert "7 requests, 700 tokens in and 70 out" in str(rater.ledger)
    body = model.requests[0]
    assert body["response_format"]["json_schema"]["schema"]["properties"]["rating"]["enum"] == [1, 2, 3, 4, 5]
    assert "You are neither" in body["messages"][0]["content"]
    assert "average" not in json.dumps(body["messages"])


def test_servers_are_told_of_the_schema_in_their_ways():
    asked = {}
    with serving() as (url, model):
        for constraint in ("json-schema", "json-object", "none"):
            rater = LLMRater("m", quick(url, constraint=constraint), sampling=COLD)
            assert rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])[0].source == "llm"
            asked[constraint] = model.requests[-1].get("response_format")
    schema = asked["json-schema"]["json_schema"]["schema"]
    assert asked["json-object"] == {"type": "json_object", "schema": schema}
    assert asked["none"] is None
    with pytest.raises(UnknownNameError, match="Did you mean 'json-schema'"):
        quick("http://127.0.0.1:9/v1", constraint="json_schema")


def test_an_expected_rating_is_smooth_and_has_its_variance():
    with serving() as (url, model):
        rater = LLMRater("m", quick(url), sampling=Sampling("expected"))
        found = rater.rate([AVERAGE] * 3, [Experience("a", quality, 1.0) for quality in (0.55, 0.56, 0.8)])
    # 55 points: 2.75, which is a quarter 2 and three quarters 3
    assert [opinion.rating for opinion in found] == pytest.approx([2.75, 2.8, 4.0])
    assert [opinion.variance for opinion in found] == pytest.approx([0.25 * 0.75, 0.2 * 0.8, 0.0])
    assert "2: 25%, 3: 75%" in found[0].reason
    assert (model.requests[0]["max_tokens"], model.requests[0]["top_logprobs"]) == (1, 20)


def test_several_samples_have_a_mean_and_a_variance():
    with serving() as (url, model):
        rater = LLMRater("m", quick(url), sampling=Sampling(samples=5, seed=10))
        (opinion,) = rater.rate([AVERAGE], [Experience("a", 0.6, 1.0)])
    # the server adds a point at odd seeds: 3, 4, 3, 4, 3
    assert opinion.rating == pytest.approx(3.4)
    assert opinion.variance == pytest.approx(np.var([3, 4, 3, 4, 3], ddof=1))
    assert opinion.samples == 5
    assert sorted(body["seed"] for body in model.requests) == [10, 11, 12, 13, 14]


def test_equal_questions_are_asked_once():
    with serving() as (url, model):
        rater = LLMRater("m", quick(url), sampling=COLD)
        alike = [Experience("a", 0.5, delay) for delay in (1.0, 1.001, 1.04, 1.3)]
        found = rater.rate([AVERAGE] * 4, alike)
        assert len(model.requests) == 2
    assert len({opinion.rating for opinion in found}) == 1
    assert rater.ledger.to_dict()["from_cache"] == 2


@pytest.mark.parametrize("kind", [*FAULTS, "bad_request", "no_reason", "no_rating", "broken_json", "no_choices", *ODD])
def test_every_fault_is_counted_and_the_fallback_said(kind):
    named = dict.fromkeys(("no_reason", "no_rating", "broken_json", "no_choices", *ODD), "malformed")
    with serving(Model(rate=1.0, faults=(kind,))) as (url, model):
        rater = LLMRater("m", quick(url, retries=1, timeout_s=0.5 if kind == "timeout" else 30.0))
        with pytest.warns(RuntimeWarning, match=f"gave no rating \\({named.get(kind, kind)}"):
            (opinion,) = rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])
    expected = ParametricRater(noisy=False).rate([AVERAGE], [Experience("a", 0.5, 1.0)])[0]
    assert (opinion.rating, opinion.source) == (expected.rating, "fallback")
    final = kind in ("unauthorised", "wrong_model", "bad_request")  # asking again would not help
    said = rater.ledger.to_dict()
    assert said["faults"] == {named.get(kind, kind): 1 if final else 2}
    assert said["requests"] == len(model.requests) == (1 if final else 2)
    assert said["fallbacks"] == 1


def test_a_model_that_gives_no_digits():
    with serving(Model(rate=1.0, faults=("no_digits",))) as (url, _):
        rater = LLMRater("m", quick(url, retries=3), sampling=Sampling("expected"), fallback=None)
        with pytest.raises(RatingError, match="1% on the digits 1 to 5: take answer='json'"):
            rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])
    assert rater.ledger.to_dict()["faults"] == {"no_digits": 1}  # another seed would not change probabilities


def test_how_much_the_digits_need_is_a_choice():
    with serving(Model(rate=1.0, faults=("no_digits",))) as (url, _):
        rater = LLMRater("m", quick(url), sampling=Sampling("expected", least_mass=0.005), fallback=None)
        assert rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])[0].rating == pytest.approx(4)  # all of it on 4


def test_an_endpoint_without_log_probabilities(monkeypatch):
    with serving(Model(rate=1.0, faults=("malformed",))) as (url, _):
        rater = LLMRater("m", quick(url, retries=0), sampling=Sampling("expected"), fallback=None)
        with pytest.raises(RatingError, match="gives no log-probabilities"):
            rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])


def test_retries_mend_what_passes():
    kinds = ("unreachable", "rate_limited", "server_error", "malformed", "refused", "out_of_range")
    with serving(Model(faults=kinds, first=1)) as (url, model):
        rater = LLMRater("m", quick(url, concurrency=1), sampling=COLD)
        given = experiences(6)
        found = rater.rate([AVERAGE] * 6, given)
    assert [opinion.rating for opinion in found] == [round(points(experience)) for experience in given]
    said = rater.ledger.to_dict()
    assert said["faults"] == dict.fromkeys(kinds, 1) == dict(model.injected)
    assert (said["fallbacks"], said["requests"]) == (0, 12)
    assert {body["seed"] for body in model.requests} == {0, 1000}


def test_a_fifth_of_everything_goes_wrong_and_each_is_counted():
    with serving(Model(rate=0.2)) as (url, model):
        rater = LLMRater("m", quick(url, retries=1, timeout_s=4.0), sampling=COLD)
        given = experiences(200)
        with pytest.warns(RuntimeWarning, match="the fallback rates"):
            found = rater.rate([AVERAGE] * 200, given)
    said = rater.ledger.to_dict()
    assert said["faults"] == dict(model.injected)
    assert set(said["faults"]) == set(FAULTS)
    assert said["requests"] == len(model.requests)
    fallbacks = [i for i, opinion in enumerate(found) if opinion.source == "fallback"]
    assert 0 < len(fallbacks) == said["fallbacks"] < 30
    by_formula = ParametricRater(noisy=False).rate([AVERAGE] * 200, given)
    for i, opinion in enumerate(found):
        assert opinion.rating == (by_formula[i].rating if i in fallbacks else round(points(given[i])))


def test_an_endpoint_that_is_down_does_not_hold_up_for_hours():
    with serving(Model(rate=1.0, faults=("server_error",))) as (url, model):
        rater = LLMRater("m", quick(url, retries=3, concurrency=1), sampling=COLD)
        with pytest.warns(RuntimeWarning, match="server_error"):
            found = rater.rate([AVERAGE] * 30, experiences(30))
        assert {opinion.source for opinion in found} == {"fallback"}
        assert len(model.requests) == 4 * FAILURES_UNTIL_ONCE + (30 - FAILURES_UNTIL_ONCE)
        model.rate = 0.0  # it is up again
        assert rater.rate([AVERAGE], [Experience("b", 0.5, 1.0)])[0].source == "llm"
        model.first = 1
        assert rater.rate([AVERAGE], [Experience("c", 0.5, 1.0)])[0].source == "llm"  # with retries, as before


def test_nobody_listens():
    rater = LLMRater("m", quick("http://127.0.0.1:9/v1", retries=1), fallback=None)
    with pytest.raises(RatingError, match="gave no rating \\(unreachable\\)"):
        rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])


def test_retry_after_is_heeded():
    with serving(Model(faults=("rate_limited",), first=1, headers={"Retry-After": "0.3"})) as (url, model):
        LLMRater("m", quick(url)).rate([AVERAGE], [Experience("a", 0.5, 1.0)])
    assert model.times[1] - model.times[0] >= 0.3


def test_no_more_requests_at_once_than_allowed():
    with serving(Model(delay_s=0.05)) as (url, model):
        rater = LLMRater("m", quick(url, concurrency=3), sampling=COLD)
        rater.rate([AVERAGE] * 20, experiences(20))
    assert 1 < model.most_open <= 3


def test_a_memory_is_told_in_order_and_kept_apart():
    with serving() as (url, model):
        rater = LLMRater("m", quick(url), memory=2, sampling=COLD)
        first, second = CROWD[:2]
        given = experiences(5)
        rater.rate([first, first, first, second], given[:4])
        asked = {body["messages"][-1]["content"].split('"')[1]: body["messages"] for body in model.requests}
        assert [len(asked[f"picture {i}"]) for i in range(4)] == [2, 4, 6, 2]
        assert [experience.prompt for experience, _ in rater.history[first.name]] == ["picture 1", "picture 2"]
        rater.rate([first], given[4:])
        last = model.requests[-1]["messages"]
        assert [message["role"] for message in last] == ["system", *["user", "assistant"] * 2, "user"]
        assert '"picture 1"' in last[1]["content"]
        assert json.loads(last[2]["content"])["rating"] == round(points(given[1]))
        rater.forget()
        rater.rate([first], [Experience("picture 9", 0.5, 1.0)])
        assert len(model.requests[-1]["messages"]) == 2


@pytest.mark.parametrize("memory", [0, 3])
def test_a_recorded_run_repeats_bit_for_bit_offline(tmp_path, memory):
    def run(endpoint):
        cache = AnswerCache(tmp_path / "answers.sqlite")
        rater = LLMRater("m", endpoint, memory=memory, sampling=Sampling(samples=3), cache=cache)
        random = np.random.default_rng(0)
        found = []
        for _ in range(8):
            quality = np.clip([opinion.rating / 5 for opinion in found[-6:]] or random.random(6), 0, 1)
            given = [Experience("a", float(q), float(random.uniform(0.1, 9))) for q in quality]
            found += rater.rate(CROWD, given)
        cache.close()
        return found, rater.ledger.to_dict()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with serving(Model(rate=0.6, faults=("server_error", "malformed", "wrong_model"))) as (url, _):
            recorded, said = run(quick(url, retries=0))
            assert said["fallbacks"] > 0
    replayed, again = run(None)
    assert replayed == recorded
    assert (again["requests"], again["fallbacks"]) == (0, said["fallbacks"])
    assert again["from_cache"] == 48 - said["fallbacks"]


def test_a_question_that_the_cache_does_not_know(tmp_path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    rater = LLMRater("m", None, cache=cache)
    with pytest.raises(RatingError, match="the cache has no answer of 'm'"):
        rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])


def test_the_cache_tells_models_personas_experiences_and_samplings_apart(tmp_path):
    with serving() as (url, model):
        cache = AnswerCache(tmp_path / "answers.sqlite")

        def ask(name="m", persona=AVERAGE, quality=0.5, **sampling):
            rater = LLMRater(name, quick(url), sampling=Sampling(**sampling), cache=cache)
            rater.rate([persona], [Experience("a", quality, 1.0)])
            return len(model.requests)

        assert ask() == ask() == 1
        assert ask("n") == 2
        assert ask(persona=CROWD[1]) == 3
        assert ask(quality=0.6) == 4
        assert ask(temperature=0.1) == 5
        assert ask(seed=1) == 6
        assert ask() == 6
        assert len(cache) == 6


def test_the_fallbacks_opinion_holds_for_its_own_run_and_another_asks_anew(tmp_path):
    with serving(Model(rate=1.0, faults=("server_error",))) as (url, model):
        cache = AnswerCache(tmp_path / "answers.sqlite")

        def source_by(rater):
            return rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])[0].source

        def another(endpoint):
            return LLMRater("m", endpoint, cache=cache)

        first = another(quick(url, retries=0))
        with pytest.warns(RuntimeWarning):
            assert source_by(first) == "fallback"
        model.rate = 0.0
        assert source_by(first) == "fallback"
        resumed = another(quick(url))
        resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert source_by(resumed) == "fallback"
        assert source_by(another(None)) == "fallback"  # replayed
        assert len(model.requests) == 1
        assert source_by(another(quick(url))) == "llm"
        assert len(model.requests) == 2
        assert source_by(first) == source_by(resumed) == "fallback"  # whatever others have been told since
        for rater in (another(quick(url)), another(None)):  # for good
            assert source_by(rater) == "llm"
        assert (len(model.requests), len(cache)) == (2, 1)


def test_what_the_fallback_answered_is_never_counted_as_the_models(tmp_path):
    with serving(Model(rate=1.0, faults=("server_error",))) as (url, _):
        cache = AnswerCache(tmp_path / "answers.sqlite")
        asking = LLMRater("m", quick(url, retries=0), cache=cache)
        with pytest.warns(RuntimeWarning):
            asking.rate([AVERAGE] * 2, [Experience("a", 0.5, 1.0)] * 2)
        asking.rate([AVERAGE], [Experience("a", 0.5, 1.0)])
    replaying = LLMRater("m", None, cache=cache)
    replaying.rate([AVERAGE] * 3, [Experience("a", 0.5, 1.0)] * 3)
    for rater in (asking, replaying):
        said = rater.ledger.to_dict()
        assert (said["questions"], said["from_cache"], said["fallbacks"]) == (3, 0, 3)


def test_of_two_writers_the_first_holds(tmp_path):
    one, two = AnswerCache(tmp_path / "answers.sqlite"), AnswerCache(tmp_path / "answers.sqlite")
    first, second = ParametricRater(0).rate([AVERAGE] * 2, [Experience("a", 0.5, 1.0)] * 2)
    assert one.put("key", "q", first) == first
    assert two.put("key", "q", second) == first


def test_an_answer_of_the_model_takes_the_place_of_a_fallbacks_and_no_other(tmp_path):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    stand_in, other = Opinion(2.0, "", source="fallback"), Opinion(3.0, "", source="fallback")
    answer, later = Opinion(4.0, "", source="llm"), Opinion(5.0, "", source="llm")
    assert cache.put("key", "q", stand_in) == stand_in
    assert cache.put("key", "q", other) == stand_in
    assert cache.put("key", "q", answer) == answer
    for late in (later, other):
        assert cache.put("key", "q", late) == answer


def test_what_is_no_cache(tmp_path):
    (tmp_path / "text").write_text("This is not a database, though it is long enough to be looked at as one." * 20)
    with pytest.raises(RunError, match="text cannot be used"):
        AnswerCache(tmp_path / "text")
    cache = AnswerCache(tmp_path / "answers.sqlite")
    with sqlite3.connect(tmp_path / "answers.sqlite") as db:
        db.execute("INSERT INTO opinions VALUES ('key', 'q', '{\"rating\": 9, \"reason\": \"\"}', 'llm', 0)")
    with pytest.raises(RunError, match="a rating must be in"):
        cache.get("key")


def test_a_model_that_sees_is_shown_the_picture(tmp_path):
    red, blue = (Image.new("RGB", (4, 4), name) for name in ("red", "blue"))
    with serving() as (url, model):
        cache = AnswerCache(tmp_path / "answers.sqlite")
        rater = LLMRater("m", quick(url), vision=True, cache=cache, memory=1)
        for picture in (red, blue, red):
            rater.forget()
            rater.rate([AVERAGE], [Experience("a", 0.5, 1.0, picture=picture)])
        assert len(model.requests) == 2
        text, shown = model.requests[0]["messages"][-1]["content"]
        assert text["type"] == "text"
        assert shown["image_url"]["url"].startswith("data:image/png;base64,")
        LLMRater("m", quick(url)).rate([AVERAGE], [Experience("a", 0.5, 1.0, measures={"SSIM": 0.81}, picture=red)])
        assert "SSIM: 0.81." in model.requests[-1]["messages"][-1]["content"]
    assert b"data:image" not in (tmp_path / "answers.sqlite").read_bytes()


def test_no_key_is_written_anywhere(tmp_path, caplog, capfd):
    secret = "sk-very-secret-0123456789"
    caplog.set_level(logging.DEBUG)
    kinds = ("unauthorised", "server_error", "rate_limited")
    with serving(Model(rate=0.5, faults=kinds, echo_key=True)) as (url, _):
        endpoint = quick(url, api_key=secret, retries=0)
        rater = LLMRater("m", endpoint, cache=AnswerCache(tmp_path / "answers.sqlite"))
        with pytest.warns(RuntimeWarning, match="\\[key\\]") as warned:
            found = rater.rate([AVERAGE] * 20, experiences(20))
    captured = capfd.readouterr()
    written = [str(w.message) for w in warned]
    written += [caplog.text, captured.out, captured.err, repr(endpoint), repr(found), str(rater.ledger.to_dict())]
    assert not any(secret in text for text in written)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(secret.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("place", ["reason", "malformed", "error"])
def test_an_endpoint_that_sends_the_key_back(tmp_path, place):
    secret = "sk-" + "0123456789" * 10
    with serving(Model(says_key=place)) as (url, _):
        cache = AnswerCache(tmp_path / "answers.sqlite")
        rater = LLMRater("m", quick(url, api_key=secret, retries=0), cache=cache)
        if place == "reason":
            (found,) = rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])
            assert (found.source, found.reason) == ("llm", "your key is Bearer [key]")
            said = found.reason
        else:
            with pytest.warns(RuntimeWarning, match="gave no rating") as warned:
                rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])
            said = str(warned[0].message)
    assert secret[:6] not in said
    assert not any(secret[:6].encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_replies_without_a_count_of_tokens_are_taken_and_said():
    with serving(Model(usage={"total_tokens": 5})) as (url, _):
        rater = LLMRater("m", quick(url), sampling=COLD)
        assert rater.rate([AVERAGE], [Experience("a", 0.5, 1.0)])[0].source == "llm"
    said = rater.ledger.to_dict()
    assert (said["unmetered"], said["input_tokens"]) == (1, 0)


def test_an_endpoint_is_not_pickled_with_its_key():
    rater = LLMRater("m", Endpoint("http://127.0.0.1:9/v1", api_key="secret"))
    for save in (pickle.dumps, cloudpickle.dumps, copy.deepcopy):
        with pytest.raises(UnsupportedError, match="holds a key and cannot be saved"):
            save(rater)


def test_what_is_interrupted_asks_no_further(monkeypatch):
    with serving(Model(delay_s=0.2)) as (url, model):
        rater = LLMRater("m", quick(url, concurrency=2), sampling=COLD)

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(rater, "_opinion", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rater.rate([AVERAGE] * 50, experiences(50))
        assert len(model.requests) < 10


def test_a_key_of_openai_goes_to_openai_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.delenv("NETDIFFUSE_LLM_KEY", raising=False)
    assert Endpoint("http://127.0.0.1:9/v1")._client.api_key == "none"
    assert Endpoint()._client.api_key == "sk-mine"
    monkeypatch.setenv("NETDIFFUSE_LLM_KEY", "other")
    assert Endpoint("http://127.0.0.1:9/v1")._client.api_key == "other"
    monkeypatch.delenv("NETDIFFUSE_LLM_KEY")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InvalidValueError, match="set NETDIFFUSE_LLM_KEY"):
        Endpoint()


def test_a_model_can_be_audited():
    with serving() as (url, _):
        ledger = Ledger()
        sittings = [
            LLMRater("m", quick(url), sampling=Sampling("expected", seed=seed), ledger=ledger) for seed in range(2)
        ]
        found = audit(sittings, CROWD[:3], 10, other=ParametricRater(noisy=False))
    values = {check.name: check.value for check in found.checks}
    assert values["quality"] > 0.95  # the server looks at quality and at nothing else
    assert (values["delay_s"], values["energy_share"]) == (0, 0)
    assert found.between_std == pytest.approx(0, abs=1e-9)
    assert values["personas"] is None
    assert 0 < found.agreement["spearman"] < 1
    assert ledger.to_dict()["questions"] == found.ratings - 30


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sampling(answer="xml"), UnknownNameError, "unknown answer 'xml'"),
        (lambda: Sampling(samples=0), InvalidValueError, "samples must be"),
        (lambda: Sampling("expected", samples=2), InvalidValueError, "one sample, got 2"),
        (lambda: Sampling(temperature=-1), InvalidValueError, "temperature must be"),
        (lambda: Sampling(least_mass=1.5), InvalidValueError, "least_mass must be"),
        (lambda: Price(-1, 0), InvalidValueError, "input_per_million"),
        (lambda: Endpoint("http://127.0.0.1:9/v1", retries=-1), InvalidValueError, "retries must be"),
        (lambda: Endpoint("http://127.0.0.1:9/v1", timeout_s=0), InvalidValueError, "timeout_s must be"),
        (lambda: LLMRater("m", None), InvalidValueError, "must be a cache"),
        (lambda: LLMRater(" ", Endpoint("http://127.0.0.1:9/v1")), InvalidValueError, "needs a name"),
        (lambda: LLMRater("m", Endpoint("http://127.0.0.1:9/v1"), memory=-1), InvalidValueError, "memory must be"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match="netdiffuse\\[llm\\]"):
        Endpoint("http://127.0.0.1:9/v1")
