"""Jobs: each file puts the rooms together for one thing that a user asks for."""
