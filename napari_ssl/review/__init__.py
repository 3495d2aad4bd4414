"""In which order cases come before the reader. Pure functions on rows; knows nothing of Qt, torch or files."""
