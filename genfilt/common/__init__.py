"""Infrastructure that genfilt and trainer share: errors, console, output, files."""
