"""One host's shared truth: the hub that records and counts, its workers, and who runs them."""
