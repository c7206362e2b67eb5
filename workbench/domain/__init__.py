"""Plain values that every room speaks in: knobs, plans, recipes, measurements, reports and errors."""
