"""The audit as a page that finance can read: figures, tables, pictures, and the page around them."""
