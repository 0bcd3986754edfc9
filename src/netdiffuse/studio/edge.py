"""A running edge server, as its counters tell of it."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from netdiffuse.common import NetdiffuseError

PATIENCE_S = 3.0
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
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=PATIENCE_S) as client:
            card = (await client.get("/v1/model")).raise_for_status().json()
            text = (await client.get("/metrics")).raise_for_status().text
        counters = dict.fromkeys(COUNTERS.values(), 0.0)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in COUNTERS:
                    counters[COUNTERS[sample.name]] += sample.value
        model = f"{card['family']} {card['revision'][:8]}, {card['steps']} steps"
    except httpx.HTTPStatusError as error:
        hint = ": show its token" if error.response.status_code == 401 else ""
        raise EdgeError(f"{url} answers {error.response.status_code}{hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EdgeError(f"no edge server answers at '{url}': start one with netdiffuse denoise serve") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"what answers at {url} is no edge server: {error}") from error
    return EdgeState(model, counters)
