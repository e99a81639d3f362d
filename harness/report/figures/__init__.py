"""Figures: each module draws one kind, purely, from the report's data to a matplotlib figure."""
