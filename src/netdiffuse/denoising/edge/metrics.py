"""What an edge server counts, in Prometheus' format."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counters of one server, in a registry of its own, so that several servers can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "netdiffuse"}
        self.accepted = Counter("requests_accepted", "Requests written to the journal", **own)
        self.repeated = Counter("requests_repeated", "Requests that stood in the journal already", **own)
        self.refused = Counter("requests_refused", "Requests refused, by reason", ["reason"], **own)
        self.ready = Counter("requests_ready", "Requests whose shared steps were done", **own)
        self.failed = Counter("requests_failed", "Requests that could not be served", **own)
        self.collected = Counter("states_collected", "States handed to devices", **own)
        self.bytes = Counter("state_bytes", "Bytes of the states handed to devices", **own)
        self.ratings = Counter("ratings", "Ratings written down", **own)
        self.server_steps = Counter("server_batches", "Batches of shared steps run", **own)
        self.waiting = Gauge("requests_waiting", "Requests accepted and not ready", **own)
        self.windows = Histogram("window_seconds", "Time to run a window", **own)
        self.window_size = Histogram("window_requests", "Requests in a window", buckets=(1, 2, 4, 8, 16, 32, 64), **own)

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)
