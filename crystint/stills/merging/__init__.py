"""From scaled observations to unique reflections and what they are worth."""
