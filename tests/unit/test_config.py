"""Settings: what is misspelt, doubled or of the wrong unit is refused at start, and no limit is lost in silence."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from inference.budget import CAPS, USD, Cap
from inference.caps import replaced
from streams.commands.output import WrongSettings, settings
from streams.config import Settings, misspelt
from streams.policies import POLICIES
from streams.reacting import capped


def refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(f"NORN_{name}", value)
    with pytest.raises(WrongSettings) as raised:
        settings()
    assert "Correct the environment variable" in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        ('{"scope":"agent","period":"day","name":"dialoge","usd_micros":5}', "there are adaptive_dungeon"),
        ('{"scope":"tier","period":"day","name":"golden","usd_micros":5}', "there are gold, silver, bronze"),
        ('{"scope":"total","period":"day","name":"all","usd_micros":5}', "takes no name"),
        ('{"scope":"all","period":"day","usd_micros":5}', "'agent', 'tier' or 'total'"),
        ('{"scope":"total","period":"week","usd_micros":5}', "'hour', 'day' or 'month'"),
        ('{"period":"day","usd_micros":5}', "NORN_CAPS[0][scope]"),
        ('{"scope":"total","period":"day"}', "limits nothing"),
        ('{"scope":"total","period":"day","calls":null}', "a whole number"),
        ('{"scope":"total","period":"day","usd":5}', "a cap has scope, period, name, usd_micros, calls"),
        ('{"scope":"total","period":"day","usd_micros":-1}', "a whole number of micro-dollars"),
        ('{"scope":"total","period":"day","usd_micros":0.5}', "a whole number of micro-dollars"),
        ('{"scope":"total","period":"day","usd_micros":"2 dollars"}', "a whole number of micro-dollars"),
        ('{"scope":"total","period":"day","calls":true}', "a whole number of calls"),
        ('{"scope":"total","period":"day","usd_micros":NaN}', "no number"),
        ('{"scope":"total","period":"day","calls":Infinity}', "no number"),
        ('{"scope":"total","period":"day","calls":5,"calls":500}', "'calls' stands twice"),
        ('{"scope":"total","period":"day","calls":5},{"scope":"total","period":"day","calls":6}', "is there already"),
        ("5", "a list of caps"),
    ],
)
def test_a_cap_that_would_not_limit_what_it_should_is_refused(
    monkeypatch: pytest.MonkeyPatch, cap: str, told: str
) -> None:
    assert told in refused(monkeypatch, "CAPS", f"[{cap}]")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CAPS", "none", "no JSON"),
        ("CAPS", '{"scope":"total"}', "a list of caps"),
        ("AGENTS", '{"wether":{"enabled":false}}', "there are adaptive_dungeon"),
        ("AGENTS", '{"weather":{"enable":false}}', "enabled, share, every_s"),
        ("AGENTS", '{"weather":{"share":1.5}}', "less than or equal to 1"),
        ("AGENTS", '{"weather":{"share":NaN}}', "no number"),
        ("AGENTS", '{"weather":{"every_s":-1}}', "greater than or equal to 0"),
        ("AGENTS", '{"weather":{"enabled":"no"}}', "a valid boolean"),
        ("AGENTS", '{"weather":false}', "an object by agent"),
        ("AGENTS", '{"weather":{},"weather":{}}', "'weather' stands twice"),
        ("PRICES", '{"my-model":NaN}', "no number"),
        ("PRICES", '{"my-model":-1}', "greater than or equal to 0"),
        ("PRICES", '{"my-model":1,"my-model":2}', "stands twice"),
        ("KAFKA", "a:9092,,b:9092", "host:port,host:port"),
        ("KAFKA", "a:9092; b:9092", "host:port,host:port"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("CAP", "[]", "NORN_CAPS is"),
        ("CPAS", "[]", "NORN_CAPS is"),
        ("AGNETS", "{}", "NORN_AGENTS is"),
        ("BRIDGE_PLAYER_ACTIONS_PER_SECONDS", "1", "NORN_BRIDGE_PLAYER_ACTIONS_PER_SECOND is"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_with_what_may_stand_there(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    message = refused(monkeypatch, name, value)
    assert f"NORN_{name}" in message
    assert told in message


def test_a_name_that_is_like_no_setting_is_said_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    names = ["NORN_CLICKHOUSE_PORT", "NORN_KAFKA_PORT_9092_TCP_ADDR", "NORN_A_LATER_VERSIONS", "PATH"]
    with caplog.at_level(logging.WARNING):
        assert misspelt(names, Settings.model_fields) == ""
    assert [name for name in names if f"{name} is no setting" in caplog.text] == names[:3]


def test_every_setting_is_known_by_its_own_name() -> None:
    assert misspelt([f"NORN_{name.upper()}" for name in Settings.model_fields], Settings.model_fields) == ""


def test_a_given_cap_takes_the_place_of_its_like_figure_by_figure_and_no_other_is_lost() -> None:
    dearer, new = Cap("tier", "day", "gold", usd_micros=USD), Cap("agent", "hour", "dialogue", calls=5)
    also_money = Cap("total", "hour", usd_micros=USD)
    caps = replaced(CAPS, [dearer, new, also_money])
    assert Cap("total", "hour", calls=1_000, usd_micros=USD) in caps
    assert dearer in caps
    assert new in caps
    untouched = {
        cap for cap in CAPS if (cap.scope, cap.period, cap.name) not in {("tier", "day", "gold"), ("total", "hour", "")}
    }
    assert untouched < set(caps)
    assert len(caps) == len(CAPS) + 1


def test_the_budgets_policy_runs_under_norns_caps_and_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORN_CAPS", '[{"scope":"agent","period":"hour","name":"dialogue","calls":5}]')
    found = settings()
    assert capped(POLICIES, found)["budget"] is not POLICIES["budget"]
    assert replaced(CAPS, found.caps) == (*CAPS, Cap("agent", "hour", "dialogue", calls=5))


def test_reading_settings_loads_no_agent() -> None:
    loaded = "import sys, streams.config; print(*(name for name in sys.modules if 'inference.agents' in name))"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""
