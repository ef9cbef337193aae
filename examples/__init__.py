"""Example chains of a bicycle shop, the scripted stand-in model they can run against, and the demo."""
