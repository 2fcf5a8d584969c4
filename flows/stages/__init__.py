"""The stages: one thin Prefect flow a module."""
