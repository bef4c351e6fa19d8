"""Everything that runs without Prefect: market data, maker, bot, warehouse, tuning, reports."""
