"""What is wrong with a collection of images and labels, before anything is trained on it."""
