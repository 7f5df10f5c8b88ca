"""The audit log: what a batch's line says, and the chain that no line can leave."""
