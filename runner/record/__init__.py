"""Making tomorrow's runs auditable: checks before a training, tags on its runs, the digest of its model after it."""
