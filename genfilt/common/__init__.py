"""Infrastructure that knows nothing of genfilt or trainer: errors, console, output, files."""
