"""W&B's own files, read without W&B: framing, wire format, records, and what they say of a run. Standard library."""
