"""Where tasks run: threads, processes, Dask or Ray, and the choice between them."""
