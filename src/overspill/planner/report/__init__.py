"""A plan as a report: curves and tables with their sources, drawn into one HTML file that needs no network."""
