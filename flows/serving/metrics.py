"""What a server counts about itself, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ServerMetrics:
    """Counters and histograms of one server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bonsai_requests_total", "Requests by use case and HTTP status", ["use_case", "status"], registry=self.registry
        )
        self.rows = Counter("bonsai_rows_total", "Rows by use case and outcome", ["use_case", "outcome"], registry=self.registry)
        self.answers = Counter(
            "bonsai_answers_total",
            "Predicted classes by use case and model",
            ["use_case", "model", "predicted"],
            registry=self.registry,
        )
        self.latency = Histogram(
            "bonsai_request_seconds", "Seconds per request", ["use_case"], buckets=LATENCY_BUCKETS_S, registry=self.registry
        )
        self.swaps = Counter("bonsai_model_swaps_total", "Replaced models by use case", ["use_case"], registry=self.registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
