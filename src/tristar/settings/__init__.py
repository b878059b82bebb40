"""Every environment variable and configuration key: read, checked and typed once, at start and on reload."""

from tristar.settings.directories import check_directories
from tristar.settings.load import load
from tristar.settings.model import Audit, Auth, Metrics, Server, Settings

__all__ = ["Audit", "Auth", "Metrics", "Server", "Settings", "check_directories", "load"]
