"""Tokens to money: a library's price data that works offline, with the user's own dated table on top."""

from tracer.prices.book import PriceBook
from tracer.prices.rates import Cost, CostLine

__all__ = ["Cost", "CostLine", "PriceBook"]
