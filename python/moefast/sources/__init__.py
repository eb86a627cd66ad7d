"""Where rows come from that are too many for memory: files of columns, batch by batch."""

from moefast.sources.batch import Batch, Columns
from moefast.sources.open import open_source
from moefast.sources.part import Part, Source, SourceError

__all__ = ["Batch", "Columns", "Part", "Source", "SourceError", "open_source"]
