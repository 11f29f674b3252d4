"""Measures in Prometheus' text format, by the names that dashboards of vLLM know, with the prefix `videolavit:`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from videolavit.server.engine import Ticket, WorkCancelledError, WorkTimeoutError

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All measures of one server."""

    def __init__(self, model_name: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model_name
        self.requests = self._counter("http_requests", "Requests, by their end", "handler", "method", "status")
        self.request_seconds = self._histogram("http_request_duration_seconds", "Until the last byte", "handler")
        self.success = self._counter("request_success", "Choices of answers that ended", "finished_reason")
        self.prompt_tokens = self._counter("prompt_tokens", "Positions of prompts that were answered")
        self.generation_tokens = self._counter("generation_tokens", "Ids of answers")
        self.first_token = self._histogram("time_to_first_token_seconds", "From the request to the first text")
        self.between_tokens = self._histogram("inter_token_latency_seconds", "Between ids, a mean for each answer")
        self.latency = self._histogram("e2e_request_latency_seconds", "From the request to the result", "lane")
        self.queue_seconds = self._histogram("request_queue_time_seconds", "From the request to its turn", "lane")
        self.prefill_seconds = self._histogram("request_prefill_time_seconds", "From an answer's turn to its text")
        self.decode_seconds = self._histogram("request_decode_time_seconds", "From an answer's first text to its end")
        self.work = self._counter("work", "Work of the engine, by its end", "lane", "end")
        self.clips = self._counter("video_clips", "Clips that were made")
        self.step_seconds = self._histogram("step_seconds", "Of a step of a task", "step")
        self.rejected = self._counter("rejected", "Requests that were refused", "reason")
        self.media_seconds = self._histogram("media_decode_seconds", "To read an image or a video", "kind")

    def watch(
        self,
        counts: Callable[[], Mapping[str, tuple[int, int]]],
        jobs: Callable[[], Mapping[str, int]],
        store_bytes: Callable[[], int],
    ) -> None:
        """Ask these for the present state whenever the measures are read."""
        self.registry.register(_Present(self._model, counts, jobs, store_bytes))  # type: ignore[arg-type]

    def text(self) -> bytes:
        """All measures."""
        return generate_latest(self.registry)

    def labelled(self, metric: Any, **labels: str) -> Any:
        """A measure of this model with the other labels."""
        return metric.labels(model_name=self._model, **labels)

    def end(self, ticket: Ticket) -> None:
        """Take in work that has ended."""
        assert ticket.finished is not None
        error = ticket.future.exception()
        end = "done" if error is None else "cancelled" if isinstance(error, WorkCancelledError) else "failed"
        self.labelled(
            self.work, lane=ticket.lane, end="timed_out" if isinstance(error, WorkTimeoutError) else end
        ).inc()
        started = ticket.started or ticket.finished
        self.labelled(self.queue_seconds, lane=ticket.lane).observe(started - ticket.submitted)
        self.labelled(self.latency, lane=ticket.lane).observe(ticket.finished - ticket.submitted)
        if error is None and ticket.lane == "answers":
            self._end_answer(ticket, ticket.future.result())
        elif error is None:
            self._end_task(ticket.future.result())

    def _end_answer(self, ticket: Ticket, result: Any) -> None:
        num_ids = sum(choice.num_ids for choice in result.choices)
        self.labelled(self.prompt_tokens).inc(result.num_prompt_ids)
        self.labelled(self.generation_tokens).inc(num_ids)
        for choice in result.choices:
            self.labelled(self.success, finished_reason=choice.finish_reason).inc()
        first = ticket.first_output or ticket.finished or 0.0
        self.labelled(self.first_token).observe(first - ticket.submitted)
        self.labelled(self.prefill_seconds).observe(first - (ticket.started or first))
        decode = (ticket.finished or first) - first
        self.labelled(self.decode_seconds).observe(decode)
        if num_ids > len(result.choices):
            self.labelled(self.between_tokens).observe(decode * len(result.choices) / (num_ids - len(result.choices)))

    def _end_task(self, result: Any) -> None:
        for one in result if isinstance(result, list) else [result]:
            for step, seconds in dict(getattr(one, "timings", {})).items():
                self.labelled(self.step_seconds, step=step).observe(seconds)
            if hasattr(one, "fps"):
                self.labelled(self.clips).inc(len(one.tokens))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"videolavit:{name}", text, ("model_name", *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"videolavit:{name}", text, ("model_name", *labels), registry=self.registry, buckets=_SECONDS)


class _Present:
    """Measures of the moment, asked for when they are read."""

    def __init__(self, model: str, counts: Any, jobs: Any, store_bytes: Any) -> None:
        self._model, self._counts, self._jobs, self._store_bytes = model, counts, jobs, store_bytes

    def collect(self) -> Any:
        """Gauges of the moment."""
        waiting = self._gauge("num_requests_waiting", "Work that waits for its turn", "lane")
        running = self._gauge("num_requests_running", "Work under way", "lane")
        for lane, (num_waiting, num_running) in self._counts().items():
            waiting.add_metric([self._model, lane], num_waiting)
            running.add_metric([self._model, lane], num_running)
        jobs = self._gauge("jobs", "Video jobs that are kept", "status")
        for status, count in self._jobs().items():
            jobs.add_metric([self._model, status], count)
        store = self._gauge("store_bytes", "Of the files of video jobs")
        store.add_metric([self._model], self._store_bytes())
        return [waiting, running, jobs, store]

    @staticmethod
    def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"videolavit:{name}", text, labels=("model_name", *labels))
