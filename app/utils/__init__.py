"""What the monitoring guide imports."""
