"""Phase 1: the objects of remotes, and how each kind of remote is asked."""
