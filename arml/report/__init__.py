"""Everything that makes the tables, figures and pages of a study."""
