"""How the small model is trained: stages that each go on where they were stopped."""
