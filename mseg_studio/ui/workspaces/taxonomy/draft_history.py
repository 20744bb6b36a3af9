"""The states a draft went through, to undo and redo; and whether the last of them is saved."""

from __future__ import annotations

from mseg_studio.taxonomy.draft import Draft

_MOST = 500


class DraftHistory:
    """Drafts are values: undoing is showing the one before."""

    def __init__(self) -> None:
        self._states: list[Draft] = []
        self._at = -1
        self._safe: Draft | None = None

    @property
    def draft(self) -> Draft | None:
        """The draft as it is now; None before one is begun."""
        return self._states[self._at] if self._states else None

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return self._at < len(self._states) - 1

    @property
    def unsaved(self) -> bool:
        """Whether work would be lost if the draft went away; a draft without classes is no work."""
        return bool(self.draft is not None and self.draft.classes and self.draft != self._safe)

    def begin(self, draft: Draft, *, safe: bool) -> None:
        """Start from `draft` alone. `safe` says that it can be had again: it is a file, or one click."""
        self._states, self._at = [draft], 0
        self._safe = draft if safe else None

    def push(self, draft: Draft) -> bool:
        """`draft` is the state now; what was undone is forgotten. False for one equal to the present state."""
        if draft == self.draft:
            return False
        self._states = [*self._states[: self._at + 1], draft][-_MOST:]
        self._at = len(self._states) - 1
        return True

    def undo(self) -> None:
        """One state back."""
        self._at -= self.can_undo

    def redo(self) -> None:
        """One state forward."""
        self._at += self.can_redo

    def mark_saved(self) -> None:
        """The present state is on disk."""
        self._safe = self.draft
