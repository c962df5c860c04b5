"""What enters a user's Python: capture of tracking calls. Standard library only; never imports `runner`."""
