"""What separates neighbours: bisectors (eq. 8 and 9), Voronoi cells and order-K cells."""
