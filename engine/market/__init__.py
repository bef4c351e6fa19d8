"""What the venue says: events, tapes, venue message parsers, the market simulator."""
