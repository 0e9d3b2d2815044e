"""The brand's state in the store, and the only room beside ``queue`` that knows of Redis."""
