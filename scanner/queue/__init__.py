"""What other services read: the events of the stream."""
