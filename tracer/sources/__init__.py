"""One way to ask for traces, whether they lie in a database here or on a server elsewhere."""
