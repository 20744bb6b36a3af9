"""Files of the Taxonomy workspace: look for mistakes in one, add one to the person's own, save the table as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QWidget

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.storage import write_atomic
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.lint import lint
from mseg_studio.taxonomy.master import MasterTable
from mseg_studio.taxonomy.table_export import to_csv, to_yaml
from mseg_studio.taxonomy.table_import import import_table
from mseg_studio.ui.workspaces.segment.estimate import counted
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.taxonomy.findings_dialog import FindingsDialog

_TABLES = "Tables (*.yaml *.yml *.tsv *.csv *.txt);;All files (*)"


def ask_table(parent: QWidget, title: str) -> Path | None:
    """Let the person choose a table."""
    path, _kind = QFileDialog.getOpenFileName(parent, title, "", _TABLES)
    return Path(path) if path else None


def lint_dialog(path: Path, catalog: Catalog, parent: QWidget) -> FindingsDialog:
    """The findings of one table."""
    lines = [finding.line() for finding in lint(path, catalog)]
    name = printable(path.name)
    heading = f"{name}: {counted(len(lines), 'finding')}." if lines else f"{name}: no faults."
    return FindingsDialog("Lint a table", heading, lines, parent)


def problems_dialog(catalog: Catalog, parent: QWidget) -> FindingsDialog:
    """Why files among the taxonomies are not used, as the linter tells it."""
    lines: list[str] = []
    for problem in catalog.problems():
        found = [] if problem.path is None else [finding.line() for finding in lint(Path(problem.path), catalog)]
        lines += found or [str(problem)]
    heading = "These taxonomies have faults." if lines else "The published table and your own taxonomies: no faults."
    return FindingsDialog("Taxonomies with faults", heading, lines, parent)


def add_table(path: Path, catalog: Catalog) -> tuple[tuple[str, ...], Notice]:
    """Names of the taxonomies that a table made, and what to say about it."""
    try:
        made = tuple(file.stem for file in import_table(path, catalog))
    except MSegStudioError as error:
        return (), Notice(str(error), "error", "import")
    return made, Notice(f"{', '.join(made)} imported from {printable(path.name)}.", "info", "import")


def save_table(path: Path, table: MasterTable, columns: Sequence[str]) -> Notice:
    """Write the table as its name says: YAML, or else CSV; what to say about it."""
    text = to_yaml(table, columns) if path.suffix.lower() in (".yaml", ".yml") else to_csv(table, columns)
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        return Notice(f"{printable(str(path))}: {error.strerror}", "error", "export")
    return Notice(f"{printable(path.name)}: {counted(len(columns), 'column')} saved.", "info", "export")


def ask_where(parent: QWidget) -> Path | None:
    """Let the person choose where the table goes."""
    path, kind = QFileDialog.getSaveFileName(parent, "Export the table", "mseg-table.csv", "CSV (*.csv);;YAML (*.yaml)")
    if not path:
        return None
    found = Path(path)
    return found if found.suffix else found.with_suffix(".yaml" if "yaml" in kind else ".csv")
