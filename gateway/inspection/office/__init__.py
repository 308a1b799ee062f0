"""Office documents: compound files, Office Open XML, Word, Excel and PowerPoint 97-2003, OpenDocument."""
