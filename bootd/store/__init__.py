"""The one place that keeps what bootd knows: rows and their journal, on SQLite."""

from bootd.store.base import Store, Transaction
from bootd.store.entries import Held, JournalEntry, Kept, SlotContent
from bootd.store.opening import open_store
from bootd.store.reads import Reads

__all__ = ["Held", "JournalEntry", "Kept", "Reads", "SlotContent", "Store", "Transaction", "open_store"]
