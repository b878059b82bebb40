"""`enhanced_audit_logger`, as the monitoring guide imports it; importing reads and creates nothing."""

import os
from pathlib import Path

from tristar.audit.logger import EnhancedAuditLogger, Place
from tristar.audit.options import WriterOptions
from tristar.settings.environment import read_environment, read_variables
from tristar.settings.faults import Faults
from tristar.settings.model import Audit, Settings

__all__ = ["EnhancedAuditLogger", "enhanced_audit_logger"]

_MIB = 1 << 20


def _place() -> Place:
    """The log that `tristar serve` would keep if it were started here: environment, then `.env`."""
    here, faults = Path.cwd(), Faults()
    values = read_variables(read_environment(os.environ, here, faults), faults)
    faults.check()
    audit = Audit(**values.get(Audit, {}))
    data_dir = values.get(Settings, {}).get("data_dir", Settings.data_dir)
    total_bytes = None if audit.total_size_mb is None else audit.total_size_mb * _MIB
    options = WriterOptions(audit.max_size_mb * _MIB, audit.retention_days, total_bytes)
    return Place(here / audit.dir, here / data_dir, options, audit.mode, audit.erasable)


enhanced_audit_logger = EnhancedAuditLogger(_place)
