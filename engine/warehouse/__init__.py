"""The warehouse: journals become rows, rows become KPIs. One DuckDB file, one writer."""
