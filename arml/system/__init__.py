"""Disk, memory, threads and optional packages."""
