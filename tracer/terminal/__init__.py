"""Traces in the terminal: lists, trees, exports and imports, from a database here or a server elsewhere."""
