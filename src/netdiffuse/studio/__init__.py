"""The web page: trains, looks inside, compares and denoises, for a browser. Its state lives in the runs folder."""
