"""The corridor of every step: settings, files, frames, progress, and how it ended."""
