"""Build the window's objects, connect them, run. Nothing here or below imports torch: the worker does."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from mseg_studio.errors import ConfigError, MSegStudioError, TaxonomyError, nearest
from mseg_studio.labels.comparison import View
from mseg_studio.networks.catalog import UnknownModelError
from mseg_studio.settings import AppSettings, load_settings
from mseg_studio.taxonomy.catalog import UNIVERSAL
from mseg_studio.taxonomy.compare import compare
from mseg_studio.ui.ahead import import_ahead
from mseg_studio.ui.bridges import wait_for_background
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.screenshot import Screenshot
from mseg_studio.ui.services import Services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.choice import Choice
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.session import Session

_INTERRUPTED = 130
_PULSE_MS = 300


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """What the command line asks of the window; None leaves it to the settings."""

    path: str | None = None
    model: str | None = None
    taxonomy: str | None = None
    recipe: str | None = None
    device: str | None = None
    theme: str | None = None
    size: tuple[int, int] | None = None
    """Width and height of the window in pixels."""
    screenshot: Path | None = None
    """Save a picture of the window here when its labels are there, and exit."""
    frame: int = 0
    """Frame of a video to show."""
    probe: tuple[int, int] | None = None
    """Pixel (column, row) to pin."""
    layer: View | None = None
    """What to show in place of the labels."""
    workspace: str | None = None
    """Workspace to show; Taxonomy where a class or a pair is asked for."""
    run: Path | None = None
    """Folder of a training run to show."""
    class_name: str | None = None
    """Universal class to show in the Taxonomy workspace."""
    pair: tuple[str, str] | None = None
    """Taxonomies to compare there."""


def run_window(options: WindowOptions, make_services: Callable[[AppSettings], Services] | None = None) -> int:
    """Open the window and run until it closes; gives the exit code.

    Raises MSegStudioError in screenshot mode when what was asked for cannot be shown.
    """
    application = QApplication.instance() or QApplication(sys.argv[:1])
    if not isinstance(application, QApplication):
        raise MSegStudioError("another Qt application without windows runs in this process")
    application.setApplicationName("MSeg Studio")
    settings, problem = _settings(options)
    theme = Theme(application, settings.theme)
    services = (make_services or _real_services)(settings)
    window = make_window(services, theme, settings, options)
    if problem:
        window.session.notice.emit(Notice(problem, "warning", "settings"))
    window.show()
    if options.layer is not None:
        window.workspace.show_view(options.layer)
    shot = Screenshot(window, options.screenshot, options.frame, options.probe) if options.screenshot else None
    # The window is drawn before anything is started: torch takes seconds to load, in its own process.
    QTimer.singleShot(0, lambda: _start(services, window, options, shot))
    try:
        with _signals_and_surprises(window):
            code = application.exec()
    finally:
        close_window(services, theme, window)
    if shot is not None and shot.problem:
        raise MSegStudioError(shot.problem)
    return code


@contextlib.contextmanager
def _signals_and_surprises(window: MainWindow) -> Iterator[None]:
    """Ctrl-C in the terminal closes the window; an error nobody expected is told in it and printed, and it goes on."""

    def on_surprise(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace)
        text = f"Something unexpected went wrong ({kind.__name__}: {error}). The terminal shows where."
        window.session.notice.emit(Notice(text, "error", "surprise"))

    kept_hook, sys.excepthook = sys.excepthook, on_surprise
    kept_handler = signal.signal(signal.SIGINT, lambda _number, _frame: QApplication.exit(_INTERRUPTED))
    # Python looks at signals between its own instructions only, and Qt's loop runs none while nothing happens.
    pulse = QTimer(window, interval=_PULSE_MS)
    pulse.timeout.connect(lambda: None)
    pulse.start()
    try:
        yield
    finally:
        pulse.stop()
        signal.signal(signal.SIGINT, kept_handler)
        sys.excepthook = kept_hook


def make_window(services: Services, theme: Theme, settings: AppSettings, options: WindowOptions) -> MainWindow:
    """The window with its session, not shown yet. Raises MSegStudioError for an unknown model or taxonomy."""
    choice = _choice(services, settings, options)
    if options.class_name is not None:
        services.catalog.taxonomy(UNIVERSAL).id_of(options.class_name)
    if options.pair is not None:
        compare(services.catalog, *options.pair)
    session = Session(services, choice, device=options.device or settings.device)
    window = MainWindow(services, session, theme, settings, remember=options.screenshot is None)
    if options.size is not None:
        window.resize(*options.size)
    elif window.size().width() < 1000:
        window.resize(1280, 800)
    return window


def close_window(services: Services, theme: Theme, window: MainWindow) -> None:
    """End the processes and threads behind a window that has closed."""
    window.close()
    services.media.client.close()
    services.inference.client.close()
    wait_for_background()
    theme.close()
    window.deleteLater()


def _start(services: Services, window: MainWindow, options: WindowOptions, shot: Screenshot | None) -> None:
    services.media.client.start()
    services.inference.client.start()
    import_ahead(window)
    if options.path is not None:
        window.open_path(options.path)
    _arrange(window, options)
    if shot is not None:
        shot.start(expects_labels=options.path is not None)


def _arrange(window: MainWindow, options: WindowOptions) -> None:
    """Show the workspace that was asked for, and in it what was asked for."""
    if options.run is not None:
        _show_run(window, options.run)
        return
    if options.class_name is None and options.pair is None:
        if options.workspace is not None:
            window.show_workspace(options.workspace)
        return
    from mseg_studio.ui.workspaces.taxonomy.workspace import TaxonomyWorkspace

    window.show_workspace("taxonomy")
    page = window.page("taxonomy")
    if isinstance(page, TaxonomyWorkspace):
        if options.class_name is not None:
            page.show_class(UNIVERSAL, options.class_name)
        if options.pair is not None:
            page.compare(*options.pair)


def _show_run(window: MainWindow, run: Path) -> None:
    from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace

    window.show_workspace("train")
    page = window.page("train")
    if isinstance(page, TrainWorkspace):
        page.show_run(run)


def _settings(options: WindowOptions) -> tuple[AppSettings, str]:
    """Settings with the command line's wishes; a broken file gives the defaults and the reason."""
    problem = ""
    try:
        settings = load_settings()
    except ConfigError as error:
        settings, problem = AppSettings(), f"{error}. The defaults are used."
    wishes = {name: getattr(options, name) for name in ("theme", "recipe") if getattr(options, name) is not None}
    return replace(settings, **wishes), problem


def _choice(services: Services, settings: AppSettings, options: WindowOptions) -> Choice:
    """Model, recipe and taxonomy to start with; what the settings name and is gone gives way, a typed name must be."""
    models = {model.name: model for model in services.models()}
    if options.model is not None and options.model not in models:
        raise UnknownModelError(f"unknown model '{options.model}'{nearest(options.model, models)}")
    name = options.model or settings.model
    if name not in models and models:
        name = next(iter(models))
    target = options.taxonomy or settings.taxonomy
    if name in models:
        offered = [output.name for output in services.catalog.outputs(models[name].taxonomy)]
        if options.taxonomy is not None and target not in offered:
            raise TaxonomyError(f"model {name} has no output '{target}'{nearest(target, offered)}")
        target = target if target in offered else offered[0]
    return Choice(name, settings.recipe, target, engine=settings.engine, precision=settings.precision)


def _real_services(settings: AppSettings) -> Services:
    from mseg_studio.ui.real_services import real_services

    return real_services(settings)
