"""The ledger outside the store, and back: exported to a file, from which everything is rebuilt."""

from scanner.ledger.restore.export import Exported, TrimmedError, export
from scanner.ledger.restore.files import Exports
from scanner.ledger.restore.rebuild import Restored, Surplus, restore

__all__ = ["Exported", "Exports", "Restored", "Surplus", "TrimmedError", "export", "restore"]
