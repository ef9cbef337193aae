"""Traces written out by the thousand: as JSON lines, CSV, Parquet or OTLP, in constant memory."""
