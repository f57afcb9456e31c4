"""One scale for all images: the likelihood, its error model, widths and geometry."""
