"""The version, in one place for the package and for what it sends."""

__version__ = "0.1.0"
