"""Processes of a run: the Prefect server, the forked start, commands, and the watch that leaves no orphan."""
