"""The checks of an audit, one file each; a new file here is a new part of the page."""
