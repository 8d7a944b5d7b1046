"""Pages and pictures: what a run has to say, as one file that opens offline."""
