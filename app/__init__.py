"""The import paths of the monitoring guide: thin, and not part of the wheel."""
