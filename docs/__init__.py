"""The documentation: guide.md, the gallery of pictures, and what builds them with the reference."""
