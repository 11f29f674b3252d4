"""Judge of videos of the world of things: reads from pixels what is seen, and compares it with what was asked for."""
