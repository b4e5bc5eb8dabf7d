"""The bridge does as its OpenAPI document says, for whatever fits the document and whatever does not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from schemas import FACTS
from streams.bridge.models import ActionsQuery, Completed, Completion, Dispatched, Problem
from streams.bridge.openapi import document
from streams.bridge.routes import DISPATCH, OPERATIONS
from streams.bridge.wire import OFFERED
from streams.embedded import Servers
from tests.bridges import Process, execute, prepared
from tests.sdk import free_port
from tests.waiting import eventually

load_all_checks()
# A batch whose every event is refused is still a batch: it is answered 200, with what is wrong with each.
PER_EVENT = [CHECKS.get_one("negative_data_rejection")]
EXAMPLES = 40


@pytest.fixture(scope="module")
def address(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = f"test_{secrets.token_hex(6)}"
    url = urlsplit(servers.postgres)._replace(path=f"/{database}").geturl()
    asyncio.run(execute(servers.postgres, f"create database {database} template template0 encoding 'UTF8' locale 'C'"))
    there = asyncio.run(prepared(servers.kafka, url))
    port = free_port()
    folder = tmp_path_factory.mktemp("bridge")
    process = Process(there, folder, port)
    eventually(lambda: _ready(f"http://127.0.0.1:{port}"), message="the bridge is ready")
    yield f"http://127.0.0.1:{port}"
    said = (folder / "bridge.log").read_text()
    assert process.stop() == 0, said
    assert "Traceback" not in said
    asyncio.run(execute(servers.postgres, f"drop database {database} with (force)"))


def _ready(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/readyz", retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


# Working out the borders of a batch's fifteen facts takes half a minute, and the phase that fuzzes meets them too.
QUICK = {"include-path": DISPATCH.path, "phases": {"coverage": {"enabled": False}}}
api = schemathesis.openapi.from_dict(
    document(OPERATIONS, version("norn")), config=SchemathesisConfig.from_dict({"operations": [QUICK]})
)


# Protobuf has no schema in the document; tests/unit/test_bridge_offers.py has rubbish for it.
@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload")
@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_bridge_keeps_to_its_document(case: Any, address: str) -> None:
    case.call_and_validate(base_url=address, excluded_checks=PER_EVENT if case.operation.path == DISPATCH.path else [])


def test_the_document_is_made_of_the_models_and_the_messages() -> None:
    said = document(OPERATIONS, "1")
    models = said["components"]["schemas"]
    assert {FACTS[name].DESCRIPTOR.name for name in OFFERED} <= set(models)
    for name in OFFERED:
        fields = {field.name for field in FACTS[name].DESCRIPTOR.fields}
        assert set(models[FACTS[name].DESCRIPTOR.name]["properties"]) == fields
    for model in (Dispatched, Completed, Completion, Problem):
        assert set(models[model.__name__]["properties"]) == set(model.model_fields)
    pending = said["paths"]["/api/v1/actions/pending"]["get"]
    assert {one["name"] for one in pending["parameters"]} == set(ActionsQuery.model_fields)
    assert said["openapi"] == "3.1.0"


def test_the_document_that_is_served_leaves_no_operation_out(address: str) -> None:
    said = urllib3.request("GET", f"{address}/openapi.json").json()
    assert said == api.raw_schema
    paths = said["paths"]
    assert [(one.method.lower(), one.path) for one in OPERATIONS] == [
        (method, path) for path, methods in paths.items() for method in methods
    ]
