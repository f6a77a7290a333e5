"""One file per counter, and the ledger that reconciles them."""
