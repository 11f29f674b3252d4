"""Our OpenAPI document, and a server that keeps to it whatever is sent."""

from __future__ import annotations

import pytest
from server.helpers import KEY


def test_the_document_tells_of_every_route(app):
    document = app.openapi()
    assert set(document["paths"]) >= {
        "/v1/chat/completions", "/v1/images/generations", "/v1/videos", "/v1/videos/sync", "/v1/videos/edits",
        "/v1/images/edits", "/v1/videos/extensions", "/v1/videos/{video_id}", "/v1/videos/{video_id}/content",
        "/v1/videos/{video_id}/remix", "/v1/tokens", "/v1/models", "/v1/models/{model_id}", "/health", "/ready",
        "/version", "/metrics",
    }  # fmt: skip
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (path, method)
    kinds = document["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/json", "multipart/form-data"}
    assert "VideoBody" in document["components"]["schemas"]


@pytest.mark.slow
def test_nothing_that_the_document_allows_or_forbids_makes_the_server_fail(app, url):
    import schemathesis
    from hypothesis import HealthCheck, settings

    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.config.update(base_url=url, headers={"Authorization": f"Bearer {KEY}"})
    seen: dict[int, int] = {}

    def check(case):
        answer = case.call(timeout=120)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400 and answer.headers.get("content-type") == "application/json":
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    for result in schema.get_all_operations():
        operation = result.ok()
        quiet = settings(
            max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True
        )
        test = schemathesis_test(operation, check, quiet)
        test()
    assert sum(seen.values()) > 200
    assert seen.get(200, 0) > 10, seen


def schemathesis_test(operation, check, quiet):
    """A test of one operation by cases that fit its schema, and by cases that do not."""
    import contextlib

    from hypothesis import given
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode

    strategies = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    def run():
        for strategy in strategies:
            with contextlib.suppress(Unsatisfiable):  # what has no parameters cannot be asked wrongly
                quiet(given(case=strategy)(lambda case: check(case)))()

    return run
