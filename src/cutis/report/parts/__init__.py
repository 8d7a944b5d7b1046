"""The parts of the report, one question of a doubter each; a new part is one function in one file of this folder."""
