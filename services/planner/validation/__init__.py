"""The cost model held against published measurements: rows in, predictions and errors out."""
