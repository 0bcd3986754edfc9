"""The views: a file a view, with its pages."""
