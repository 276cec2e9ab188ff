"""What is in a store, as a table on the terminal and as a page with pictures."""
