"""What revetl costs, measured."""
