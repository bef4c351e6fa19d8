"""Fills of bots that keep no journal: exports of exchanges and of other bots, one small file each."""
