"""One file per metric; see CONTRIBUTING.md for what a card declares."""
