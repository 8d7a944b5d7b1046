"""The script that Streamlit runs from top to bottom for each visitor, after each change."""

from cutis.serve.app import screen

screen.show()
