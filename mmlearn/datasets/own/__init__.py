"""From a user's own files: a folder of pictures, a table, a recording."""
