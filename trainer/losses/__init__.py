"""The losses: pure functions of tensors and a mask."""
