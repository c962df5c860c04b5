"""Phases 2a and 2b: from a specification to an environment: resolving, downloading, building, installing."""
