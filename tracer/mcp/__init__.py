"""Traces for assistants: a read-only server of the Model Context Protocol, over stdio and over HTTP."""
