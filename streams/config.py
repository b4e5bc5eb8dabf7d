"""Settings: the one reader of the environment. Every name is NORN_ and the field's name in capitals."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from inference.budget import Cap


class Settings(BaseSettings):
    """How this process of Norn is set up.

    A server's URL that is not given means the embedded one, whose address `norn up` has written to
    `home/servers.json`.
    """

    model_config = SettingsConfigDict(env_prefix="NORN_", frozen=True)

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
    prices: dict[str, float] = Field({}, description="Dollars per million tokens by model, for models in no table.")
    caps: tuple[Cap, ...] | None = Field(
        None, description="What calls of models may cost, in place of CAPS in inference/budget.py: a JSON list."
    )
    clock_speed: float = Field(1.0, description="World seconds in a real second.", gt=0, allow_inf_nan=False)
    clock_start: datetime | None = Field(
        None, description="When the world's clock begins, in UTC; only the first worker that keeps it asks."
    )
    log_level: str = Field("warning", description="debug, info, warning or error.")
