"""What the product says of itself: percentiles, CloudWatch, snapshots, audit."""
