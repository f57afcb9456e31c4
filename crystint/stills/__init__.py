"""Still images: prediction, integration, scaling and merging with one factored likelihood."""
