"""What lets people and programs in, as the database keeps it: keys, tokens, sessions, links."""
