"""The one place that keeps what bootd knows: rows and their journal, on SQLite."""

from bootd.store.base import Held, JournalEntry, Kept, Reads, SlotContent, Store, Transaction
from bootd.store.opening import open_store

__all__ = ["Held", "JournalEntry", "Kept", "Reads", "SlotContent", "Store", "Transaction", "open_store"]
