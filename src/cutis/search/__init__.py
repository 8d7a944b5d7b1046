"""Which head is best: many heads trained together on kept features."""
