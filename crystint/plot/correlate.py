"""Pictures of angular correlation: polar images, ring profiles and correlation maps."""
