"""When a dead process comes back, and which inputs it is not given again."""

from __future__ import annotations

DELAYS_S = (0.2, 1.0, 5.0)
"""Wait before the first, second and every further restart in a row."""
MAX_DEATHS_OF_INPUT = 3
MAX_FAILED_STARTS = 5
_REMEMBERED_INPUTS = 10_000


class RestartPolicy:
    """Counts deaths: in a row, before the process was ready, and by input."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._failed_starts = 0
        self._deaths: dict[str, int] = {}

    def died(self, input_key: str, *, was_ready: bool) -> float:
        """Note a death while working on `input_key` ("" for none). Seconds to wait before the restart."""
        delay_s = DELAYS_S[min(self._in_a_row, len(DELAYS_S) - 1)]
        self._in_a_row += 1
        self._failed_starts = 0 if was_ready else self._failed_starts + 1
        self.blame(input_key)
        return delay_s

    def blame(self, input_key: str) -> None:
        """Count one death against `input_key`."""
        if not input_key:
            return
        if len(self._deaths) >= _REMEMBERED_INPUTS:
            del self._deaths[next(iter(self._deaths))]
        self._deaths[input_key] = self._deaths.get(input_key, 0) + 1

    def succeeded(self) -> None:
        """Note that a request was answered: the process is healthy."""
        self._in_a_row = 0

    def is_set_aside(self, input_key: str) -> bool:
        """Whether `input_key` ended the process too often to be tried again."""
        return self._deaths.get(input_key, 0) >= MAX_DEATHS_OF_INPUT

    def forgive(self, input_key: str) -> None:
        """Forget what `input_key` did, because a person asked for it again."""
        self._deaths.pop(input_key, None)

    @property
    def hopeless(self) -> bool:
        """Whether the process ended before it was ready so often in a row that trying by itself makes no sense."""
        return self._failed_starts >= MAX_FAILED_STARTS

    def try_again(self) -> None:
        """Forget failed starts, because somebody asked for something new."""
        self._failed_starts = 0
        self._in_a_row = 0
