"""Host tables as text: one file a format, one row in `FORMATS`; text in, records or mistakes out."""

from bootd.formats.fields import Row
from bootd.formats.table import FORMATS, Format, find_format, guess_format

__all__ = ["FORMATS", "Format", "Row", "find_format", "guess_format"]
