"""Convergent-beam intensity scaling: |q|^2 and projection maps of a crystal from overlapping streaks."""
