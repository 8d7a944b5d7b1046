"""The recipe book: published studies, each rebuilt with one command and set beside its printed figures."""
