"""What Prometheus may ask: counts and times of requests, pictures, the queue, and the worker."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    pass

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
KIND: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server, in a registry of their own, so that two servers in one process do not meet."""

    def __init__(self, queue: Callable[[], float], held: Callable[[], float]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry: CollectorRegistry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("cutis_requests", "Requests answered.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "cutis_request_seconds", "From a request's head to its answer.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.pictures = Counter("cutis_pictures", "Pictures by verdict, or by why there is none.", ["verdict"], registry=self.registry)
        self.batch = Histogram("cutis_batch_pictures", "Pictures in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry)
        self.workers = Counter(
            "cutis_worker", "Workers by what became of them: started, died, refused, failed (to start).", ["event"], registry=self.registry
        )
        self.model = Gauge("cutis_model", "1 for the version that answers.", ["version"], registry=self.registry)
        Gauge("cutis_queue_pictures", "Pictures that wait or are being answered.", registry=self.registry).set_function(queue)
        Gauge("cutis_held_bytes", "Bytes of uploads in memory.", registry=self.registry).set_function(held)

    def answers(self, version: str) -> None:
        """This version answers now."""
        self.model.clear()
        self.model.labels(version).set(1)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
