"""The online system: from a detector's stream to peaks, regions, files, and books that close."""
