"""Import: files of points, read as a stream and sent as frames."""
