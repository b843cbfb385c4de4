"""Users' tables as people have them: files of many formats, data frames, lists; their labels."""
