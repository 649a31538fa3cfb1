"""Episodes as training data: supervised chats, preferences, unpaired labels, rollouts and trajectories."""

from codetree.export.episode import Finished
from codetree.export.filters import Filters, LabelSource, Split
from codetree.export.formats import ExportKind, records

__all__ = ["ExportKind", "Filters", "Finished", "LabelSource", "Split", "records"]
