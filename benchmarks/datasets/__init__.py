"""One file per study; see CONTRIBUTING.md for what a card declares."""
