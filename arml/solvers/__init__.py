"""Programs and their duals: minimum-norm points of polyhedra, and what multipliers prove. They know no neighbours."""
