"""The baseline ladder: presets in order, over real runs, until one passes."""
