"""Champion/challenger rounds on new tapes until told to stop (docs/optimize.md)."""
