"""One file per model family; see CONTRIBUTING.md for what a card declares."""
