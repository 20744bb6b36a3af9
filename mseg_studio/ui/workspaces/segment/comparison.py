"""Projected against mapped labels of the picture on screen: asked for while somebody looks, kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from mseg_studio.inference.events import ComparisonReady, InferenceFailed, RequestCancelled
from mseg_studio.labels.comparison import Comparison
from mseg_studio.ui.services import ModelChoice, Services
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.items import FrameKey
from mseg_studio.ui.workspaces.segment.results import Result
from mseg_studio.ui.workspaces.segment.session import Session
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts

GONE = "The probabilities of this picture are not kept any more. Press Run to have it measured."
_BUDGET_BYTES = 96 * 2**20
"""Comparisons kept, 6 MB each at 1080p: going back to the last taxonomies and pictures costs nothing."""

_At = tuple[FrameKey, Choice]


class ImageComparison(QObject):
    """Follows the result on screen. Answers that come late, for a picture or taxonomy that is gone, are dropped."""

    changed = Signal(object)
    """ImageFacts of the result on screen, None while there are none."""

    def __init__(self, session: Session, services: Services, model: Callable[[], ModelChoice | None]) -> None:
        super().__init__(session)
        self._session, self._model = session, model
        self.current: Comparison | None = None
        """Of the result on screen."""
        self._watchers: set[str] = set()
        self._asked: tuple[int, _At] | None = None
        self._failed: tuple[_At, str] | None = None
        self._kept: OrderedDict[_At, Comparison] = OrderedDict()
        session.result_changed.connect(self._on_result)
        session.settled.connect(self._follow)
        session.source_changed.connect(self._on_source)
        services.inference.happened.connect(self._on_event)

    def watch(self, on: bool, *, who: str = "taxonomy") -> None:
        """Somebody looks from now on, or no longer. While nobody does, nothing is computed."""
        if on is (who in self._watchers):
            return
        self._watchers ^= {who}
        self._follow()

    def forget_picture(self) -> None:
        """Another picture is on the canvas; its result follows."""
        self._asked = None
        self._set(None)

    @property
    def waiting(self) -> bool:
        """Whether an answer is on its way."""
        return self._asked is not None

    @property
    def facts(self) -> ImageFacts | None:
        """What the result on screen says about its classes, None while that is not known."""
        found = self.current
        if found is None:
            return None
        return ImageFacts(
            target=found.projected.taxonomy.name,
            shares=found.own_shares,
            differing_share=found.differing_share,
            no_target_share=found.no_target_share,
            source=found.source.name,
        )

    @property
    def reason(self) -> str:
        """Why the picture on screen cannot be compared; empty when it can or nothing is on screen."""
        session, model, at = self._session, self._model(), self._at
        if model is not None and session.choice.target == model.taxonomy and not session.choice.only:
            return f"The output is the model's own taxonomy, {model.taxonomy}: nothing is mapped, so nothing differs."
        if at is None or at in self._kept or session.has_scores():
            return self._failed[1] if self._failed is not None and self._failed[0] == at else ""
        return GONE

    @property
    def _at(self) -> _At | None:
        """What the result on screen is kept under: a least confidence makes no difference here."""
        session = self._session
        if session.shown is None or session.result is None:
            return None
        return session.key_of(session.at), replace(session.result.choice, min_confidence=0.0)

    def _on_result(self, result: Result | None) -> None:
        self._failed = None
        if result is None:
            self.forget_picture()
        else:
            self._follow()

    def _on_source(self, _source: object) -> None:
        self._kept.clear()  # files may have changed, and a camera's pictures have no names
        self.forget_picture()

    def _follow(self) -> None:
        """Bring the comparison of the result on screen, in the cheapest way there is."""
        at = self._at
        if at is None or not self._watchers:
            if at is None and self._session.shown is not None and self._asked is not None:
                return  # a played video: the picture before is on the canvas still, and its answer comes
            self._asked = None
            self._set(None)
        elif at in self._kept:
            self._asked = None
            self._kept.move_to_end(at)
            self._set(self._kept[at])
        elif self._asked is None or self._asked[1] != at:
            self._asked = None
            self._set(None)
            failed = self._failed is not None and self._failed[0] == at
            if not failed and self._session.runs.holds_scores(*at):
                self._asked = (self._session.runs.compare(at[1]), at)

    def _on_event(self, event: object) -> None:
        if not isinstance(event, ComparisonReady | InferenceFailed | RequestCancelled):
            return
        if self._asked is None or event.generation != self._asked[0]:
            return
        at, self._asked = self._asked[1], None
        if isinstance(event, ComparisonReady):
            self._keep(at, event.comparison)
            self._set(event.comparison)
        elif isinstance(event, InferenceFailed):
            self._failed = (at, GONE if event.code == "ScoresGoneError" else event.message)
            self.changed.emit(None)
        else:
            self._follow()

    def _keep(self, at: _At, comparison: Comparison) -> None:
        self._kept[at] = comparison
        while len(self._kept) > 1 and sum(map(_size_bytes, self._kept.values())) > _BUDGET_BYTES:
            self._kept.popitem(last=False)

    def _set(self, comparison: Comparison | None) -> None:
        if comparison is not self.current:
            self.current = comparison
            self.changed.emit(self.facts)


def _size_bytes(comparison: Comparison) -> int:
    return comparison.projected.ids_HW.nbytes + comparison.mapped.ids_HW.nbytes + comparison.no_target_HW.nbytes
