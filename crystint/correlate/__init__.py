"""Angular correlation: ring centres, polar images, clean rings, pairing, difference correlations."""
