"""The same server on Ray, which spans two nodes here: both on this machine, as two machines would be."""

import sys

import pytest
from fastapi.testclient import TestClient

from netdiffuse.common import MissingExtraError, RunError, UnsupportedError
from netdiffuse.denoising.edge.allocator import ByMeaning
from netdiffuse.denoising.edge.engine import LocalEngine, card_of
from netdiffuse.denoising.edge.journal import Journal
from netdiffuse.denoising.edge.messages import Ask
from netdiffuse.denoising.edge.ray_engine import Denoiser, RayEngine, deal
from netdiffuse.denoising.edge.server import ServerSettings, make_server
from netdiffuse.denoising.families import open_model
from netdiffuse.denoising.planner import make_plan
from netdiffuse.denoising.state import ChainState

from .pipelines import stable_diffusion
from .serving import RULE, STEPS, bag_of_words, tiny_engine

PROMPTS = ["apple table", "lemon table", "tree", "tree river", "apple on"]  # two groups and more


def test_groups_are_dealt_out_whole():
    plan = make_plan(bag_of_words(["apple", "apple", "apple", "tree", "tree", "river"]), STEPS, rule=RULE)
    parts = deal(plan, 2)
    assert sorted(user for users, _ in parts for user in users) == list(range(6))
    assert sum(part.server_steps for _, part in parts) == plan.server_steps
    for users, part in parts:
        assert tuple(plan.shared_steps[user] for user in users) == part.shared_steps
    assert len(deal(plan, 8)) == len(plan.roots)  # the others have nothing to do
    assert deal(plan, 1)[0] == (list(range(6)), plan)


def test_a_replica_with_another_model_does_not_start(tmp_path):
    stable_diffusion().save_pretrained(tmp_path)
    card = card_of(open_model(tmp_path), STEPS, "dpm++")
    assert Denoiser(str(tmp_path), "float32", card.model_dump_json()).card == card
    other = card.model_copy(update={"revision": "0" * 16})
    with pytest.raises(UnsupportedError, match="0000000000000000 on the server's: give every host the same files"):
        Denoiser(str(tmp_path), "float32", other.model_dump_json())


def test_two_nodes(tmp_path):
    from ray.cluster_utils import Cluster

    stable_diffusion().save_pretrained(tmp_path / "model")
    model = open_model(tmp_path / "model")
    card = card_of(model, STEPS, "dpm++")
    local = LocalEngine(model, card, ByMeaning(bag_of_words, RULE))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        engine = RayEngine(
            str(tmp_path / "model"), ByMeaning(bag_of_words, RULE), card, replicas=2, address=cluster.address
        )
        asks = [Ask(id=f"r{n}", prompt=prompt, revision=card.revision) for n, prompt in enumerate(PROMPTS)]
        expected = states(local, tmp_path / "local.sqlite", asks)
        for there, state in zip(expected, states(engine, tmp_path / "ray.sqlite", asks), strict=True):
            # What one host makes, up to the rounding of another batch.
            assert there.step == state.step
            assert (there.latents - state.latents).abs().max() <= 1e-5 * state.latents.abs().max()
        engine.close()
        other = card.model_copy(update={"revision": "0" * 16})
        with pytest.raises(RunError, match="the denoisers do not start"):
            RayEngine(str(tmp_path / "model"), ByMeaning(bag_of_words, RULE), other, replicas=1)
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()


def states(engine, path, asks):
    """What devices get of requests that were accepted before the server came up, so that they are one window."""
    journal = Journal(path)
    for ask in asks:
        journal.accept(ask)
    with TestClient(make_server(engine, journal, ServerSettings(rate=0))) as client:
        answers = [client.get(f"/v1/requests/{ask.id}/state", params={"wait": 60}) for ask in asks]
    assert [answer.status_code for answer in answers] == [200] * len(asks)
    return [ChainState.from_bytes(answer.content) for answer in answers]


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"netdiffuse\[ray\]"):
        RayEngine("x", ByMeaning(bag_of_words), tiny_engine().card)
