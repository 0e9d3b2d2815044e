"""What it costs to read the stream: through the consumer, beside redis-py alone, and into an inbox.

    python -m bench.queue [PART …] [--events N] [--rounds N] [--json FILE]

The stream is filled by the claim function itself: real claims of a campaign with two decks, by 500 members.
Each reader is one process with a group of its own, and reads the stream from its beginning, on a store that
logs and fsyncs as in production. In each round every reader has its turn, redis-py alone first.

* **bare**: XREADGROUP of 1,000 entries and one XACK for them, again and again, with redis-py. It does
  nothing with the entries: it is what redis-py can do here, and the unit that makes figures of different
  moments, and machines, comparable. The ratio is the CPU of a process an event, in times that of the bare
  loop of its round.
* **read**: the same, and each entry is read as its event (``read_event``).
* **each**, **batches**, **handler**: the consumer's three forms with nothing to do; the handler with
  concurrency 64.
* **inbox**: batches of 500 into SQLite (WAL, synchronous=FULL) through the inbox and SQLAlchemy: of each
  event its key, a row, and the member's sum.

**catch-up** has no peer: a group that has not read for long catches up while scans arrive at a fixed rate,
through a service of their own with HTTP. The ratio is how fast it reads, in times the arrivals.

What these figures do not say: everything runs on one machine, over a Unix socket or loopback, and shares its
cores; a store a network away costs time, not CPU. The entries are small (two awards). The default event loop
of Python runs the readers. Nothing fails: no take-over, no retry, no dead letter.
"""
