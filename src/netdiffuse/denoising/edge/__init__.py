"""The edge server that runs shared steps once, and what it needs: wire messages, journal, dispatcher."""
