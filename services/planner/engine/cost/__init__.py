"""Time: operators, collectives, pipeline schedule and data-parallel traffic, summed over the factors of the space."""
