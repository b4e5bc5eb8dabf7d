"""The tests take servers by URL first, then containers, then the embedded ones."""

from __future__ import annotations

from tests.servers.choice import Choice, choose


def test_without_urls_and_docker_all_are_embedded() -> None:
    assert choose({}, docker_answers=False) == Choice({}, ("kafka", "postgres", "clickhouse"), "embedded")


def test_a_docker_engine_that_answers_runs_what_no_url_is_given_for() -> None:
    chosen = choose({"NORN_POSTGRES": "postgresql://there"}, docker_answers=True)
    assert chosen == Choice({"postgres": "postgresql://there"}, ("kafka", "clickhouse"), "containers")


def test_an_empty_url_is_none() -> None:
    assert choose({"NORN_KAFKA": ""}, docker_answers=False).missing == ("kafka", "postgres", "clickhouse")


def test_urls_for_all_leave_nothing_to_start() -> None:
    urls = {"NORN_KAFKA": "a:1", "NORN_POSTGRES": "postgresql://b", "NORN_CLICKHOUSE": "http://c"}
    assert choose(urls, docker_answers=True).missing == ()
