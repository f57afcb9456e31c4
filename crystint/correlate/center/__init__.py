"""Where the powder rings of a frame have their centre."""
