"""Alerts: a saved view is measured again and again, and a webhook is told when it passes a threshold."""
