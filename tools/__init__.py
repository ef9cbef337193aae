"""What developers and CI run, beside the product: `make` calls these."""
