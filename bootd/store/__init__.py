"""The one place that keeps what bootd knows: rows and their journal, on SQLite."""

from bootd.store.base import JournalEntry, Kept, Reads, Store, Transaction
from bootd.store.opening import open_store

__all__ = ["JournalEntry", "Kept", "Reads", "Store", "Transaction", "open_store"]
