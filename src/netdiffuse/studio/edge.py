"""A running edge server, as its counters and its users' ratings tell of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from netdiffuse.common import NetdiffuseError
from netdiffuse.common.addresses import check_url
from netdiffuse.denoising.edge.messages import Rated

PATIENCE_S = 3.0
MOST_RATINGS = 1000  # that are asked for at once; the newest
COUNTERS = {
    "netdiffuse_requests_waiting": "waiting",
    "netdiffuse_requests_accepted_total": "accepted",
    "netdiffuse_requests_ready_total": "ready",
    "netdiffuse_states_collected_total": "collected",
    "netdiffuse_requests_refused_total": "refused",
    "netdiffuse_state_bytes_total": "bytes sent",
}


class EdgeError(NetdiffuseError):
    """An edge server that does not answer, or not as one."""


@dataclass(frozen=True)
class EdgeState:
    """How an edge server is.

    Attributes:
        model: its family and revision, with steps.
        counters: name, as in `COUNTERS`, to value.
    """

    model: str
    counters: dict[str, float]


async def ask_edge(url: str, token: str = "") -> EdgeState:
    """Ask an edge server how it is.

    Args:
        url: such as http://localhost:8000.
        token: that it wants to see; empty for none.

    Raises:
        EdgeError: it does not answer, or not as an edge server does.
        InvalidValueError: the address is none.
    """
    async with _client(url, token) as client:
        card = (await client.get("/v1/model")).raise_for_status().json()
        text = (await client.get("/metrics")).raise_for_status().text
        counters = dict.fromkeys(COUNTERS.values(), 0.0)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in COUNTERS:
                    counters[COUNTERS[sample.name]] += sample.value
        return EdgeState(f"{card['family']} {card['revision'][:8]}, {card['steps']} steps", counters)


async def ask_ratings(url: str, token: str = "") -> list[Rated]:
    """Ask an edge server what its users say, the newest first.

    Args:
        url: as for `ask_edge`.
        token: likewise.

    Raises:
        EdgeError, InvalidValueError: as `ask_edge`; or it keeps no ratings.
    """
    async with _client(url, token) as client:
        answer = await client.get("/v1/ratings", params={"limit": MOST_RATINGS})
        if answer.status_code == 404:
            raise EdgeError(f"the edge server at {url} keeps no ratings: start it with --ratings FILE")
        return [Rated.model_validate(row) for row in answer.raise_for_status().json()]


def mean_of_personas(ratings: list[Rated]) -> dict[str, float]:
    """Mean rating of each persona, by name; of users who do not say who they are as "unknown"."""
    of: dict[str, list[float]] = {}
    for rated in ratings:
        of.setdefault(rated.persona or "unknown", []).append(rated.rating)
    return {name: sum(said) / len(said) for name, said in sorted(of.items())}


@asynccontextmanager
async def _client(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A connection to an edge server, whose failures are told in one line."""
    check_url("the address", url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=PATIENCE_S) as client:
            yield client
    except httpx.HTTPStatusError as error:
        hint = ": show its token" if error.response.status_code == 401 else ""
        raise EdgeError(f"{url} answers {error.response.status_code}{hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EdgeError(f"no edge server answers at '{url}': start one with netdiffuse denoise serve") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"what answers at {url} is no edge server: {error}") from error
