"""What the product says of itself: percentiles, CloudWatch, Prometheus, audit."""
