"""Settings: the one reader of the environment. Every name is NORN_ and the field's name in capitals."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    region: str = Field(
        "local", description="The region this process writes its events in.", min_length=1, max_length=32
    )
    web_host: str = Field("127.0.0.1", description="Where the web view listens.")
    web_port: int = Field(6066, description="The web view's port; 0 takes a free one.", ge=0, le=65535)
    log_level: str = Field("warning", description="debug, info, warning or error.")
