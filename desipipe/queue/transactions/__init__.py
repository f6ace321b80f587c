"""The only maker of events.

Each function says what one decision writes into the journal. Those that get a state decide by it,
under the lock; none has a clock or writes. Who takes the lock and appends what they return is
:class:`~desipipe.queue.ledger.Ledger`.
"""
