"""Folders a study runs in: its own workspace, a scheduled clone, and the commit they are of."""
