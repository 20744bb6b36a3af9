"""MSeg Studio: semantic segmentation in one label space, mapped into any dataset's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Segmenter", "__version__"]

if TYPE_CHECKING:
    from mseg_studio.inference.segmenter import Segmenter


def __getattr__(name: str) -> Any:
    """Import the Python API on first use: `import mseg_studio` alone loads neither torch nor Qt."""
    if name == "Segmenter":
        from mseg_studio.inference.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module 'mseg_studio' has no attribute '{name}'")
