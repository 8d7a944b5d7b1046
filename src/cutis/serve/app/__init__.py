"""The web page of a bundle: Streamlit, thin over the predictor; what it shows is made without Streamlit, and so is the sheet of a case."""
