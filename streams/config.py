"""Settings: the one reader of the environment. Every name is NORN_ and the field's name in capitals.

Whatever is given is checked when a process starts: a limit that is misspelt must not pass for none.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inference.asking import Asking
from inference.budget import Cap
from inference.caps import check, check_fields

log = logging.getLogger(__name__)

PREFIX = "NORN_"
# Two names that are so much alike (difflib's ratio) are one and a slip of the pen: NORN_CAP, NORN_CPAS, NORN_AGNETS.
ALIKE = 0.75
# What Kubernetes tells each container of the services beside it; one may be called norn-kafka.
_SERVICE_LINK = re.compile(r".*(_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_\w+)?)")
_HOST_AND_PORT = re.compile(r"(?:\w+://)?(?:[^\s:,/\[\]]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")

Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """How this process of Norn is set up.

    A server's URL that is not given means the embedded one, whose address `norn up` has written to
    `home/servers.json`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    home: Path = Field(Path.home() / ".norn", description="Folder of the embedded servers' data, spill files and logs.")
    kafka: str | None = Field(None, description="Bootstrap servers, host:port,host:port.")
    postgres: str | None = Field(None, description="postgresql://user:password@host:port/database")
    clickhouse: str | None = Field(None, description="http://user:password@host:port/database")
    workers: str = Field(
        "fold=1,history=1,decide=1,infer=1,policy=1,bridge=0",
        description="How many of each kind `norn run` keeps on this machine.",
    )
    region: str = Field(
        "local", description="The region this process writes its events in.", min_length=1, max_length=32
    )
    web_host: str = Field("127.0.0.1", description="Where the web view listens.")
    web_port: int = Field(6066, description="The web view's port; 0 takes a free one.", ge=0, le=65535)
    bridge_host: str = Field("127.0.0.1", description="Where the bridge listens.")
    bridge_port: int = Field(8000, description="The bridge's port.", ge=1, le=65535)
    bridge_player_actions_per_second: int = Field(
        10, description="How many events of one player the bridge takes; 0 is no limit.", ge=0
    )
    bridge_requests_per_minute: int = Field(
        100, description="How often one address may ask the bridge for actions, or complete one; 0 is no limit.", ge=0
    )
    gold: str | None = Field(None, description="The engines of the gold tier, as in inference/engines/choosing.py.")
    silver: str | None = Field(None, description="The engines of the silver tier.")
    bronze: str | None = Field(None, description="The engines of the bronze tier.")
    story: str | None = Field(None, description="The seats of the story teller's ensemble, as in inference/seats.py.")
    deepseek_key: SecretStr | None = Field(None, description="The key of DeepSeek's API.")
    openai_key: SecretStr | None = Field(None, description="The key of OpenAI's API.")
    anthropic_key: SecretStr | None = Field(None, description="The key of Anthropic's API.")
    groq_key: SecretStr | None = Field(None, description="The key of Groq's API.")
    xai_key: SecretStr | None = Field(None, description="The key of xAI's API.")
    gemini_key: SecretStr | None = Field(None, description="The key of Google's Gemini API.")
    keys: dict[str, SecretStr] = Field(
        {}, description="Keys of servers at other addresses than the providers', by their host or host:port."
    )
    # JSON is read here (`_json`): what stands twice in an object is an error, and not the last of both.
    prices: Annotated[dict[str, Price], NoDecode] = Field(
        {}, description="Dollars per million tokens by model, for models in no table."
    )
    caps: Annotated[tuple[Cap, ...], NoDecode] = Field(
        (), description="What calls of models may cost, each in place of its like in inference/budget.py: a JSON list."
    )
    agents: Annotated[dict[str, Asking], NoDecode] = Field(
        {}, description="Which agents are asked, and how often, as in inference/asking.py: a JSON object."
    )
    clock_speed: float = Field(1.0, description="World seconds in a real second.", gt=0, allow_inf_nan=False)
    clock_start: datetime | None = Field(
        None, description="When the world's clock begins, in UTC; only the first worker that keeps it asks."
    )
    native: bool = Field(True, description="Whether what is compiled in C is used, where it is there.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="debug, info, warning or error."
    )

    @field_validator("prices", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        return _json(given)

    @field_validator("caps", mode="before")
    @classmethod
    def _only_figures(cls, given: Any) -> Any:
        given = _json(given)
        if not isinstance(given, list | tuple) or not all(isinstance(cap, Cap | dict) for cap in given):
            raise ValueError('a list of caps, as [{"scope": "total", "period": "hour", "calls": 500}]')
        check_fields([cap for cap in given if isinstance(cap, dict)])
        return given

    @field_validator("agents", mode="before")
    @classmethod
    def _only_fields(cls, given: Any) -> Any:
        given = _json(given)
        if not isinstance(given, dict) or not all(isinstance(one, Asking | dict) for one in given.values()):
            raise ValueError('an object by agent, as {"weather": {"enabled": false}}')
        known = [field.name for field in fields(Asking)]
        for name, field in ((name, field) for name, one in given.items() if isinstance(one, dict) for field in one):
            if field not in known:
                raise ValueError(f"{name} has a {field!r}: of an agent is said {', '.join(known)}")
        return given

    @field_validator("caps")
    @classmethod
    def _caps_limit(cls, caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
        check(caps, _agents() if any(cap.scope == "agent" and cap.name for cap in caps) else ())
        return caps

    @field_validator("agents")
    @classmethod
    def _agents_exist(cls, agents: dict[str, Asking]) -> dict[str, Asking]:
        for name in agents:
            if name not in _agents():
                raise ValueError(f"no agent is named {name[:40]!r}: there are {', '.join(_agents())}")
        return agents

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, given: Any) -> Any:
        return given.lower() if isinstance(given, str) else given

    @field_validator("kafka")
    @classmethod
    def _servers(cls, given: str | None) -> str | None:
        for server in [] if given is None else given.split(","):
            if not _HOST_AND_PORT.fullmatch(server.strip()):
                raise ValueError(f"{server!r} is no server: write host:port,host:port")
        return given

    @model_validator(mode="after")
    def _no_misspelt_name(self) -> Self:
        if wrong := misspelt(os.environ, type(self).model_fields):
            raise ValueError(wrong)
        return self


def misspelt(environment: Iterable[str], settings: Collection[str]) -> str:
    """What is wrong with the environment's names: those much like a setting's, and what was meant; "" when nothing.

    Others that begin with NORN_ and mean nothing here, such as a later version's, are said in the log.
    """
    named = {f"{PREFIX}{setting}".upper() for setting in settings}
    unknown = sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in named)
    meant = {name: difflib.get_close_matches(name.upper(), named, 1, _alike(name)) for name in unknown}
    for name in unknown:
        if not meant[name] or _SERVICE_LINK.fullmatch(name.upper()):
            log.warning("%s is no setting of this version and changes nothing", name)
            meant[name] = []
    return "; ".join(f"{name} is no setting: {found[0]} is" for name, found in meant.items() if found)


def _alike(name: str) -> float:
    """How much of two whole names must be alike for what follows the prefix, the same in both, to be so by ALIKE."""
    rest = max(1, len(name) - len(PREFIX))
    return (len(PREFIX) + ALIKE * rest) / (len(PREFIX) + rest)


def _json(given: Any) -> Any:
    """What a text says in JSON. Raises ValueError for what is none, for NaN, and for a name twice in an object."""
    if not isinstance(given, str):
        return given

    def once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} stands twice")
        return dict(pairs)

    def finite(constant: str) -> Any:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        return json.loads(given, object_pairs_hook=once, parse_constant=finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None


def _agents() -> Collection[str]:
    """The names of the agents. They are loaded only where a setting names one: few processes have a use for them."""
    from inference.agents import AGENTS

    return AGENTS.keys()
