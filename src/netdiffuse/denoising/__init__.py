"""Image diffusion split across hosts."""
