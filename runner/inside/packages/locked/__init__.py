"""Lock files of other tools, read: what each of them installs here. Pure; the host reads them by the same modules."""
