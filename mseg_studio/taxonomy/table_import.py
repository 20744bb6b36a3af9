"""Tables of classes to taxonomies of the user: MSeg's master layout, two columns, or a taxonomy file from elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType

from mseg_studio.errors import TaxonomyError, nearest, printable
from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog
from mseg_studio.taxonomy.colours import Rgb, default_colour
from mseg_studio.taxonomy.draft import Draft, checked, save_table
from mseg_studio.taxonomy.finding import Finding
from mseg_studio.taxonomy.lint import is_yaml, lint, read_sheet
from mseg_studio.taxonomy.master import MasterTable, master_table
from mseg_studio.taxonomy.master_sheet import MasterSheet, SheetColumn
from mseg_studio.taxonomy.model import UNLABELED, ClassInfo, Taxonomy
from mseg_studio.taxonomy.pair_sheet import PairSheet
from mseg_studio.taxonomy.table import TaxonomyTable, read_table

_CHANGED, _COPY = "-changed", "-copy"
_IDS_NOTE = "Ids follow the rows of the table; check them before label files are read with it."


class FaultyTableError(TaxonomyError):
    """A table with mistakes: the message is the first one, `findings` holds all."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        more = "" if len(findings) == 1 else f" (and {len(findings) - 1} more)"
        super().__init__(findings[0].line() + more)
        self.findings = tuple(findings)


def import_table(
    path: Path,
    catalog: Catalog,
    folder: Path | None = None,
    *,
    name: str | None = None,
    columns: Sequence[str] = (),
    replace: bool = False,
) -> tuple[Path, ...]:
    """Write the taxonomies in the table at `path` into `folder`, the user's when not given; all or none of them.

    Of a table in the master layout these are the columns that MSeg does not publish, called like their header, and the
    published ones with another cell somewhere, called `...-changed`; with `columns` those and no others. A table of two
    columns is one taxonomy, called like the file, and so is a taxonomy file. `name` is for a single one.

    Raises FaultyTableError with every mistake in the table, TaxonomyError for names that cannot be saved or a table
    with nothing new.
    """
    tables = _tables(path, catalog, columns, name)
    for table in tables:
        checked(table, catalog, folder, replace=replace)
    return tuple(save_table(table, catalog, folder, replace=replace) for table in tables)


def _tables(path: Path, catalog: Catalog, columns: Sequence[str], name: str | None) -> tuple[TaxonomyTable, ...]:
    if is_yaml(path):
        _stop_at(finding for finding in lint(path, catalog) if finding.code != "name")
        # Another name than the file's is what importing is for; anything else was told.
        table = read_table(path)
        return (dataclasses.replace(table, taxonomy=dataclasses.replace(table.taxonomy, name=name or path.stem)),)
    read = read_sheet(path, catalog)
    _stop_at(read.findings)
    if isinstance(read.sheet, MasterSheet):
        chosen = _chosen(read.sheet, columns, catalog, path)
        if name is not None and len(chosen) != 1:
            found = ", ".join(own for _column, own in chosen)
            raise TaxonomyError(f"holds {len(chosen)} taxonomies ({found}); one name is for one column", path=path)
        universal = catalog.taxonomy(UNIVERSAL)
        return tuple(_column_table(column, name or own, path, universal) for column, own in chosen)
    if columns:
        raise TaxonomyError(f"has no column '{columns[0]}': it is a table of two columns", path=path)
    return (_pair_table(read.sheet, name or path.stem, path),) if read.sheet is not None else ()


def _stop_at(findings: Iterable[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise FaultyTableError(errors)


def _pair_table(sheet: PairSheet, taxonomy: str, path: Path) -> TaxonomyTable:
    draft = Draft(taxonomy, source=f"Imported from {printable(path.name)}")
    for name, members in sheet.classes:
        draft = draft.add(members, name=name)
    return draft.table(path)


def _chosen(
    sheet: MasterSheet, wanted: Sequence[str], catalog: Catalog, path: Path
) -> tuple[tuple[SheetColumn, str], ...]:
    """Columns to import, each with the name of its taxonomy."""
    by_name = {column.name: column for column in sheet.columns}
    for name in wanted:
        if name not in by_name:
            raise TaxonomyError(f"has no column '{name}'{nearest(name, by_name)}", path=path)
    known = master_table(catalog)
    found = []
    for column in sheet.columns:
        published = known.column(column.name)
        if published is None or published.kind == "yours":
            suffix = ""
        else:
            suffix = _CHANGED if _differs(column, known) else _COPY
        if column.name in wanted or (not wanted and suffix != _COPY and column.rows):
            listed_only = published is not None and published.kind == "links only"  # no taxonomy has its name
            found.append((column, column.name if listed_only else column.name + suffix))
    if not found:
        raise TaxonomyError("holds no new column: all are as MSeg publishes them", path=path)
    return tuple(found)


def _differs(column: SheetColumn, known: MasterTable) -> bool:
    """Whether a cell differs from the published one; a row that is gone is no difference."""
    return any(
        set(column.cells.get(row.info.name, ())) != set(row.cells[column.name])
        for row in known.rows
        if row.info.name in column.universals
    )


def _column_table(column: SheetColumn, name: str, path: Path, universal: Taxonomy) -> TaxonomyTable:
    if not column.rows:
        raise TaxonomyError(f"column '{column.name}' is empty", path=path)
    source = f"Imported from {printable(path.name)}, column {column.name}"
    if column.leads_in:
        return _labels(column, name, source, path, universal)
    draft = Draft(name, source=source)
    for class_name in column.rows:
        draft = draft.add((key for key, cell in column.cells.items() if class_name in cell), name=class_name)
    return draft.table(path)


def _labels(column: SheetColumn, name: str, source: str, path: Path, universal: Taxonomy) -> TaxonomyTable:
    """The label space of a training set. Of several classes that became one universal class the namesake, or else the
    first, stands for all when results are shown in it."""
    into = {class_name: key for key, cell in column.cells.items() if key != UNLABELED for class_name in cell}
    out = {key: _representative(key, cell) for key, cell in column.cells.items() if key != UNLABELED}
    classes: list[ClassInfo] = []
    taken: set[Rgb] = set()
    for index, class_name in enumerate(column.rows):
        members = (into[class_name],) if class_name in into else ()
        taken.add(rgb := default_colour(universal, members, taken))
        classes.append(ClassInfo(index, class_name, rgb))
    several = any(len(cell) > 1 for key, cell in column.cells.items() if key != UNLABELED)
    return TaxonomyTable(
        Taxonomy(name, tuple(classes), 255 if len(classes) <= 255 else 65535, source),
        path,
        links="approximate" if several else "exact",
        note=_IDS_NOTE,
        to_universal=MappingProxyType(into),
        from_universal=MappingProxyType(out),
    )


def _representative(universal: str, cell: Sequence[str]) -> str:
    wanted = universal.replace("_", " ").lower()
    return next((name for name in cell if name.replace("_", " ").lower() == wanted), cell[0])
