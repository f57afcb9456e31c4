"""What there is to work with: files and devices."""
