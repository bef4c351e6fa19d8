"""Live market data: sessions with venues, the recorder, and a local venue to test them against."""
