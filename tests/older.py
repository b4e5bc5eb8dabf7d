"""A worker of an older version: one that does not know a fact yet. Import this before anything of Norn's.

The fact that NORN_TEST_UNKNOWN names has another number in this process, as if it were not there under its own.
"""

from __future__ import annotations

import os
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

UNKNOWN = os.environ.get("NORN_TEST_UNKNOWN", "")
#: A number that no fact has.
ELSEWHERE = 15_000


class _OlderPool:
    """The default pool, which is given an older event.proto."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def AddSerializedFile(self, serialized: bytes) -> Any:
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        if file.name == "norn/v1/event.proto":
            [event] = file.message_type
            [field] = [field for field in event.field if field.name == UNKNOWN]
            field.number = ELSEWHERE
        return self._pool.AddSerializedFile(file.SerializeToString())


if UNKNOWN:
    _default = descriptor_pool.Default()
    descriptor_pool.Default = lambda: _OlderPool(_default)  # type: ignore[assignment]

if __name__ == "__main__":
    from tests.workers import main

    main()
