"""Kinds of remotes beside folders and S3: DVC's own file systems, kept from looking for credentials by themselves."""
