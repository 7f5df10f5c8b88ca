"""Commands of the operator: `setup`, `teardown`, `doctor`, `dlq`, `replay`, `find` and others."""
