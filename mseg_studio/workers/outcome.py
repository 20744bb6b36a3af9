"""What a worker's client hears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mseg_studio.workers.slots import Array


@dataclass(frozen=True, eq=False, slots=True)
class Reply:
    """Something the child said about a request: "result" (final), "progress", or another type a handler told."""

    request_id: int
    type: str
    fields: Mapping[str, Any]
    arrays: Mapping[str, Array]
    """The receiver's own copies."""

    @property
    def final(self) -> bool:
        """Whether the request is over."""
        return self.type == "result"


@dataclass(frozen=True, slots=True)
class Failure:
    """A request ended without a result.

    `code` is the name of an MSegStudioError class (among them WorkerDied), or "Cancelled", "TimeLimit", "Internal".
    """

    request_id: int
    code: str
    message: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """The child ended without being asked to. The request in flight has had its own Failure before."""

    message: str
    restart_in_s: float | None
    """Seconds until it comes back by itself; None when it failed to start too often and waits for the next request."""
    request_id: int | None = None
    deliberate: bool = False
    """The client itself killed it: a cancelled or too slow request did not stop."""
