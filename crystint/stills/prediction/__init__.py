"""Which reflections an image shows, where, and how much of each."""
