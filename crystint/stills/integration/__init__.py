"""From pixels to amplitudes: shoeboxes, backgrounds, profiles."""
