"""Messages: their structure, their header, the text that a reader sees, and the verdict on the whole."""
