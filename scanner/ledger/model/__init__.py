"""The prize engine in plain Python: an independent reading of docs/prizes.md, for the audit and the tests.

It shares no code with the store's functions. It is told of every claim and every change in the order in which
they happened, says what each must come to, and applies it to its own state. It is used twice:

- to predict: facts alone are given, and the `Result` says what the service must answer;
- to replay: an entry's `Said` is given too. Then what was said is applied, because it was answered, and
  `Result.wrong` says what it should not have been.
"""

from scanner.ledger.model.scans import Model, ModelError

__all__ = ["Model", "ModelError"]
