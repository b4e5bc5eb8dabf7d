"""ClickHouse from the shell: one client, and the inserts of history."""

from __future__ import annotations

from typing import Any

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import OperationalError

from projections.events_tables import table_of
from projections.records import INSERT_SETTINGS

# An insert of a full batch takes well under a second; one that takes a minute has lost its server.
SEND_RECEIVE_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5


def connect(url: str) -> Any:
    """A client of the server at a URL, http://user:password@host:port/database; the server must be up."""
    return clickhouse_connect.get_client(
        dsn=url,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=SEND_RECEIVE_TIMEOUT_S,
        # Trying again is the caller's: it says so while it waits.
        query_retries=0,
        autogenerate_session_id=False,
    )


class Events:
    """The tables of events, by raw records."""

    passing: tuple[type[BaseException], ...] = (OperationalError, OSError, urllib3.exceptions.HTTPError)

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    def insert(self, topic: str, rows: bytes, token: str, facts: frozenset[str]) -> None:
        """Insert a topic's rows, as `projections.records.framed` gives them, once per token.

        Only the columns of `facts` are named: to fill a hundred columns that hold nothing takes ClickHouse three times
        as long as to decode those that do.
        """
        table = table_of(topic, facts)
        try:
            if self._client is None:
                self._client = connect(self._url)
            self._client.raw_insert(
                table.name,
                table.insert_columns(facts),
                insert_block=rows,
                fmt="Protobuf",
                settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
            )
        except self.passing:
            self._client = None
            raise
