"""|q|^2 and projection maps, refined in turn."""
