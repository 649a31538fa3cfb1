"""The tools of M3ToolEval: sources that run in the jail; the service reads them as text and never imports them."""
