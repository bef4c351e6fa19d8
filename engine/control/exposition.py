"""Live metrics as Prometheus text, version 0.0.4, from a snapshot; nothing is kept between two scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from engine.live_metrics import LIVE_METRICS, PREFIX

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class LiveCollector(Collector):
    """Reads the metrics that `values` gives at the moment of the scrape; None is left out."""

    def __init__(self, values: Callable[[], Mapping[str, Any]]) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        values = self._values()
        for row in LIVE_METRICS.values():
            value = values.get(row.name)
            if value is None:
                continue
            family = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
            metric = family(PREFIX + row.name, f"{row.meaning} [{row.unit}]", labels=[row.label] if row.label else [])
            for label, number in value.items() if row.label else [("", value)]:
                metric.add_metric([label] if row.label else [], float(number))
            yield metric


def registry_of(values: Callable[[], Mapping[str, Any]]) -> CollectorRegistry:
    """A registry of its own: nothing of the process or of other libraries is in it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LiveCollector(values))
    return registry


def render(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)
