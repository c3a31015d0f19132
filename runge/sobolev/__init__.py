"""Values and derivatives of stacked networks, their losses, and the gradients of both."""
